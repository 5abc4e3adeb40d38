"""`asyncio.to_thread` leaves the loop free - and queues past min(32, cpus + 4), which is not the pool of `def`."""

from typing import Any

from reports.claims.model import Claim, Judgement, Untestable, judge_pool
from reports.metrics.executor import cpus_counted, default_size
from reports.metrics.model import Study
from results.schema import Variant


def judge(study: Study) -> Judgement:
    """The loop must stay free, and the plateau must lie at the default executor's documented size."""
    places = documented_size(study.run)
    limit = f"true, up to {places} at once on this machine: another pool than the 40 of `def`, shared with DNS look-ups"
    return judge_pool(study, Variant.TO_THREAD, places, "min(32, cpus + 4)", limit)


def documented_size(run: dict[str, Any], server: str = Variant.TO_THREAD) -> int:
    """Threads of a server's default ThreadPoolExecutor, by the formula of Python's manual, from the CPUs that it counts."""
    if not {"python", "cpus"} <= set(run["machine"]):
        raise Untestable("the Python version and the number of CPUs")
    return default_size(cpus_counted(run, run.get("targets", {}).get(server, {})))


CLAIM = Claim(
    id="to-thread-free",
    sentence="Blocking code called through `asyncio.to_thread` leaves the event loop free.",
    source="Running Sync Code from Async Routes",
    judge=judge,
    needs=("neighbours/", "crowd/to-thread/"),
)
