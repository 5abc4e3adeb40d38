"""`asyncio.to_thread` leaves the loop free - and queues past min(32, cpus + 4), which is not the pool of `def`."""

from typing import Any

from reports.claims.claim import Claim, Judgement, Outcome, Untestable, felt, is_calm, measured_route, near, neighbour
from reports.study import Study
from reports.wording import number
from results.schema import Variant

TOLERANCE = 0.10
COUNTS_ITS_OWN_CPUS = (3, 13)  # from this Python on, the CPUs the process may use; before, those of the host


def judge(study: Study) -> Judgement:
    """The loop must stay free, and the plateau must lie at the default executor's documented size."""
    route, top, _, served = measured_route(study, Variant.TO_THREAD)
    places = documented_size(study.run)
    if top.users < places * (1 + TOLERANCE):
        message = f"more than {places} users on /to-thread"
        raise Untestable(message)
    beside, _ = neighbour(route, "async")
    holds = is_calm(beside) and near(served, places, TOLERANCE)
    return Judgement(
        predicted=f"min(32, cpus + 4) = {places} at once; the async neighbour calm",
        measured=f"{number(served)} at once with {top.users} users; {felt(beside)}",
        outcome=Outcome.NUANCED if holds else Outcome.REFUTED,
        why=f"true, up to {places} at once on this machine: another pool than the 40 of `def`, shared with DNS look-ups"
        if holds
        else "the loop was not left free, or the executor does not have the documented size",
    )


def documented_size(run: dict[str, Any]) -> int:
    """Threads of a default ThreadPoolExecutor, by the formula of Python's manual; from the run's facts, not from its probe."""
    if not {"python", "cpus"} <= set(run["machine"]):
        message = "the Python version and the number of CPUs"
        raise Untestable(message)
    target = run.get("targets", {}).get(Variant.TO_THREAD, {})
    version = tuple(int(part) for part in run["machine"]["python"].split(".")[:2])
    own = target.get("cpus") or []
    cpus = len(own) if version >= COUNTS_ITS_OWN_CPUS and own else run["machine"]["cpus"]
    return min(32, cpus + 4)


CLAIM = Claim(
    id="to-thread-free",
    sentence="Blocking code called through `asyncio.to_thread` leaves the event loop free.",
    source="Running Sync Code from Async Routes",
    judge=judge,
)
