"""The lesson's statements: sentence, prediction, and how a run is judged. One topic is one file.

A claim judges a `RunMetrics` and nothing else, so that a simulated run can refute it. It is
confirmed; nuanced, when it is true with a limit that the lesson does not mention; refuted; or
untested, with the missing data named.
"""

from collections.abc import Callable, Iterator

from reports.claims.cpu import CPU_BLOCKS, PROCESS_POOL_FREES
from reports.claims.databases import ASYNC_SESSION_FREES, SYNC_SESSION_BLOCKS
from reports.claims.files import FILE_READ_BLOCKS
from reports.claims.forgotten_await import FORGOTTEN_AWAIT
from reports.claims.gather import GATHER_OVERLAPS
from reports.claims.http_clients import AIOHTTP_FREES, CLIENT_REUSE, HTTPX_FREES, REQUESTS_BLOCKS
from reports.claims.loop_fairness import LOOP_FAIRNESS
from reports.claims.model import Claim
from reports.claims.no_op import OVERHEAD
from reports.claims.queueing import LATENCY_SPIKE, SERIAL_QUEUE, SERVER_TIMER_BLIND
from reports.claims.waiting import ASYNC_MANY, AWAIT_IN_DEF, BLOCKS_LOOP, DEF_POOL, TO_THREAD_FREE
from results.errors import AtonceError, ExitCode

# Every claim, in the order of the lesson.
CLAIMS = (
    *(BLOCKS_LOOP, SERIAL_QUEUE, LATENCY_SPIKE, ASYNC_MANY, DEF_POOL, TO_THREAD_FREE, OVERHEAD),
    *(REQUESTS_BLOCKS, HTTPX_FREES, AIOHTTP_FREES, CLIENT_REUSE),
    *(SYNC_SESSION_BLOCKS, ASYNC_SESSION_FREES, FILE_READ_BLOCKS, CPU_BLOCKS, PROCESS_POOL_FREES),
    *(FORGOTTEN_AWAIT, GATHER_OVERLAPS, AWAIT_IN_DEF, SERVER_TIMER_BLIND, LOOP_FAIRNESS),
)


def select_claims(ids: list[str]) -> list[Claim]:
    """Return the claims with these ids. Raises AtonceError for an unknown id."""
    claims_by_id = {claim.id: claim for claim in CLAIMS}
    if unknown := [claim for claim in ids if claim not in claims_by_id]:
        raise AtonceError(
            f"There is no claim {unknown[0]!r}. There are: {', '.join(claims_by_id)}",
            ExitCode.USAGE,
        )
    return [claims_by_id[claim] for claim in ids]


def claim_needs(ids: list[str]) -> set[str]:
    """Return the cells that these claims need."""
    return {need for claim in select_claims(ids) for need in claim.needs}


def claim_lines(estimate: Callable[[set[str]], float]) -> Iterator[str]:
    """Return one line per claim, with the seconds that it takes alone."""
    for claim in CLAIMS:
        yield f"{claim.id:<20} {estimate(set(claim.needs)):>3.0f} s  {claim.sentence}"
    yield f"next: atonce claims {CLAIMS[0].id}"
