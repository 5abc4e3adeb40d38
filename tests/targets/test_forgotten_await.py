"""Slow files and forgotten awaits: the routes in-process, and the check of their answers."""

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from fastapi import FastAPI

from reports.report import build_report
from results.errors import AtonceError
from scenarios.plans.lesson.files import ANSWER
from scenarios.plans.model import Plan
from scenarios.plans.reproduce import plan_for_claims
from scenarios.runner.preflight import check_route
from targets.lesson import files, forgotten_await
from tests.e2e.test_driver import run_of

RIGHT = {
    "in-text": '{"greeting":"Hello Ada 7"}',
    "condition": '{"orders":["mine"]}',
    "saved": '{"answer":"saved"}',
}


def with_app(visit: Callable[[httpx.AsyncClient, Path], Coroutine[Any, Any, None]]) -> None:
    """Visit an app with both topics from its start to its stop; no slow disk may be left behind."""

    async def play() -> Path:
        app = FastAPI()
        app.include_router(files.router)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client,
        ):
            folder: Path = app.state.slow_files
            await visit(client, folder)
            return folder

    assert not asyncio.run(play()).exists()
    assert disks() == []


def disks() -> list[str]:
    """Return the threads that still write slowly."""
    return [thread.name for thread in threading.enumerate() if "write_slowly" in thread.name]


def test_all_ways_to_read_a_slow_file_answer_alike_and_only_one_holds_the_loop() -> None:
    """The loop's own turns during the reading are counted."""

    async def visit(client: httpx.AsyncClient, folder: Path) -> None:
        turns = {}
        for way in ("broken-async", "sync", "to-thread"):
            begin, reading, turns[way] = (
                time.perf_counter(),
                asyncio.create_task(client.get(f"/file/{way}?seconds=0.2")),
                0,
            )
            while not reading.done():
                await asyncio.sleep(0.01)
                turns[way] += 1
            assert (reading.result().status_code, reading.result().text) == (200, ANSWER)
            assert time.perf_counter() - begin >= 0.2
            assert list(folder.iterdir()) == []
        assert turns["broken-async"] <= 3
        assert min(turns["sync"], turns["to-thread"]) >= 6

    with_app(visit)


def test_a_client_that_leaves_takes_file_and_disk_with_it() -> None:
    """The thread that reads goes on to the end, and cleans up."""

    async def visit(client: httpx.AsyncClient, folder: Path) -> None:
        reading = asyncio.create_task(client.get("/file/to-thread?seconds=0.3"))
        # A thread sets no event
        while not (reading.done() or (list(folder.iterdir()) and disks())):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert (len(list(folder.iterdir())), len(disks())) == (1, 1)
        end = time.perf_counter() + 60
        # A thread sets no event
        while (list(folder.iterdir()) or disks()) and time.perf_counter() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert list(folder.iterdir()) == []

    with_app(visit)


def test_a_reader_that_never_opens_leaves_no_file_and_no_disk(tmp_path: Path) -> None:
    """Neither side waits for the other for ever."""

    def give_up() -> None:
        with files.slow_file(tmp_path, 0.2):
            raise PermissionError

    with pytest.raises(PermissionError):
        give_up()
    assert (list(tmp_path.iterdir()), disks()) == ([], [])


class InProcess(httpx.BaseTransport):
    """Calls an app without a server, for a blocking client."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return one complete answer."""

        async def answer() -> httpx.Response:
            app = FastAPI()
            app.include_router(forgotten_await.router)
            answer = await httpx.ASGITransport(
                app, raise_app_exceptions=False
            ).handle_async_request(request)
            return httpx.Response(answer.status_code, content=await answer.aread())

        return asyncio.run(answer())


@pytest.mark.parametrize("shape", ["in-text", "condition"])
def test_the_body_check_stops_a_forgotten_await_that_answers_200(shape: str) -> None:
    """Before any load; its fix passes the same check."""
    with httpx.Client(transport=InProcess(), base_url="http://app") as client:
        assert (
            check_route(client, f"GET /{shape}", f"/pitfall/awaited/{shape}", RIGHT[shape])
            == RIGHT[shape]
        )
        with (
            pytest.warns(RuntimeWarning, match="was never awaited"),
            pytest.raises(
                AtonceError,
                match=r"answers wrongly before any load: status 200, body .*; nothing was loaded",
            ),
        ):
            check_route(client, f"GET /{shape}", f"/pitfall/forgotten/{shape}", RIGHT[shape])


def test_no_check_of_the_answer_finds_a_forgotten_save() -> None:
    """Only the warning shows it."""
    with (
        httpx.Client(transport=InProcess(), base_url="http://app") as client,
        pytest.warns(RuntimeWarning, match="coroutine 'save'"),
    ):
        check_route(client, "GET /saved", "/pitfall/forgotten/saved", RIGHT["saved"])


@pytest.mark.parametrize("shape", ["returned", "in-dict"])
def test_a_coroutine_cannot_be_written_as_json(shape: str) -> None:
    """The client gets a 500; the warning comes once the error is collected."""
    with (
        httpx.Client(transport=InProcess(), base_url="http://app") as client,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        assert client.get(f"/pitfall/forgotten/{shape}").status_code == 500
        gc.collect()
    assert any("was never awaited" in str(warning.message) for warning in caught)


@pytest.mark.slow
def test_the_questions_are_answered_by_a_real_server_and_its_log_warns(tmp_path: Path) -> None:
    """All five coroutines cause warnings, even those that an error kept alive; no load is needed for it."""
    path, trouble = run_of(tmp_path, plan_for_claims({"asked/pitfalls"}))
    assert trouble is None
    judged = {tested.claim.id: tested.result for tested in build_report(path).claims}
    assert {"forgotten-await", "await-in-def"} == set(judged)
    assert "5 warnings in the log" in judged["forgotten-await"].measured


@pytest.mark.slow
def test_a_wrong_200_is_never_put_under_load(tmp_path: Path) -> None:
    """The driver sends one request, and nothing more."""
    session = next(
        session
        for session in plan_for_claims({"crowd/async gather/"}).sessions
        if session.has_lesson_routes
    )
    cells = tuple(
        replace(cell, path="/pitfall/forgotten/in-text", expects=RIGHT["in-text"])
        for cell in session.cells
    )
    path, trouble = run_of(tmp_path, Plan(0.1, (replace(session, cells=cells),), ()))
    assert trouble is not None
    assert "answers wrongly before any load: status 200" in trouble.sentence
    assert len(pd.read_parquet(path / "samples.parquet")) == 0
