"""The agent around an app, without a server: what it reports, and that the app is unaffected."""

import asyncio
import gc
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import anyio.to_thread
import httpx
import pytest
import uvloop

from scenarios.doctor.app import AppUnderTest
from scenarios.doctor.options import DoctorOptions
from scenarios.system.child_process import supervised_process
from targets.agent.entrypoint import create_app
from tests.support.processes import free_port, wait_for_server
from tests.targets.test_probe import call, read

numbers = itertools.count()
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

SHOP = """
import contextlib
from fastapi import APIRouter, FastAPI, WebSocket
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

class Item(BaseModel):
    name: str = "lamp"

def other_item():
    class Item(BaseModel):
        zip: int
    return Item

@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"lamp": 1}

app, sub = FastAPI(lifespan=lifespan), FastAPI()
items, secret = APIRouter(prefix="/v1/items"), APIRouter(prefix="/secret", include_in_schema=False)

@items.get("/{item_id}")
async def read_item(item_id: int) -> Item: ...
@items.post("")
def make_item(item: Item) -> Item: ...
@secret.get("/plans")
def plans(year: int): ...
@app.head("/alive", include_in_schema=False)
async def alive(): ...
@app.websocket("/talk")
async def talk(socket: WebSocket): ...
@sub.get("/deep/{x:path}")
def deep(x: str) -> other_item(): ...

app.include_router(items)
app.include_router(secret)
app.mount("/sub", sub)
app.mount("/static", StaticFiles(directory="."))
around = CORSMiddleware(app)
"""

PLAIN = """
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Mount, Route

class Both(HTTPEndpoint):
    async def get(self, request): ...
    def post(self, request): ...

def here(request): ...
app = Starlette(
    routes=[Route("/both/{x:int}", Both), Mount("/below", routes=[Route("/here", here)])]
)
"""


class House:
    """The folders of a run and of the user, for one session."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.home, self.run = folder / "home", folder / "run"
        (self.run / "guest").mkdir(parents=True)
        self.home.mkdir()
        self.patch = patch
        patch.syspath_prepend(self.home)

    def lodge(self, text: str, name: str = "app", **more: Any) -> Any:
        """The app of a user's module, wrapped by the agent."""
        module = f"shop_{next(numbers)}"
        (self.home / f"{module}.py").write_text(text, encoding="utf-8")
        order = {
            "app": f"{module}:{name}",
            "factory": False,
            "home": str(self.home),
            "folder": str(self.run),
            "process": "app-1",
        }
        self.patch.setenv(
            "ATONCE_AGENT", json.dumps({**order, "secret": "s", "census": True, **more})
        )
        return create_app()

    def read(self, what: str) -> Any:
        """What the agent wrote."""
        return json.loads((self.run / "guest" / f"{what}-app-1.json").read_text(encoding="utf-8"))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """Folders in which the agent finds an app."""
    return House(tmp_path, monkeypatch)


@asynccontextmanager
async def living(app: Any, state: dict[str, Any] | None = None) -> AsyncIterator[list[str]]:
    """Play the server's part in a lifespan; yield what the app says."""
    words: asyncio.Queue[str] = asyncio.Queue()
    said: list[str] = []
    up = asyncio.Event()

    async def receive() -> dict[str, str]:
        return {"type": await words.get()}

    async def send(message: Any) -> None:
        said.append(message["type"].removeprefix("lifespan."))
        up.set()

    task = asyncio.ensure_future(
        app({"type": "lifespan", "state": {} if state is None else state}, receive, send)
    )
    words.put_nowait("lifespan.startup")
    await asyncio.wait_for(up.wait(), 60)
    yield said
    words.put_nowait("lifespan.shutdown")
    await asyncio.wait_for(task, 60)


async def lived(app: Any, state: dict[str, Any] | None = None) -> list[str]:
    """A whole lifespan; what the app said."""
    async with living(app, state) as said:
        pass
    return said


def run(work: Coroutine[Any, Any, Any], loop: str = "asyncio") -> Any:
    """On one of the two loops."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(work)


@pytest.mark.parametrize("name", ["app", "around"])
@pytest.mark.parametrize("loop", LOOPS)
def test_the_app_info_knows_every_route_of_a_fastapi_app(
    house: House, loop: str, name: str
) -> None:
    """Routers, mounts, hidden routes, WebSockets; also below a middleware put around by hand."""
    run(lived(house.lodge(SHOP, name)), loop)
    app_info = house.read("census")
    assert {
        ("GET", "/v1/items/{item_id}", "http", False, True),
        ("POST", "/v1/items", "http", False, False),
        ("GET", "/secret/plans", "http", True, False),
        ("HEAD", "/alive", "http", True, True),
        ("GET", "/talk", "websocket", False, True),
        ("GET", "/sub/deep/{x}", "http", False, False),
        ("GET", "/static", "mount", False, True),
    } == {
        (route["method"], route["path"], route["kind"], route["hidden"], route["is_async"])
        for route in app_info["routes"]
    }
    plans = next(route for route in app_info["routes"] if route["path"] == "/secret/plans")
    assert SHOP.splitlines()[plans["line"] - 1] == '@secret.get("/plans")'
    assert Path(plans["file"]).parent == house.home
    assert plans["endpoint"].endswith(".plans")
    assert (app_info["loop"], app_info["python"]) == (loop, sys.version.split()[0])
    assert set(app_info["framework"].values()) & {None} == set()


def test_the_description_hides_nothing_and_the_apps_own_stays_as_it_was(house: House) -> None:
    """Two models of one name in two apps stay two."""
    probe = house.lodge(SHOP)
    run(lived(probe))
    document, app = house.read("census")["openapi"], probe.app.app
    assert {"/v1/items/{item_id}", "/v1/items", "/secret/plans", "/alive", "/sub/deep/{x}"} == set(
        document["paths"]
    )
    answers = [
        document["paths"][path]["get"]["responses"]["200"]
        for path in ("/v1/items/{item_id}", "/sub/deep/{x}")
    ]
    names = [
        answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for answer in answers
    ]
    assert [list(document["components"]["schemas"][name]["properties"]) for name in names] == [
        ["name"],
        ["zip"],
    ]
    assert app.openapi_schema is None
    assert {"/v1/items/{item_id}", "/v1/items"} == set(app.openapi()["paths"])


def test_an_app_whose_description_fails_is_counted_all_the_same(house: House) -> None:
    """The app's own description fails: ours replaces it."""
    run(lived(house.lodge(SHOP + "app.openapi = lambda: 1 / 0\n")))
    assert "/secret/plans" in house.read("census")["openapi"]["paths"]
    run(lived(house.lodge(SHOP + "app.version = None\nsub.version = None")))
    app_info = house.read("census")
    assert (app_info["openapi"], len(app_info["routes"])) == (None, 7)


WORDS = """
import threading
import time
turned, seen = threading.Event(), []
in_own_words = app.openapi
def describe():
    loop.call_soon_threadsafe(turned.set)
    seen.append(turned.wait(5))
    return in_own_words()
app.openapi = describe
"""


def test_the_description_is_made_once_while_the_loop_goes_on(house: House) -> None:
    """The app describes itself; only what it leaves out is described beside it."""
    probe, described = house.lodge(SHOP + WORDS), []
    module, utils = (
        sys.modules[probe.app.app.openapi.__module__],
        sys.modules["fastapi.openapi.utils"],
    )
    original = utils.get_openapi

    def listen(**words: Any) -> dict[str, Any]:
        described.append([route.path for route in words["routes"]])
        return dict(original(**words))

    house.patch.setattr(utils, "get_openapi", listen)

    async def live() -> None:
        module.loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
        await lived(probe)

    run(live())
    assert module.seen == [True]
    assert [sorted(paths) for paths in described if "/secret/plans" in paths] == [
        ["/alive", "/secret/plans"]
    ]
    assert {"/v1/items/{item_id}", "/v1/items", "/secret/plans", "/alive", "/sub/deep/{x}"} == set(
        house.read("census")["openapi"]["paths"]
    )


def test_only_the_first_process_is_asked_what_it_is(house: House) -> None:
    """Of a later one no program reads it."""
    probe = house.lodge(SHOP + WORDS + "loop = None\n", census=False)
    assert run(lived(probe)) == ["startup.complete", "shutdown.complete"]
    assert sys.modules[probe.app.app.openapi.__module__].seen == []
    assert list((house.run / "guest").iterdir()) == []


SAME_NAME = """
from fastapi import FastAPI
from pydantic import create_model
app = FastAPI()
shown, hidden = create_model("Item", name=(str, ...)), create_model("Item", zip=(int, ...))
def show(item: shown): ...
def hide(item: hidden): ...
app.post("/a")(show)
app.post("/b", include_in_schema=False)(hide)
"""


def test_models_of_hidden_routes_keep_their_own_meaning(house: House) -> None:
    """Two of one name, one of them hidden, stay two."""
    run(lived(house.lodge(SAME_NAME)))
    document = house.read("census")["openapi"]
    bodies = [
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path in ("/a", "/b")
    ]
    names = [body["$ref"].rpartition("/")[2] for body in bodies]
    assert [list(document["components"]["schemas"][name]["properties"]) for name in names] == [
        ["name"],
        ["zip"],
    ]


def test_a_starlette_app_is_counted_too(house: House) -> None:
    """Classes by method, no implicit HEAD, and no description."""
    run(lived(house.lodge(PLAIN)))
    app_info = house.read("census")
    routes = [(route["method"], route["path"], route["is_async"]) for route in app_info["routes"]]
    assert routes == [
        ("GET", "/both/{x}", True),
        ("POST", "/both/{x}", False),
        ("GET", "/below/here", False),
    ]
    assert app_info["openapi"] is None


def test_the_lifespan_passes_through(house: House) -> None:
    """The server gets the app's state and words."""
    state: dict[str, Any] = {}
    assert run(lived(house.lodge(SHOP), state)) == ["startup.complete", "shutdown.complete"]
    assert state == {"lamp": 1}


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that the agent's thread does at its next tick."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_watchdog_comes_and_goes_with_the_drivers_file(house: House, loop: str) -> None:
    """Off, none of its code is loaded; on again, it appends; its file's time says that it is on."""
    house.patch.delitem(sys.modules, "targets.agent.watchdog", raising=False)
    # else the package would keep the module that is imported anew
    house.patch.delattr("targets.agent.watchdog", raising=False)
    watch_file = house.run / "guest" / "app-1.watch"
    holds = house.run / "holds" / f"app-1-{os.getpid()}.jsonl"
    usual = sys.getswitchinterval(), len(gc.callbacks)

    def is_on() -> bool:
        return "atonce-watch" in {thread.name for thread in threading.enumerate()}

    def has_begun() -> bool:
        return holds.exists() and holds.stat().st_mtime >= watch_file.stat().st_mtime

    def has_held(before: int) -> bool:
        return len(holds.read_text(encoding="utf-8").splitlines()) > before

    async def live(app: Any) -> None:
        async with living(app):
            await asyncio.sleep(0.25)
            assert "targets.agent.watchdog" not in sys.modules
            assert not is_on()
            for turn in range(2):
                watch_file.touch()
                await until(has_begun)
                time.sleep(0.06)  # noqa: ASYNC251 - the held loop is the point
                await until(partial(has_held, turn))
                assert sys.getswitchinterval() < usual[0]
                watch_file.unlink()
                await until(lambda: not is_on())
                assert (sys.getswitchinterval(), len(gc.callbacks)) == usual
            watch_file.touch()
            await until(is_on)
        assert not is_on()  # it ends with the app

    run(live(house.lodge(SHOP)), loop)


SLOW = """
import asyncio
from fastapi import FastAPI

app = FastAPI()


@app.get("/slow")
async def slow() -> None:
    await asyncio.sleep(0.5)
"""


@pytest.mark.parametrize("loop", LOOPS)
def test_the_wait_sampler_comes_and_goes_with_the_drivers_file(house: House, loop: str) -> None:
    """Off, none of its code is loaded. It counts the app's requests, and not the neighbours'."""
    for module in ("await_chain", "wait_objects", "wait_sampler"):
        house.patch.delitem(sys.modules, f"targets.agent.{module}", raising=False)
        house.patch.delattr(f"targets.agent.{module}", raising=False)
    switch = house.run / "guest" / "app-1.profile"
    waits = house.run / "waits" / f"app-1-{os.getpid()}.jsonl"

    def is_on() -> bool:
        return "atonce-waits" in {thread.name for thread in threading.enumerate()}

    def has_looked() -> bool:
        return waits.exists() and '"requests":1,' in waits.read_text(encoding="utf-8")

    async def live(app: Any) -> None:
        async with living(app):
            await asyncio.sleep(0.25)
            assert not {name for name in sys.modules if name.startswith("targets.agent.wait")}
            assert not is_on()
            switch.touch()
            await until(is_on)
            requests = [
                asyncio.create_task(call(app, path))
                for path in ("/slow", "/_atonce-s/async", "/_atonce-s/def")
            ]
            await until(has_looked)
            await asyncio.gather(*requests)
            switch.unlink()
            await until(lambda: not is_on())
            switch.touch()
            await until(is_on)
        assert not is_on()  # it ends with the app

    run(live(house.lodge(SLOW)), loop)
    lines = [json.loads(line) for line in waits.read_text(encoding="utf-8").splitlines()]
    places = [line for line in lines if line["kind"] == "place" and line["what"] == "sleep"]
    own = {place["frames"][1]["line"] for place in places}
    assert own == {SLOW.splitlines().index("    await asyncio.sleep(0.5)") + 1}
    assert max(line["requests"] for line in lines if line["kind"] == "look") == 1


def test_a_watchdog_that_cannot_start_says_why_and_the_app_lives_on(house: House) -> None:
    """The driver need not wait for it."""
    (house.run / "guest" / "app-1.watch").touch()
    (house.run / "holds").write_text("in the way")

    async def live(app: Any) -> None:
        async with living(app):
            await until((house.run / "guest" / "unwatched-app-1.json").exists)

    run(live(house.lodge(SHOP)))
    assert "FileExistsError" in house.read("unwatched")["why"]


@pytest.mark.parametrize("body", ["assert scope['type'] == 'http'", "return", "await receive()"])
def test_an_app_without_a_lifespan_is_probed_as_long_as_it_is_served(
    house: House, body: str
) -> None:
    """Whether it refuses, ignores or reads the question."""

    async def live(app: Any) -> list[str]:
        async with living(app) as said:
            await asyncio.sleep(0.25)
        return said

    text = f"async def app(scope, receive, send):\n    {body}\n"
    assert run(live(house.lodge(text))) == ["startup.complete", "shutdown.complete"]
    assert house.read("census")["routes"] == []
    assert (
        len([line for line in read(house.run / "probe", "app-1") if line["kind"] == "sample"]) >= 2
    )


TROUBLES = [
    (
        "import shop_that_is_not\n",
        "app",
        "cannot be imported",
        "ModuleNotFoundError: No module named 'shop_that_is_not'",
        1,
    ),
    (
        "def f():\n    raise SystemExit('no key')\nf()\n",
        "app",
        "cannot be imported",
        "SystemExit: no key",
        2,
    ),
    ("import json\njson.loads('{')\n", "app", "cannot be imported", "JSONDecodeError", 2),
    ("x = 1\ny = (\n", "app", "cannot be imported", "SyntaxError", 2),
    (
        "from pydantic import TypeAdapter\nx = 'geheim'\nTypeAdapter(int).validate_python(x)\n",
        "app",
        "cannot be imported",
        "should be a valid integer",
        3,
    ),
    ("x = 1\n", "app", "does not exist", "has no attribute 'app'", None),
    ("class x: y = 1\n", "x.z", "does not exist", "has no attribute 'z'", None),
    ("app = 7\n", "app", "is not an ASGI app", "it is of type int", None),
    ("import json as app\n", "app", "is not an ASGI app", "it is the module json", None),
    ("def app(environ, start_response): ...\n", "app", "is not an ASGI app", "WSGI", None),
    ("import flask\napp = flask.Flask('x')\n", "app", "is not an ASGI app", "WSGI", None),
    ("def app(): ...\n", "app", "is not an ASGI app", "--factory", None),
    ("from fastapi import FastAPI as app\n", "app", "is not an ASGI app", "--factory", None),
    ("async def app(): ...\n", "app", "is not an ASGI app", "scope, receive and send", None),
]


@pytest.mark.parametrize(("text", "name", "what", "message", "line"), TROUBLES)
def test_an_app_that_cannot_be_had_says_why_and_where(  # noqa: PLR0913, PLR0917
    house: House,
    capfd: pytest.CaptureFixture[str],
    text: str,
    name: str,
    what: str,
    message: str,
    line: int | None,
) -> None:
    """The innermost line of the user's own code, and no value that might be a secret."""
    with pytest.raises(SystemExit, match="3"):
        house.lodge(text, name)
    trouble = house.read("trouble")
    assert trouble["what"] == what
    assert message in trouble["message"]
    assert trouble["line"] == line
    assert (trouble["file"] or str(house.home)).startswith(str(house.home))
    assert "geheim" not in trouble["message"] + capfd.readouterr().err


def test_why_an_app_cannot_be_had_is_kept_without_what_was_passed_to_it(house: House) -> None:
    """Only its owner can read it: a killed process leaves it behind."""
    with pytest.raises(SystemExit):
        house.lodge("raise OSError('no user for dbname=x password=hunter2')", hidden=["hunter2"])
    assert house.read("trouble")["message"] == "OSError: no user for dbname=x password=***"
    assert [oct(path.stat().st_mode) for path in (house.run / "guest").glob("trouble-*")] == [
        "0o100600"
    ]


@pytest.mark.parametrize("error", ["NameError", "RuntimeError"])
def test_an_app_whose_signature_cannot_be_read_is_taken_as_it_is(house: House, error: str) -> None:
    """Python 3.14 evaluates annotations on access, when TYPE_CHECKING names are missing."""
    odd = f"""
class App:
    @property
    def __signature__(self):
        raise {error}("Scope")
    async def __call__(self, scope, receive, send): ...
app = App()
"""
    assert house.lodge(odd).app.app.__class__.__name__ == "App"


def test_without_a_gil_nobody_is_watched_and_the_reason_is_said(house: House) -> None:
    """Walking another thread's frames is not safe there."""
    house.patch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    (house.run / "guest" / "app-1.watch").touch()

    async def live(app: Any) -> None:
        async with living(app):
            await until((house.run / "guest" / "unwatched-app-1.json").exists)

    run(live(house.lodge(SHOP)))
    assert "PYTHON_GIL=1" in house.read("unwatched")["why"]
    assert not list((house.run / "holds").glob("*"))


def test_a_factory_makes_the_app_or_says_why_not(house: House) -> None:
    """Its own line is named."""
    assert run(lived(house.lodge(SHOP + "def make(): return app", "make", factory=True))) == [
        "startup.complete",
        "shutdown.complete",
    ]
    with pytest.raises(SystemExit):
        house.lodge("def make():\n    raise KeyError('x')", "make", factory=True)
    assert tuple(house.read("trouble")[key] for key in ("what", "message", "line", "function")) == (
        "cannot be created by its factory",
        "KeyError: 'x'",
        2,
        "make",
    )


FAILING = """
import contextlib
from fastapi import FastAPI
@contextlib.asynccontextmanager
async def live(app):
    raise OSError("no base")
    yield
app = FastAPI(lifespan=live)
"""
GIVING_UP = """
async def app(scope, receive, send):
    await send({"type": "lifespan.startup.failed", "message": "no\\nbase"})
"""


@pytest.mark.parametrize(
    ("start", "message", "line"), [(FAILING, "OSError: no base", 6), (GIVING_UP, "base", None)]
)
def test_a_start_up_that_fails_is_said_and_goes_on_to_the_server(
    house: House, start: str, message: str, line: int | None
) -> None:
    """It has the exception's own place, where there is an exception."""
    app = house.lodge(start)
    if line:
        with pytest.raises(OSError, match="no base"):
            run(lived(app))
    else:
        assert run(lived(app)) == ["startup.failed"]
    assert ("fails in its start-up code", message, line) == tuple(
        house.read("trouble")[key] for key in ("what", "message", "line")
    )
    assert not (house.run / "guest" / "census-app-1.json").exists()


def test_the_neighbours_answer_outside_the_users_middleware(house: House) -> None:
    """The async one answers on the loop, the `def` one when one of 40 threads is free.

    Everything else is the user's.
    """
    stubborn = SHOP + (
        "class No:\n    def __init__(self, app): ...\n"
        "    async def __call__(self, scope, receive, send):\n"
        "        await send({'type': 'http.response.start', 'status': 418, 'headers': []})\n"
        "        await send({'type': 'http.response.body', 'body': b''})\napp.add_middleware(No)\n"
    )

    async def ask(app: Any) -> list[tuple[int, bytes]]:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        holding, leave = threading.Event(), threading.Event()

        def hold() -> None:
            holding.set()
            leave.wait(60)

        holder = asyncio.ensure_future(anyio.to_thread.run_sync(hold))
        await asyncio.to_thread(holding.wait, 60)
        waiting = asyncio.ensure_future(call(app, "/_atonce-s/def"))
        at_once = await call(app, "/_atonce-s/async")
        await asyncio.sleep(0.05)
        assert not waiting.done()
        leave.set()
        await holder
        house.patch.delitem(sys.modules, "anyio.to_thread")
        everything = [
            at_once,
            await waiting,
            await call(app, "/_atonce-x/async"),
            await call(app, "/_atonce-s/def"),
        ]
        return [(messages[0]["status"], messages[1]["body"]) for messages in everything]

    answers = run(ask(house.lodge(stubborn)))
    assert answers[:2] == [(200, b'{"neighbour":"async"}'), (200, b'{"neighbour":"def"}')]
    assert [status for status, _ in answers[2:]] == [418, 404]


def test_what_is_in_progress_is_said(house: House) -> None:
    """A task, a thread of AnyIO, two calls that wait for an executor; then none of them."""

    async def ask(app: Any) -> dict[str, int]:
        answer: dict[str, int] = json.loads((await call(app, "/_atonce-s/rest"))[1]["body"])
        return answer

    async def live(app: Any) -> list[dict[str, int]]:
        leave, executor, loop = threading.Event(), ThreadPoolExecutor(1), asyncio.get_running_loop()
        loop.set_default_executor(executor)
        before = await ask(app)
        in_thread = asyncio.ensure_future(anyio.to_thread.run_sync(leave.wait, 60))
        calls = [loop.run_in_executor(None, leave.wait, 60) for _ in range(3)]
        await asyncio.sleep(0.05)
        during = await ask(app)
        leave.set()
        await asyncio.gather(in_thread, *calls)
        return [before, during, await ask(app)]

    before, during, after = run(live(house.lodge(SHOP)))
    more = {"tasks": 1, "threads": 1, "queued": 2}
    assert {name: during[name] - before[name] for name in before} == more
    assert after == before


@pytest.mark.slow
def test_two_workers_of_a_real_server_import_side_by_side(house: House) -> None:
    """Each has its trace log, the app info is whole, and the user's folder stays as it was."""
    (house.home / "shop.py").write_text(SHOP, encoding="utf-8")
    app_under_test = AppUnderTest.from_module(
        DoctorOptions(target="shop:app", app_dir=house.home, workers=2)
    )
    app_under_test.install_agent(house.run)
    env = app_under_test.launch_environment("app-1", house.run, "s", is_first=True)
    url = f"http://127.0.0.1:{free_port()}"
    with supervised_process(
        app_under_test.launch_command(url),
        folder=house.run,
        env=env,
        core=None,
        stdin=DEVNULL,
        stdout=None,
        cwd=house.home,
    ):
        wait_for_server(url)
        assert [httpx.get(f"{url}/_atonce-s/{kind}").status_code for kind in ("async", "def")] == [
            200,
            200,
        ]
    assert len(house.read("census")["routes"]) == 7
    assert len(list((house.run / "probe").iterdir())) == 2
    assert [house.home / "shop.py"] == list(house.home.iterdir())
