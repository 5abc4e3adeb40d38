"""The loop's default executor: as many threads as CPUs, and four.

From Python 3.13 on the CPUs that the process may use count; before, those of the host.
"""

from results.run_info import RunInfo, Runtime

_MAX_THREADS, _EXTRA_THREADS = 32, 4  # threads at most, and in addition to the CPUs
_PROCESS_CPUS_SINCE = (3, 13)  # from this Python on


def default_executor_size(cpus: int) -> int:
    """Return the number of threads, by the formula of Python's manual."""
    return min(_MAX_THREADS, cpus + _EXTRA_THREADS)


def server_cpu_count(run: RunInfo, runtime: Runtime) -> int:
    """Return the CPUs that a server's Python counts; guessed by its version in older runs."""
    if counted := runtime.cpu_count:
        return counted
    python = runtime.python or run.machine.python
    version, own = tuple(map(int, python.split(".")[:2])), runtime.cpus
    return len(own) if own and version >= _PROCESS_CPUS_SINCE else run.machine.cpus or 1


def explain_small_executor(run: RunInfo, runtime: Runtime) -> str:
    """Explain that a core left to the load generator made an executor smaller; else empty."""
    cpus, size = run.machine.cpus, runtime.executor_limit
    if not cpus or not size or run.host or len(runtime.cpus or ()) >= cpus:
        return ""
    counted = server_cpu_count(run, runtime)
    if size != default_executor_size(counted) or size >= default_executor_size(cpus):
        return ""
    python = " ".join(["its Python", *filter(None, [runtime.python])])
    return (
        f"{python} counted {counted} of {cpus} CPUs, because atonce left cores to the load"
        f" generator. Alone it would have {default_executor_size(cpus)} threads, not {size}"
    )
