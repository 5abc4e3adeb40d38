"""Computing on the loop, in threads, and in processes."""

import json
import math
from dataclasses import dataclass

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
from reports.metrics.model import CrowdMetrics, NeighbourMetrics, RouteMetrics, RunMetrics
from reports.verdicts.neighbours import (
    GIL_ACQUISITIONS,
    SERIAL_LIMIT,
    SWITCH_INTERVAL,
    NeighbourWait,
    classify_wait,
    predicted_delays,
)

# CPU of an answer as a share of its service time: waiting has next to none, computing all but what
# others took
_MIN_CPU_SHARE = 0.5


def _judge_cpu_blocks(run_metrics: RunMetrics) -> ClaimResult:
    """Both serve one at once; only inline does the neighbour wait for whole requests."""
    inline, threaded = (
        [_measured_computing(run_metrics, f"{how} {what}") for what in ("cpu", "hash")]
        for how in ("broken-async", "to-thread")
    )
    inline_blocks = all(
        measurement.is_serial
        and measurement.is_cpu_bound
        and measurement.neighbour_wait is NeighbourWait.REQUESTS
        for measurement in inline
    )
    thread_frees = all(
        measurement.is_serial and measurement.is_cpu_bound for measurement in threaded
    ) and [measurement.neighbour_wait for measurement in threaded] == [
        NeighbourWait.TURNS,
        NeighbourWait.NOTHING,
    ]
    users, service = inline[0].level.users, inline[0].route.unloaded_mean or 0.0
    turns_delay, whole_delay = predicted_delays(users, service).values()
    return ClaimResult(
        predicted=(
            "1 at once on one core, however written; the async neighbour's p90 inline at least 0.9"
            f" x {users} users x {format_seconds(service)} = {format_seconds(whole_delay)}; in"
            f" threads that keep the GIL some {GIL_ACQUISITIONS} x {users} x"
            f" {format_seconds(SWITCH_INTERVAL)} = {format_seconds(turns_delay)}; in threads that"
            f" let it go less than half of that, {format_seconds(turns_delay / 2)}"
        ),
        measured="; ".join(measurement.summary for measurement in (*inline, *threaded)),
        outcome=ClaimOutcome.CONFIRMED if inline_blocks and thread_frees else ClaimOutcome.REFUTED,
        why=(
            "the loop computes one thing at a time and lets nobody in between; a thread saves the"
            " loop, slowed by turns of the GIL unless the code lets it go. This app has one core,"
            " so nothing serves more; on several, code that lets the GIL go would"
            if inline_blocks and thread_frees
            else (
                "computing inline did not hold the loop"
                if not inline_blocks
                else (
                    "threads that keep the GIL and threads that let it go did not differ as they"
                    " should, or more than one was served at once"
                )
            )
        ),
        bars=tuple(
            (
                f"{measurement.route.variant}, ms",
                1000 * measurement.neighbour.loaded.low if measurement.neighbour.loaded else 0.0,
            )
            for measurement in (*inline, *threaded)
        ),
    )


@dataclass(frozen=True, slots=True)
class _ComputeMeasurement:
    """One way to compute, as measured."""

    route: RouteMetrics
    level: CrowdMetrics
    neighbour: NeighbourMetrics

    @property
    def is_serial(self) -> bool:
        """Whether one was served at once."""
        return (self.route.served_at_once or 0.0) < SERIAL_LIMIT

    @property
    def is_cpu_bound(self) -> bool:
        """Whether the work takes CPU: else something waits, and this is about nothing."""
        return (self.level.cpu or 0.0) / self.level.throughput >= _MIN_CPU_SHARE * (
            self.route.unloaded_mean or 0.0
        )

    @property
    def neighbour_wait(self) -> NeighbourWait | None:
        """What the neighbour waits for."""
        return classify_wait(self.neighbour, self.level.users, self.route.unloaded_mean or 0.0)

    @property
    def summary(self) -> str:
        """What was measured of it."""
        low = self.neighbour.loaded.low if self.neighbour.loaded else None
        return (
            f"{self.route.variant} {format_served_interval(self.route)} at once, core"
            f" {format_share(self.level.cpu or 0.0)} full, neighbour {format_seconds(low)}"
        )


def _measured_computing(run_metrics: RunMetrics, variant: str) -> _ComputeMeasurement:
    """One of the four ways. Raises MissingData without it."""
    route, level, _, _ = measured_route(run_metrics, variant)
    return _ComputeMeasurement(route, level, measured_neighbour(route, "async")[0])


CPU_BLOCKS = Claim(
    id="cpu-blocks",
    sentence=(
        "Computing inside `async def` blocks the loop, password hashing too; in a thread the loop"
        " lives, slowed where the GIL is kept."
    ),
    source="Common Pitfalls",
    judge=_judge_cpu_blocks,
    needs=(
        "neighbours/",
        *(
            f"crowd/{how} {what}/"
            for how in ("broken-async", "to-thread")
            for what in ("cpu", "hash")
        ),
    ),
)


_VARIANT, _WORKERS_PATH = "async process-pool", "/cpu/workers"


_IMPLAUSIBLE_RATIO = (
    1.1  # served at once over the cores, from where on the two levels did not meet the same machine
)


# cores without which one interpreter and several look alike; the workers are nice, so others come
# first
_MIN_FREE_CORES = 1.5


def _judge_process_pool_frees(run_metrics: RunMetrics) -> ClaimResult:
    """A calm neighbour, and served at once nearer to the cores than to 1, as a ratio."""
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
    """The number of workers that answered. Raises MissingData where none did."""
    answers = run_metrics.session_answers(_VARIANT, _WORKERS_PATH)
    if not answers or answers[0]["status"] != 200:  # noqa: PLR2004 - OK
        raise MissingData("the pool's answer how many workers it has")
    return int(json.loads(answers[0]["body"])["workers"])


PROCESS_POOL_FREES = Claim(
    id="process-pool-frees",
    sentence=(
        "CPU work in a `ProcessPoolExecutor` leaves the event loop free and uses the other cores."
    ),
    source="Common Pitfalls",
    judge=_judge_process_pool_frees,
    needs=("neighbours/", f"crowd/{_VARIANT}/", f"asked/{_VARIANT}"),
)
