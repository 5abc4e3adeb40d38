"""Blocking inside `async def` freezes the worker: one request at once, and innocent routes wait too."""

from reports.claims.model import (
    FROZEN_RATIO,
    Claim,
    ClaimOutcome,
    ClaimResult,
    format_neighbour_p90,
    format_served_interval,
    measured_neighbour,
    measured_route,
)
from reports.formatting import format_seconds
from reports.metrics.model import RunMetrics
from reports.verdicts.neighbours import SERIAL_LIMIT
from results.schema import Variant


def _judge_blocks_loop(run_metrics: RunMetrics) -> ClaimResult:
    """Both must hold: a plateau at one, and an innocent async route that waits. A lock would give the first alone."""
    route, top, _, served = measured_route(run_metrics, Variant.BROKEN_ASYNC)
    async_neighbour, ratio = measured_neighbour(route, "async")
    holds = served < SERIAL_LIMIT and ratio >= FROZEN_RATIO
    replay_note = (
        f"; behind a replay of the crowd: {format_seconds(async_neighbour.predicted_p90)}"
        if async_neighbour.predicted_p90
        else ""
    )
    return ClaimResult(
        predicted=(
            f"1 at once; the async neighbour's p90 at least {FROZEN_RATIO:.0f} times its idle"
            f" value{replay_note}"
        ),
        measured=(
            f"{format_served_interval(route)} at once with {top.users} users;"
            f" {format_neighbour_p90(async_neighbour)}"
        ),
        outcome=ClaimOutcome.CONFIRMED if holds else ClaimOutcome.REFUTED,
        why=(
            "the loop runs one thing at a time, and time.sleep does not give it back"
            if holds
            else (
                "either more than one request was served at once, or an innocent route was not"
                " held up"
            )
        ),
    )


CLAIM = Claim(
    id="blocks-loop",
    sentence=(
        "A blocking call inside `async def` freezes every request of the worker: one at once, and"
        " the neighbours wait."
    ),
    source="async def vs def in FastAPI; When to Use def",
    judge=_judge_blocks_loop,
    needs=("neighbours/", "crowd/broken-async/"),
)
