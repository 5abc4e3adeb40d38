"""A call that `httpx` awaits leaves the loop free."""

from reports.claims.calls import judge_awaited_client
from reports.claims.model import Claim, ClaimResult
from reports.metrics.model import RunMetrics

_VARIANT = "async httpx"


def _judge_httpx_frees(run_metrics: RunMetrics) -> ClaimResult:
    """By the shared client, as the lesson opens it."""
    return judge_awaited_client(
        run_metrics, _VARIANT, "/client/counters", ("clients", "/client/httpx")
    )


CLAIM = Claim(
    id="httpx-frees",
    sentence="Calls awaited with `httpx.AsyncClient` leave the loop free: as many at once as ask.",
    source="When to Use async def; Making External HTTP Calls",
    judge=_judge_httpx_frees,
    needs=("neighbours/", f"crowd/{_VARIANT}/", "asked/clients"),
)
