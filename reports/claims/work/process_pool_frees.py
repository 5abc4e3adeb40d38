"""A process pool frees the loop and is not limited by one GIL - but by the cores, which its workers share with all the rest."""

import json
import math

from reports.claims.model import (
    Claim,
    ClaimOutcome,
    ClaimResult,
    MissingData,
    format_neighbour_p90,
    format_served_interval,
    is_neighbour_calm,
    measured_neighbour,
    measured_route,
)
from reports.formatting import format_seconds, format_share
from reports.metrics.model import RunMetrics

_VARIANT, _WORKERS_PATH = "async process-pool", "/cpu/workers"
_IMPLAUSIBLE_RATIO = (
    1.1  # served at once over the cores, from where on the two levels did not meet the same machine
)
# cores without which one interpreter and several look alike; the workers are nice, so others come
# first
_MIN_FREE_CORES = 1.5


def _judge_process_pool_frees(run_metrics: RunMetrics) -> ClaimResult:
    """The neighbour calm, and served at once nearer to the number of cores (as a ratio) than to the 1 of a single interpreter."""
    route, top, _, served = measured_route(run_metrics, _VARIANT)
    cores = int(run_metrics.run["machine"].get("cpus") or 1)
    health = next(counts.health for counts in run_metrics.cell_counts if counts.cell == top.cell)
    usable_cores = min(_count_pool_workers(run_metrics), cores)
    if usable_cores - (health.other_cpu or 0.0) * cores < _MIN_FREE_CORES:
        raise MissingData("a second core that other processes leave free")
    async_neighbour, _ = measured_neighbour(route, "async")
    holds = is_neighbour_calm(async_neighbour) and math.sqrt(usable_cores) < served
    cpu_text = (
        f"the load generator used {format_share(health.generator_cpu or 0.0)} of one core, the loop"
        f" {format_share(top.cpu or 0.0)}"
    )
    excess_text = (
        f" (more than {usable_cores} cannot be: the one user met slower cores than the crowd)"
    )
    excess_note = excess_text if served > _IMPLAUSIBLE_RATIO * usable_cores else ""
    call_cost = f"{format_seconds((top.cpu or 0.0) / top.throughput)} of the app's own CPU"
    return ClaimResult(
        predicted=(
            f"min(workers, cores) = {usable_cores} at once, less what the loop and the load"
            " generator need; one interpreter would serve 1; the async neighbour calm"
        ),
        measured=(
            f"{format_served_interval(route)} at once with {top.users} users;"
            f" {format_neighbour_p90(async_neighbour)}; {cpu_text}"
        ),
        outcome=ClaimOutcome.NUANCED if holds else ClaimOutcome.REFUTED,
        why=(
            f"true, up to {usable_cores} cores{excess_note}; a call costs {call_cost}, for the"
            " request, pickling and two hops between processes"
            if holds
            else "the loop was not left free, or no more was served than by one interpreter"
        ),
        bars=(("one interpreter", 1.0), ("process pool", served), ("cores", float(usable_cores))),
    )


def _count_pool_workers(run_metrics: RunMetrics) -> int:
    """How many the pool has, as it told when each had answered. Raises Untestable when it did not."""
    answers = run_metrics.session_answers(_VARIANT, _WORKERS_PATH)
    if not answers or answers[0]["status"] != 200:  # noqa: PLR2004 - OK
        raise MissingData("the pool's answer how many workers it has")
    return int(json.loads(answers[0]["body"])["workers"])


CLAIM = Claim(
    id="process-pool-frees",
    sentence=(
        "CPU work in a `ProcessPoolExecutor` leaves the event loop free and uses the other cores."
    ),
    source="Common Pitfalls",
    judge=_judge_process_pool_frees,
    needs=("neighbours/", f"crowd/{_VARIANT}/", f"asked/{_VARIANT}"),
)
