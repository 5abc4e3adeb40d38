"""`asyncio.to_thread` leaves the loop free - and queues past min(32, cpus + 4), which is not the pool of `def`."""

from typing import Any

from reports.claims.model import Claim, ClaimResult, MissingData, judge_pool
from reports.metrics.executor import default_executor_size, server_cpu_count
from reports.metrics.model import RunMetrics
from results.schema import Variant


def _judge_to_thread_free(run_metrics: RunMetrics) -> ClaimResult:
    """The loop must stay free, and the plateau must lie at the default executor's documented size."""
    pool_size = documented_executor_size(run_metrics.run)
    limit = (
        f"true, up to {pool_size} at once on this machine: another pool than the 40 of `def`,"
        " shared with DNS look-ups"
    )
    return judge_pool(run_metrics, Variant.TO_THREAD, pool_size, "min(32, cpus + 4)", limit)


def documented_executor_size(run: dict[str, Any], server: str = Variant.TO_THREAD) -> int:
    """Threads of a server's default ThreadPoolExecutor, by the formula of Python's manual, from the CPUs that it counts."""
    if not {"python", "cpus"} <= set(run["machine"]):
        raise MissingData("the Python version and the number of CPUs")
    return default_executor_size(server_cpu_count(run, run.get("targets", {}).get(server, {})))


CLAIM = Claim(
    id="to-thread-free",
    sentence="Blocking code called through `asyncio.to_thread` leaves the event loop free.",
    source="Running Sync Code from Async Routes",
    judge=_judge_to_thread_free,
    needs=("neighbours/", "crowd/to-thread/"),
)
