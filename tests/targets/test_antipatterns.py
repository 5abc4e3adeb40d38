"""The antipattern app: the right verdict of each route; mistake and fix do the same work."""

import asyncio
import gc
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from results.verdicts import Verdict
from targets.antipatterns import app

WARD_TRUTH = {
    "GET /report/blocked": Verdict.LOOP_BLOCKED,
    "GET /report": Verdict.SCALES,
    "GET /xray/blocked": Verdict.LOOP_BLOCKED,
    "GET /xray/executor": Verdict.EXECUTOR_POOL,
    "GET /xray": Verdict.SCALES,
    "GET /letter/blocked": Verdict.LOOP_BLOCKED,
    "GET /letter": Verdict.SCALES,
    "GET /stock/blocked": Verdict.LOOP_BLOCKED,
    "GET /stock": Verdict.SCALES,
    "GET /beds/queued": Verdict.POOL_LIMITED,
    "GET /beds": Verdict.SCALES,
    "GET /bill/stuck": Verdict.DEADLOCK,
    "GET /bill": Verdict.SCALES,
    "GET /surgery/stuck": Verdict.DEADLOCK,
    "GET /surgery": Verdict.SCALES,
    "GET /dose/forgotten": Verdict.WRONG_ANSWER,
    "GET /dose": Verdict.SCALES,
    "GET /risk/busy": Verdict.LOOP_BUSY,
    "GET /risk/threads": Verdict.GIL_BOUND,
    "GET /risk": Verdict.CPU_BOUND,  # of the cores, no longer of the loop
    "GET /login/busy": Verdict.LOOP_BUSY,
    "GET /login": Verdict.CPU_BOUND,
    "GET /badge/hashed": Verdict.CPU_BOUND,
    "GET /badge": Verdict.SCALES,
    "GET /search/busy": Verdict.LOOP_BUSY,
    "GET /search": Verdict.SCALES,
    "GET /export/busy": Verdict.LOOP_BUSY,
    "GET /export": Verdict.SCALES,
    "GET /insurance/blocked": Verdict.LOOP_BLOCKED,
    "GET /insurance/threads": Verdict.THREAD_POOL,
    "GET /insurance": Verdict.SCALES,
    "GET /patients/blocked": Verdict.LOOP_BLOCKED,
    "GET /patients": Verdict.SCALES,
}


def visited(visit: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
    """Return what a visit to the running antipattern app returns."""

    async def stay() -> Any:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://app") as client,
        ):
            return await visit(client)

    return asyncio.run(stay())


def test_the_truth_of_every_route_is_known() -> None:
    """No route more, none less."""
    assert set(WARD_TRUTH) == {
        f"{method.upper()} {path}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }


def test_every_mistake_answers_as_its_fix_does() -> None:
    """Otherwise it would be no fix; the forgotten `await` cannot answer at all."""

    async def visit(client: httpx.AsyncClient) -> dict[str, tuple[int, bytes]]:
        answers = await asyncio.gather(
            *(client.get(route.partition(" ")[2]) for route in WARD_TRUTH)
        )
        return {
            route: (answer.status_code, answer.content)
            for route, answer in zip(WARD_TRUTH, answers, strict=True)
        }

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers = visited(visit)
        gc.collect()
    assert any("'report' was never awaited" in str(warning.message) for warning in caught)
    assert answers.pop("GET /dose/forgotten")[0] == 500
    for route, answer in answers.items():
        assert (route, answer) == (route, answers["/".join(route.split("/")[:2])])
        assert answer[0] == 200


def test_without_the_lesson_packages_the_app_has_the_other_routes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two topics are missing, and nothing else."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "aiohttp" else find(name)
    )
    for name in [name for name in sys.modules if name.startswith("targets.antipatterns")]:
        monkeypatch.delitem(sys.modules, name)
    small = importlib.import_module("targets.antipatterns").app
    paths = {route.removeprefix("GET ") for route in WARD_TRUTH}
    assert set(small.openapi()["paths"]) == {
        path for path in paths if not path.startswith(("/insurance", "/patients"))
    }
