"""A call that `aiohttp` awaits leaves the loop free."""

from reports.claims.calls import judge_awaited_client
from reports.claims.model import Claim, ClaimResult
from reports.metrics.model import RunMetrics

_VARIANT = "async aiohttp"


def _judge_aiohttp_frees(run_metrics: RunMetrics) -> ClaimResult:
    """By one session of the whole app."""
    return judge_awaited_client(run_metrics, _VARIANT, "/aiohttp/counters", (_VARIANT, "/aiohttp"))


CLAIM = Claim(
    id="aiohttp-frees",
    sentence="Calls awaited with `aiohttp` leave the loop free: as many at once as ask.",
    source="Making External HTTP Calls",
    judge=_judge_aiohttp_frees,
    needs=("neighbours/", f"crowd/{_VARIANT}/"),
)
