"""Two calls at once under `asyncio.gather`."""

from reports.claims.model import Claim, MissingData, PartResult
from reports.metrics.model import RunMetrics
from results.formatting import format_seconds, format_share, format_with_interval

_UPSTREAM_DELAY = 0.2  # seconds that the upstream takes for each call, as planned
_MAX_GATHER_DELAYS = 1.15  # delays that two calls under `gather` may take
_MIN_SEQUENTIAL_DELAYS = 1.9  # and that they must take one after another
_GATHER, _IN_TURN = "async gather", "async in-turn"


def _judge_gather(run_metrics: RunMetrics) -> PartResult:
    """Use the mean latency of a lone user, which waits for no other, over the delay of one call."""
    gather, gather_text = _unloaded_delays(run_metrics, _GATHER)
    in_turn, in_turn_text = _unloaded_delays(run_metrics, _IN_TURN)
    return PartResult(
        f"max(D, D) = 1 delay of {format_seconds(_UPSTREAM_DELAY)} under gather, D + D = 2 one"
        " after another",
        f"{gather_text} delays under gather, {in_turn_text} one after another",
        {
            "the calls under gather did not overlap": gather > _MAX_GATHER_DELAYS,
            "the sequential calls overlapped": in_turn < _MIN_SEQUENTIAL_DELAYS,
        },
        why=f"both calls wait at once; the rest ({format_share(gather - 1)}) is the calls' own CPU",
        bars=(("gather", gather), ("in turn", in_turn)),
    )


def _unloaded_delays(run_metrics: RunMetrics, variant: str) -> tuple[float, str]:
    """Return the unloaded latency in delays, and as text with its interval."""
    route = run_metrics.find_route(variant)
    if route is None or route.unloaded_mean is None:
        raise MissingData(f"one user on /{variant}")
    delays, (low, high) = route.unloaded_mean / _UPSTREAM_DELAY, route.unloaded_interval or (0, 0)
    interval = (low / _UPSTREAM_DELAY, high / _UPSTREAM_DELAY) if low and high else None
    return delays, format_with_interval(delays, interval)


GATHER_OVERLAPS = Claim(
    id="gather-overlaps",
    sentence="Two upstream calls under `asyncio.gather` take one delay, not two.",
    source="Hands-On Practice",
    needs=(f"crowd/{_GATHER}/", f"crowd/{_IN_TURN}/"),
    parts=(_judge_gather,),
)
