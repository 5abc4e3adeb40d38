"""The loop's default executor: from Python 3.13 on as many threads as CPUs that the process may use, and four; before, those of the host."""

from typing import Any

MOST, BESIDE = 32, 4  # threads at most, and beside the CPUs
COUNTS_ITS_OWN_CPUS = (3, 13)  # from this Python on


def default_size(cpus: int) -> int:
    """Threads by the formula of Python's manual."""
    return min(MOST, cpus + BESIDE)


def cpus_counted(run: dict[str, Any], runtime: dict[str, Any]) -> int:
    """How many CPUs a server's Python counts for its pools; of older runs, which do not tell, what its version would."""
    version = tuple(int(part) for part in str(runtime.get("python") or run["machine"]["python"]).split(".")[:2])
    own = runtime.get("cpus") or []
    return int(runtime.get("cpu_count") or (len(own) if version >= COUNTS_ITS_OWN_CPUS and own else run["machine"]["cpus"]))


def made_smaller(run: dict[str, Any], runtime: dict[str, Any]) -> str:
    """That an executor is smaller here than it would be, because a core was left to the load generator; else nothing."""
    cpus, size = run["machine"].get("cpus"), runtime.get("executor_size")
    if not cpus or not size or run.get("host") or len(runtime.get("cpus") or ()) >= cpus:
        return ""
    counted = cpus_counted(run, runtime)
    if size != default_size(counted) or size >= default_size(cpus):
        return ""
    why = f"its Python {runtime.get('python', '')} counted {counted} of {cpus} CPUs".replace("  ", " ")
    return f"{why}, because cores were left to the load generator: alone it would have {default_size(cpus)} threads, not {size}"
