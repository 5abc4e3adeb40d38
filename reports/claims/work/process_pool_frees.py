"""A process pool frees the loop and is not limited by one GIL - but by the cores, which its workers share with all the rest."""

import json
import math

from reports.claims.model import Claim, Judgement, Outcome, Untestable, at_once, felt, is_calm, measured_route, neighbour
from reports.formatting import seconds, share
from reports.metrics.model import Study

VARIANT, ASKED = "async process-pool", "/cpu/workers"
SLOWER = 1.1  # served at once over the cores, from where on the two levels did not meet the same machine
LEAST = 1.5  # cores without which one interpreter and several look alike; the workers are nice, so others come first


def judge(study: Study) -> Judgement:
    """The neighbour calm, and served at once nearer to the number of cores (as a ratio) than to the 1 of a single interpreter."""
    route, top, _, served = measured_route(study, VARIANT)
    cores = int(study.run["machine"].get("cpus") or 1)
    health = next(one.health for one in study.tallies if one.cell == top.cell)
    places = min(workers(study), cores)
    if places - (health.others or 0.0) * cores < LEAST:
        raise Untestable("a second core that other processes leave free")
    beside, _ = neighbour(route, "async")
    holds = is_calm(beside) and math.sqrt(places) < served
    beyond = f"the load generator used {share(health.busy or 0.0)} of one core, the loop {share(top.cpu or 0.0)}"
    beyond_all = f" (more than {places} cannot be: the one user met slower cores than the crowd)"
    impossible = beyond_all if served > SLOWER * places else ""
    hop = f"{seconds((top.cpu or 0.0) / top.rate)} of the app's own CPU"
    return Judgement(
        predicted=f"min(workers, cores) = {places} at once, less what the loop and the load generator need; "
        "one interpreter would serve 1; the async neighbour calm",
        measured=f"{at_once(route)} at once with {top.users} users; {felt(beside)}; {beyond}",
        outcome=Outcome.NUANCED if holds else Outcome.REFUTED,
        why=f"true, up to {places} cores{impossible}; a call costs {hop}, for the request, pickling and two hops between processes"
        if holds
        else "the loop was not left free, or no more was served than by one interpreter",
        bars=(("one interpreter", 1.0), ("process pool", served), ("cores", float(places))),
    )


def workers(study: Study) -> int:
    """How many the pool has, as it told when each had answered. Raises Untestable when it did not."""
    told = study.told(VARIANT, ASKED)
    if not told or told[0]["status"] != 200:  # noqa: PLR2004 - OK
        raise Untestable("the pool's answer how many workers it has")
    return int(json.loads(told[0]["body"])["workers"])


CLAIM = Claim(
    id="process-pool-frees",
    sentence="CPU work in a `ProcessPoolExecutor` leaves the event loop free and uses the other cores.",
    source="Common Pitfalls",
    judge=judge,
    needs=("neighbours/", f"crowd/{VARIANT}/", f"asked/{VARIANT}"),
)
