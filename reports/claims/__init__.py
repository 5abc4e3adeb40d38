"""The lesson's statements: sentence, prediction, and how a run is judged. One topic is one file.

A claim judges a `RunMetrics` and nothing else, so that a simulated run can refute it. It is
confirmed; nuanced, when it is true with a limit that the lesson does not mention; refuted; or
untested, with the missing data named.
"""

from collections.abc import Callable, Iterator

from reports.claims import (
    cpu,
    databases,
    files,
    forgotten_await,
    gather,
    http_clients,
    loop_fairness,
    no_op,
    queueing,
    waiting,
)
from reports.claims.model import Claim, ClaimOutcome, EvaluatedClaim, judge_claim
from results.errors import AtonceError, ExitCode

_TOPICS = (
    *(waiting, queueing, no_op, http_clients, databases, files, cpu),
    *(forgotten_await, gather, loop_fairness),
)
# The order of the lesson. A claim that is not listed comes last.
_READING_ORDER = (
    *("blocks-loop", "serial-queue", "latency-spike", "async-many", "def-pool", "to-thread-free"),
    *("overhead", "requests-blocks", "httpx-frees", "aiohttp-frees", "client-reuse"),
    *("sync-session-blocks", "async-session-frees", "file-read-blocks", "cpu-blocks"),
    *("process-pool-frees", "forgotten-await", "gather-overlaps", "await-in-def"),
    *("server-timer-blind", "loop-fairness"),
)


def _reading_position(claim: Claim) -> int:
    is_listed = claim.id in _READING_ORDER
    return _READING_ORDER.index(claim.id) if is_listed else len(_READING_ORDER)


# Every claim that stands in a topic's file.
CLAIMS = tuple(
    sorted(
        (value for topic in _TOPICS for value in vars(topic).values() if isinstance(value, Claim)),
        key=_reading_position,
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
