"""Computing inside `async def` holds the loop as sleeping does; a thread saves the loop, and computes no faster on one interpreter."""

from dataclasses import dataclass

from reports.claims.model import (
    Claim,
    ClaimOutcome,
    ClaimResult,
    format_served_interval,
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
    """Inline, one at once and the neighbour behind whole requests; in a thread, one at once and no whole request in its way."""
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
    """One of the four ways. Raises Untestable without it."""
    route, level, _, _ = measured_route(run_metrics, variant)
    return _ComputeMeasurement(route, level, measured_neighbour(route, "async")[0])


CLAIM = Claim(
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
