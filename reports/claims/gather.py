"""Two calls at once under `asyncio.gather`."""

from reports.claims.model import Claim, ClaimOutcome, ClaimResult, relative_unloaded_mean
from reports.formatting import format_seconds, format_share, format_with_interval
from reports.metrics.model import RunMetrics

_UPSTREAM_DELAY = 0.2  # seconds that the upstream takes for each call, as the plan asks for
_MAX_GATHER_DELAYS = 1.15  # delays that two calls under `gather` may take
_MIN_SEQUENTIAL_DELAYS = 1.9  # and that they must take one after another


def _judge_gather_overlaps(run_metrics: RunMetrics) -> ClaimResult:
    """One user, so that nobody waits for anybody: median latency over the delay of one call."""
    (both, both_interval), (each, each_interval) = (
        relative_unloaded_mean(run_metrics, f"async {name}", _UPSTREAM_DELAY)
        for name in ("gather", "in-turn")
    )
    holds = both <= _MAX_GATHER_DELAYS and each >= _MIN_SEQUENTIAL_DELAYS
    return ClaimResult(
        predicted=(
            f"max(D, D) = 1 delay of {format_seconds(_UPSTREAM_DELAY)} under gather, D + D = 2 one"
            " after another"
        ),
        measured=(
            f"{format_with_interval(both, both_interval)} delays under gather,"
            f" {format_with_interval(each, each_interval)} one after another"
        ),
        outcome=ClaimOutcome.CONFIRMED if holds else ClaimOutcome.REFUTED,
        why=(
            f"both calls wait at the same time; what is beyond one delay ({format_share(both - 1)})"
            " is the calls' own CPU"
            if holds
            else "the calls did not overlap, or those that were to wait for one another did"
        ),
        bars=(("gather", both), ("in turn", each)),
    )


GATHER_OVERLAPS = Claim(
    id="gather-overlaps",
    sentence="Two upstream calls under `asyncio.gather` take one delay, not two.",
    source="Hands-On Practice",
    judge=_judge_gather_overlaps,
    needs=("crowd/async gather/", "crowd/async in-turn/"),
)
