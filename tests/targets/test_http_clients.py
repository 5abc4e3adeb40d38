"""The routes that call the real upstream, in-process; and how failures under load are counted."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from reports.report import build_report
from results.schema import Scenario, Variant
from scenarios.plans.cells import Times, variant_target
from scenarios.plans.model import Plan, Session
from targets import upstream
from targets.app import app
from tests.e2e.test_driver import run_of

ROUTES = {
    "requests": "/client/requests",
    "in a thread": "/client/requests-def",
    "shared": "/client/httpx",
}
ROUTES |= {"per request": "/client/httpx-per-request", "aiohttp": "/aiohttp"}
FAILING = ("/client/requests-def", "/client/httpx", "/aiohttp")


@pytest.fixture(scope="module")
def replies() -> dict[str, tuple[int, Any]]:
    """Return what the app answers, by path."""
    paths = [f"{route}?seconds=0.01" for route in ROUTES.values()]
    for route in FAILING:
        paths += [f"{route}/{fault}" for fault in upstream.Fault]
    counted = ["/client/counters", "/client/httpx-per-request", "/client/counters?again"]
    return asyncio.run(
        answers(
            [
                *paths,
                "/client/lifecycle",
                "/client/keep-alive",
                "/client/httpx",
                *counted,
                "/aiohttp/counters",
            ]
        )
    )


async def answers(paths: list[str]) -> dict[str, tuple[int, Any]]:
    """Send one request after another, between start-up and shut-down."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://in-process") as client,
    ):
        return {
            path: ((answer := await client.get(path)).status_code, answer.json()) for path in paths
        }


def test_all_ways_to_call_answer_alike(replies: dict[str, tuple[int, Any]]) -> None:
    """They pass on the answer of the upstream."""
    assert [replies[f"{route}?seconds=0.01"] for route in ROUTES.values()] == [
        (200, {"delay": 0.01})
    ] * 5


@pytest.mark.parametrize(
    ("name", "proxy"), [("HTTP_PROXY", "http://127.0.0.1:1"), ("ALL_PROXY", "socks5://127.0.0.1:1")]
)
def test_no_proxy_is_used_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    """For each variable of the environment, which stays as it was."""
    for variable in ("no_proxy", "NO_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, proxy)
    answered = asyncio.run(answers([f"{route}?seconds=0.01" for route in ROUTES.values()]))
    assert list(answered.values()) == [(200, {"delay": 0.01})] * 5
    assert "no_proxy" not in os.environ


@pytest.mark.parametrize("route", FAILING)
def test_failures_of_the_upstream_are_kept_apart(
    replies: dict[str, tuple[int, Any]], route: str
) -> None:
    """Too slow is 504, failing and gone are 502, in each library; the words say which."""
    results = [replies[f"{route}/{fault}"] for fault in ("slow", "error", "gone")]
    assert [status for status, _ in results] == [504, 502, 502]
    for (_, body), words in zip(
        results, ("took too long", "answered with an error", "cannot be reached"), strict=True
    ):
        assert body["detail"].startswith(f"the upstream {words}")


def test_the_shared_client_lives_as_long_as_its_app(replies: dict[str, tuple[int, Any]]) -> None:
    """A request before or after gets an error; shut-down closes the client."""
    _, lifecycle = replies["/client/lifecycle"]
    for when in ("before", "after"):
        assert lifecycle[when]["status"] == 500
        assert lifecycle[when]["error"].startswith("client not initialized: ")
    assert (lifecycle["running"], lifecycle["closed"]) == ({"status": 200, "error": None}, True)


def test_the_upstream_counts_but_for_its_readers(replies: dict[str, tuple[int, Any]]) -> None:
    """A client per request: one connection each. Reading the counters changes none of them."""
    (_, before), (_, after) = replies["/client/counters"], replies["/client/counters?again"]
    assert (
        after["connections"] - before["connections"],
        after["requests"] - before["requests"],
    ) == (1, 1)
    assert (before["pool"], replies["/aiohttp/counters"][1]["pool"]) == (100, 100)


def test_a_shared_client_opens_as_many_connections_as_are_in_flight(
    replies: dict[str, tuple[int, Any]],
) -> None:
    """As long as its keep-alive limit allows."""
    few, _, kept = replies["/client/keep-alive"][1]
    assert few["connections"] == few["users"] == 20
    assert kept["connections"] == kept["users"] == 40
    assert few["requests"] == 100


@pytest.mark.slow
def test_failures_under_load_are_counted_apart_and_never_as_latency(tmp_path: Path) -> None:
    """Each row has its own status; the slow failures, ten times slower, are in no quantile."""
    target, times = variant_target(Variant.ASYNC, 0.02), Times(0.3, 2.0, 5.0)
    cell = replace(
        target.create_cell(Scenario.CROWD, 8, times),
        route="GET /calls",
        path="/calls?seconds=0.02",
        expects=json.dumps({"delay": 0.02}, separators=(",", ":")),
    )
    path, trouble = run_of(
        tmp_path,
        Plan(0.02, (Session(Variant.ASYNC, 0.02, (cell,)),), ()),
        app="tests.support.faulty_upstream_app:app",
    )
    assert trouble is None
    rows = pd.read_parquet(path / "samples.parquet")
    failed = rows[rows.status >= 500]
    assert set(failed.status) == {502, 504}
    assert failed.error.notna().all()
    assert (failed.done - failed.sent)[failed.status == 504].min() >= upstream.FAULT_TIMEOUT
    (route,) = build_report(path).run_metrics.routes
    assert route.top_level is not None
    assert route.top_level.errors == (failed.phase == "steady").sum() > 0
    assert route.top_level.count == ((rows.phase == "steady") & rows.error.isna()).sum() > 0
