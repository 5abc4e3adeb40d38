"""A call that `httpx` awaits leaves the loop free."""

from reports.claims.calls import judge_awaited
from reports.claims.model import Claim, Judgement
from reports.metrics.model import Study

VARIANT = "async httpx"


def judge(study: Study) -> Judgement:
    """By the shared client, as the lesson opens it."""
    return judge_awaited(study, VARIANT, "/client/counters", ("clients", "/client/httpx"))


CLAIM = Claim(
    id="httpx-frees",
    sentence="Calls awaited with `httpx.AsyncClient` leave the loop free: as many at once as ask.",
    source="When to Use async def; Making External HTTP Calls",
    judge=judge,
    needs=("neighbours/", f"crowd/{VARIANT}/", "asked/clients"),
)
