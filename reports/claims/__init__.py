"""The lesson, statement by statement, in reading order: what it says, what theory predicts, what this run measured.

One claim is one file with a `CLAIM`; this list is the only place that names them all. A claim
judges a `Study` and nothing else, so that a planted run can refute it. Verdicts: confirmed;
nuanced, when it is true with a limit that the lesson does not mention; refuted; untested, with the
missing part named.
"""

from collections.abc import Callable, Iterator

from reports.claims.model import Claim, ClaimOutcome, EvaluatedClaim, judge_claim
from reports.claims.waiting import (
    async_many,
    await_in_def,
    blocks_loop,
    def_pool,
    latency_spike,
    loop_fairness,
    overhead,
    serial_queue,
    server_timer_blind,
    to_thread_free,
)
from reports.claims.work import (
    aiohttp_frees,
    async_session_frees,
    client_reuse,
    cpu_blocks,
    file_read_blocks,
    forgotten_await,
    gather_overlaps,
    httpx_frees,
    process_pool_frees,
    requests_blocks,
    sync_session_blocks,
)
from results.errors import AtonceError, ExitCode

CLAIMS: tuple[Claim, ...] = tuple(
    module.CLAIM
    for module in (
        *(blocks_loop, serial_queue, latency_spike, async_many, def_pool, to_thread_free, overhead),
        *(requests_blocks, httpx_frees, aiohttp_frees, client_reuse),
        *(
            sync_session_blocks,
            async_session_frees,
            file_read_blocks,
            cpu_blocks,
            process_pool_frees,
        ),
        *(forgotten_await, gather_overlaps, await_in_def, server_timer_blind, loop_fairness),
    )
)
__all__ = [
    "CLAIMS",
    "Claim",
    "ClaimOutcome",
    "EvaluatedClaim",
    "claim_lines",
    "claim_needs",
    "judge_claim",
    "select_claims",
]


def select_claims(ids: list[str]) -> list[Claim]:
    """The claims with these ids. Raises Trouble for one that there is not."""
    claims_by_id = {claim.id: claim for claim in CLAIMS}
    if unknown := [claim for claim in ids if claim not in claims_by_id]:
        raise AtonceError(
            f"There is no claim {unknown[0]!r}. There are: {', '.join(claims_by_id)}",
            ExitCode.USAGE,
        )
    return [claims_by_id[claim] for claim in ids]


def claim_needs(ids: list[str]) -> set[str]:
    """All that some claims need together."""
    return {need for claim in select_claims(ids) for need in claim.needs}


def claim_lines(estimate: Callable[[set[str]], float]) -> Iterator[str]:
    """Every claim on a line, with the seconds that it takes alone."""
    for claim in CLAIMS:
        yield f"{claim.id:<20} {estimate(set(claim.needs)):>3.0f} s  {claim.sentence}"
    yield f"next: atonce claims {CLAIMS[0].id}"
