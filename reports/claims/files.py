"""Reading a file in `async def`, and in a thread."""

from reports.claims.model import (
    FROZEN_RATIO,
    Claim,
    ClaimOutcome,
    ClaimResult,
    format_neighbour_p90,
    format_served_interval,
    judge_pool,
    measured_neighbour,
    measured_route,
)
from reports.claims.waiting import THREAD_TOKENS, documented_executor_size
from reports.metrics.model import RunMetrics
from reports.verdicts.neighbours import SERIAL_LIMIT

BROKEN, SYNC, _THREAD = "broken-async file", "sync file", "to-thread file"


_FORM_VARIANTS = {"`async def`": BROKEN, "`def`": SYNC, "`to_thread`": _THREAD}


def _judge_file_read_blocks(run_metrics: RunMetrics) -> ClaimResult:
    """One place and a frozen neighbour, against two full pools and calm neighbours."""
    route, top, _, served = measured_route(run_metrics, BROKEN)
    async_neighbour, ratio = measured_neighbour(route, "async")
    blocks = served < SERIAL_LIMIT and ratio >= FROZEN_RATIO
    pool = judge_pool(run_metrics, SYNC, THREAD_TOKENS, "AnyIO's thread tokens", "")
    executor = judge_pool(
        run_metrics,
        _THREAD,
        documented_executor_size(run_metrics.run, _THREAD),
        "min(32, cpus + 4)",
        "",
    )
    frees = ClaimOutcome.REFUTED not in {pool.outcome, executor.outcome}
    return ClaimResult(
        predicted=(
            f"`async def`: 1 at once; the async neighbour's p90 at least {FROZEN_RATIO:.0f} times"
            f" its idle value. `def`: {pool.predicted}. `to_thread`: {executor.predicted}"
        ),
        measured=(
            f"`async def`: {format_served_interval(route)} at once with {top.users} users;"
            f" {format_neighbour_p90(async_neighbour)}. `def`: {pool.measured}. `to_thread`:"
            f" {executor.measured}"
        ),
        outcome=ClaimOutcome.CONFIRMED if blocks and frees else ClaimOutcome.REFUTED,
        why=(
            "read() stands still in the operating system until the disk has told everything; a"
            " thread that stands still holds nobody up"
            if blocks and frees
            else "the read did not hold the loop, or its fix did"
        ),
        bars=tuple(
            (form, measured_route(run_metrics, variant)[3])
            for form, variant in _FORM_VARIANTS.items()
        ),
    )


FILE_READ_BLOCKS = Claim(
    id="file-read-blocks",
    sentence=(
        "A slow file read inside `async def` freezes every request; in `def` or `asyncio.to_thread`"
        " it leaves the loop free."
    ),
    source="async def vs def in FastAPI",
    judge=_judge_file_read_blocks,
    needs=("neighbours/", f"crowd/{BROKEN}/", f"crowd/{SYNC}/", f"crowd/{_THREAD}/"),
)
