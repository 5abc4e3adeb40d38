"""One client for the whole app against one per request: connections, CPU and latency; its life; how failures surface."""

from typing import Any

from reports.claims.calls import answers, opened, per_request, summary, unclear
from reports.claims.model import Claim, Judgement, Outcome, measured_route
from reports.metrics.model import Study

POOL = 100  # connections that an httpx client has at most, by its documentation
KEPT = 20  # and that it keeps alive
COSTLIER = 2.0  # times the CPU, at least: reading a bundle of certificates outweighs all else that a small call does
SHARED, EACH = "async httpx", "async httpx-per-request"
ACT = "clients"


def judge(study: Study) -> Judgement:
    """All parts of the statement must hold; what httpx's own keep-alive limit does to it is the nuance."""
    once, again = opened(study, SHARED), opened(study, EACH)
    (_, shared, *_), (_, each, *_) = (measured_route(study, variant) for variant in (SHARED, EACH))
    life = answers(study, ACT, "/client/lifecycle", 1)[0]
    wrong = [] if again.connections == again.requests >= each.completed else ["a client per request did not connect per request"]
    wrong += [] if once.connections <= POOL else ["the shared client opened more connections than its pool has"]
    wrong += [] if per_request(each) >= COSTLIER * per_request(shared) else ["a client per request costs hardly more CPU"]
    wrong += misused(life) + [one for client in ("httpx", "requests-def") for one in unclear(study, ACT, f"/client/{client}")]
    limit = churned(answers(study, ACT, "/client/keep-alive", 1)[0])
    return Judgement(
        predicted=f"per request: connections = requests; shared: connections <= pool size = {POOL}, CPU at most 1/{COSTLIER:g} of it; "
        "an error before start-up, closed after shut-down; 504 for a slow upstream, 502 for an error status and for nobody there",
        measured=f"per request {summary(study, EACH)}; shared {summary(study, SHARED)} and a pool of {once.pool}; "
        f"before start-up {life['before']['status']} ({life['before']['error']}); closed after shut-down: {life['closed']}",
        outcome=Outcome.REFUTED if wrong else Outcome.NUANCED if limit else Outcome.CONFIRMED,
        why="; ".join(wrong) or limit or "connections, certificates and memory are paid for once",
        bars=(("connections per request, own client", again.per_request), ("shared", once.per_request)),
    )


def misused(life: dict[str, Any]) -> list[str]:
    """What is wrong with the shared client outside its app's life, or inside."""
    wrong = [f"used {when} the app's life it raised no clear error" for when in ("before", "after") if not refused(life[when])]
    wrong += [] if life["running"]["status"] < 400 else ["between start-up and shut-down it could not be used"]  # noqa: PLR2004 - an error
    return wrong + ([] if life["closed"] else ["shut-down left it open"])


def refused(one: dict[str, Any]) -> bool:
    """Whether a request failed, with words that say why."""
    return one["status"] >= 500 and "not initialized" in (one["error"] or "")  # noqa: PLR2004 - the server's fault


def churned(found: list[dict[str, Any]]) -> str:
    """What the documented keep-alive limit does to a shared client with more calls in flight; nothing, if it does nothing."""
    told = [f"{one['connections']} connections for {one['requests']} requests of {one['users']} users" for one in found]
    if found[1]["connections"] <= found[1]["users"]:
        return ""
    return (
        f"with httpx's defaults only while at most {KEPT} calls are in flight ({told[0]}): past that it closes what falls idle, as it "
        f"counts busy connections among the {KEPT} it may keep ({told[1]}); max_keepalive_connections={POOL} cures it ({told[2]})"
    )


CLAIM = Claim(
    id="client-reuse",
    sentence="One client that the lifespan opens and closes serves all requests: far fewer connections and less CPU than a client per request.",
    source="Making External HTTP Calls; Async Context Manager Pattern",
    judge=judge,
    needs=(f"crowd/{SHARED}/", f"crowd/{EACH}/", f"asked/{ACT}"),
)
