"""`requests` inside `async def` holds the loop for the whole call; the same call in `def` does not."""

from reports.claims.calls import summarise_client
from reports.claims.model import (
    FROZEN_RATIO,
    POOL_TOLERANCE,
    Claim,
    ClaimOutcome,
    ClaimResult,
    format_neighbour_p90,
    format_served_interval,
    is_near,
    is_neighbour_calm,
    measured_neighbour,
    measured_route,
)
from reports.claims.waiting.def_pool import THREAD_TOKENS
from reports.metrics.model import RunMetrics
from reports.verdicts.neighbours import SERIAL_LIMIT

_MISTAKE, _FIX = "broken-async requests", "sync requests"


def _judge_requests_blocks(run_metrics: RunMetrics) -> ClaimResult:
    """Both the mistake and its fix: the library is the same, only the thread that it blocks is another."""
    mistake, top, _, served = measured_route(run_metrics, _MISTAKE)
    fix, _, _, served_in_threads = measured_route(run_metrics, _FIX)
    (blocked_neighbour, ratio), (calm_neighbour, _) = (
        measured_neighbour(mistake, "async"),
        measured_neighbour(fix, "async"),
    )
    holds = served < SERIAL_LIMIT and ratio >= FROZEN_RATIO
    is_fixed = is_near(served_in_threads, THREAD_TOKENS, POOL_TOLERANCE) and is_neighbour_calm(
        calm_neighbour
    )
    return ClaimResult(
        predicted=(
            f"in `async def` 1 at once, the async neighbour's p90 at least {FROZEN_RATIO:.0f} times"
            f" its idle value; in `def` AnyIO's {THREAD_TOKENS} threads = {THREAD_TOKENS} at once,"
            " the neighbour calm"
        ),
        measured=(
            f"in `async def` {format_served_interval(mistake)} at once with {top.users} users,"
            f" {format_neighbour_p90(blocked_neighbour)}; in `def`"
            f" {summarise_client(run_metrics, _FIX)}, {format_neighbour_p90(calm_neighbour)}"
        ),
        outcome=ClaimOutcome.CONFIRMED if holds and is_fixed else ClaimOutcome.REFUTED,
        why=(
            "the call waits in the thread that makes it: the loop's, or one of the pool's"
            if holds and is_fixed
            else (
                "the loop was not held"
                if not holds
                else (
                    "in `def` the loop was not left free, or the pool does not have the documented"
                    " size"
                )
            )
        ),
        bars=(("in async def", served), ("in def", served_in_threads)),
    )


CLAIM = Claim(
    id="requests-blocks",
    sentence=(
        "`requests` inside `async def` freezes every request of the worker until the other service"
        " has answered; in `def` it does not."
    ),
    source="Making External HTTP Calls; Common Pitfalls",
    judge=_judge_requests_blocks,
    needs=("neighbours/", f"crowd/{_MISTAKE}/", f"crowd/{_FIX}/"),
)
