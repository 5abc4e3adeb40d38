"""A call that `aiohttp` awaits leaves the loop free."""

from reports.claims.calls import judge_awaited
from reports.claims.model import Claim, Judgement
from reports.metrics.model import Study

VARIANT = "async aiohttp"


def judge(study: Study) -> Judgement:
    """By one session of the whole app."""
    return judge_awaited(study, VARIANT, "/aiohttp/counters", (VARIANT, "/aiohttp"))


CLAIM = Claim(
    id="aiohttp-frees",
    sentence="Calls awaited with `aiohttp` leave the loop free: as many at once as ask.",
    source="Making External HTTP Calls",
    judge=judge,
    needs=("neighbours/", f"crowd/{VARIANT}/"),
)
