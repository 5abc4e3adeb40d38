"""The loop's default executor: from Python 3.13 on as many threads as CPUs that the process may use, and four; before, those of the host."""

from typing import Any

_MAX_THREADS, _EXTRA_THREADS = 32, 4  # threads at most, and beside the CPUs
_PROCESS_CPUS_SINCE = (3, 13)  # from this Python on


def default_executor_size(cpus: int) -> int:
    """Threads by the formula of Python's manual."""
    return min(_MAX_THREADS, cpus + _EXTRA_THREADS)


def server_cpu_count(run: dict[str, Any], runtime: dict[str, Any]) -> int:
    """How many CPUs a server's Python counts for its pools; of older runs, which do not tell, what its version would."""
    version = tuple(
        int(part) for part in str(runtime.get("python") or run["machine"]["python"]).split(".")[:2]
    )
    own = runtime.get("cpus") or []
    return int(
        runtime.get("cpu_count")
        or (len(own) if version >= _PROCESS_CPUS_SINCE and own else run["machine"]["cpus"])
    )


def explain_small_executor(run: dict[str, Any], runtime: dict[str, Any]) -> str:
    """That an executor is smaller here than it would be, because a core was left to the load generator; else nothing."""
    cpus, size = run["machine"].get("cpus"), runtime.get("executor_size")
    if not cpus or not size or run.get("host") or len(runtime.get("cpus") or ()) >= cpus:
        return ""
    counted = server_cpu_count(run, runtime)
    if size != default_executor_size(counted) or size >= default_executor_size(cpus):
        return ""
    why = f"its Python {runtime.get('python', '')} counted {counted} of {cpus} CPUs".replace(
        "  ", " "
    )
    return (
        f"{why}, because cores were left to the load generator: alone it would have"
        f" {default_executor_size(cpus)} threads, not {size}"
    )
