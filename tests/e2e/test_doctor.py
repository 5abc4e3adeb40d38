"""The doctor on real apps: six known routes, a black box, and all that an app can do wrong."""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from benchmarks.doctor import CORPUS, compare, load
from tests.support.cli import Here
from tests.support.processes import MARK, ROOT, free_port, gone_within, new_mark

APP = "from fastapi import FastAPI\napp = FastAPI()\n"
LIFE = """from contextlib import asynccontextmanager
from fastapi import FastAPI
@asynccontextmanager
async def life(app):
    raise RuntimeError("no database")
    yield
app = FastAPI(lifespan=life)
"""
BAD: list[tuple[str, str, int, str]] = [
    (
        "cannot be imported",
        "import nowhere_at_all",
        4,
        r"No module named 'nowhere_at_all' \(.*shop\.py, line 1",
    ),
    ("is not an ASGI app", "app = 7", 4, r"shop:app is not an ASGI app"),
    ("has no such name", "other = 7", 4, r"shop:app does not exist"),
    ("has no routes", APP, 2, r"declares no routes"),
    (
        "fails in its start-up code",
        LIFE,
        4,
        r"shop:app fails in its start-up code: RuntimeError: no database \(.*shop\.py, line 5",
    ),
]
ODD = """
    import asyncio, os, time
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse, RedirectResponse

    app = FastAPI()
    asked = 0

    @app.get("/html")
    async def html() -> dict[str, int]:
        return HTMLResponse("<h1>Sorry</h1>")

    @app.get("/broken")
    async def broken():
        return HTMLResponse("<h1>Sorry</h1>", 500)

    @app.get("/moved")
    async def moved():
        return RedirectResponse("/broken")

    @app.get("/fails")
    async def fails():
        global asked
        asked += 1
        await asyncio.sleep(0.02)
        return {"asked": 1 / (asked < 40)}
"""


def written(folder: Path, text: str) -> Path:
    """A folder with an app in it."""
    folder.mkdir(exist_ok=True)
    (folder / "shop.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def examined(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`atonce doctor`, as a person would type it in the folder of their app."""
    command = [sys.executable, str(ROOT / "atonce.py"), "doctor", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("text", "code", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_an_app_that_cannot_be_examined_is_said_in_a_sentence(
    tmp_path: Path, here: Here, text: str, code: int, words: str
) -> None:
    """It says what is wrong and where, exits with 4 or 2, leaves nothing in the app's folder."""
    home = written(tmp_path / "home", text)
    shown = here("doctor", "shop:app", "--dry-run", cwd=home)
    assert code == shown.returncode
    assert re.search(words, shown.stderr)
    assert "Traceback" not in shown.stderr
    assert [home / "shop.py"] == list(home.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name your app"),
        (["shop"], "not MODULE:ATTRIBUTE"),
        (["http://example.org"], "is not this machine"),
        (["shop:app", "--start", "x"], "belong together"),
        (["shop:app", "--gate", "p99 < 3"], "p99 is a time"),
        (["shop:app", "--budget", "8"], "invalid duration"),
        (["shop:app", "--gate", "p50 @ 100u < 3s"], "at most 64u"),
        (["shop:app", "--gate", "p50 @ 3000/s < 3s"], "or 1500/s"),
        (["shop:app", "--header", "secret-without-colon"], "invalid --header #1"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_starts(
    tmp_path: Path, here: Here, words: list[str], sentence: str
) -> None:
    """Exit 2; and a secret is not repeated."""
    shown = here("doctor", *words, cwd=tmp_path)
    assert (
        shown.returncode,
        sentence in shown.stderr,
        "secret" in shown.stderr.replace("it may be secret", ""),
    ) == (
        2,
        True,
        False,
    )
    assert list(tmp_path.iterdir()) == []


def test_settings_make_it_one_word(tmp_path: Path, here: Here) -> None:
    """`[tool.atonce]` names the app; the command needs no argument."""
    home = written(tmp_path, APP + "@app.get('/x')\nasync def x(): return 1\n")
    (home / "pyproject.toml").write_text('[tool.atonce]\ntarget = "shop:app"\n', encoding="utf-8")
    shown = here("doctor", "--dry-run", cwd=home)
    assert (shown.returncode, "GET /x  requested as /x" in shown.stdout) == (0, True)
    assert "paid or remote services" in shown.stdout


def test_the_dry_run_says_of_every_route_why_it_is_left_out(tmp_path: Path, here: Here) -> None:
    """`--route` adds to the GET routes, `--only` restricts them, `--exclude` wins over both."""
    routes = "".join(
        f"@app.{method}('/{path}')\nasync def {method}_{path}(): return 1\n"
        for method, path in (("get", "a"), ("get", "b"), ("post", "c"), ("put", "d"))
    )
    home = written(tmp_path / "home", APP + routes)
    flags = ["--route", "POST /c", "--route", "PUT /d", "--only", "/a", "--exclude", "/d"]
    shown = here("doctor", "shop:app", "--dry-run", *flags, cwd=home)
    assert shown.stdout.splitlines()[:4] == [
        "POST /c  requested as /c",
        "GET /a   requested as /a",
        "PUT /d   skipped: --exclude matches it, although --route names it",
        "GET /b   skipped: --only does not match it",
    ]
    assert "2 routes: one user" in shown.stdout


def is_disturbed(summary: dict[str, Any]) -> bool:
    """Whether other work ran on this machine: then a verdict may be missing, but not wrong."""
    return any(
        check["id"] == "V10" and check["status"] in {"warn", "fail"}
        for check in summary["trust"]["checks"]
    )


@pytest.mark.slow
@pytest.mark.alone
def test_six_routes_of_known_truth() -> None:
    """Each verdict and line of the corpus's shop is right, and no order is placed.

    The whole corpus: `python -m benchmarks.doctor`.
    """
    home, easy = CORPUS / "shop", "GET /admin/health"
    truth, mark = load(home), new_mark()
    words = ["--exclude", easy, "--json", "-q", "--out", str(home / "atonce-results")]
    shown = examined(home, truth["app"], *words, **{MARK: mark})
    try:
        summary = json.loads(shown.stdout)
        rows = [
            compare("shop", expected, summary)
            for expected in truth["routes"]
            if expected["route"] != easy
        ]
        abstained = {"unknown", "untrusted"} if is_disturbed(summary) else set()
        wrong = [
            row
            for row in rows
            if row.verdict not in abstained and (not row.right or row.guilty_right is False)
        ]
        assert [(row.route, row.truth, row.verdict, row.note) for row in wrong] == []
        assert len(summary["routes"]) == 6
        assert not (home / "outbox.jsonl").exists()
        assert gone_within(mark) == []
    finally:
        subprocess.run(["rm", "-rf", str(home / "atonce-results")], check=True)


@pytest.mark.slow
def test_odd_answers_are_said_and_a_failing_app_is_left_alone(tmp_path: Path) -> None:
    """HTML instead of JSON is a note; an error or a redirect is reported, not loaded.

    A route that starts to fail is asked no more.
    """
    home = written(tmp_path / "home", ODD)
    shown = examined(home, "shop:app", "--json", "-q", "--out", str(tmp_path / "out"))
    summary = json.loads(shown.stdout)
    verdicts = {route["route"]: route for route in summary["routes"]}
    assert {name: route["verdict"] for name, route in verdicts.items()} == {
        "GET /html": "scales",
        "GET /fails": "wrong-answer",
    }
    assert verdicts["GET /html"]["notes"] == [
        "It answers text/html where its OpenAPI document declares application/json."
    ]
    assert {entry["route"]: entry["why"] for entry in summary["skipped"]} == {
        "GET /broken": "answers 500 to a single request",
        "GET /moved": "redirects to /broken",
    }
    rows = pd.read_parquet(next(tmp_path.glob("out/*/samples.parquet")))
    assert 0 < rows[rows.route == "GET /fails"].error.notna().sum() < 200
    assert [home / "shop.py"] == [path for path in home.iterdir() if path.name != "__pycache__"]


SLUGGISH = """
    import asyncio, os, pathlib, time
    from contextlib import asynccontextmanager
    from fastapi import FastAPI

    @asynccontextmanager
    async def life(app):
        with open(os.environ["STARTS"], "a") as file:
            file.write("started\\n")
        await asyncio.sleep(6)
        yield
        await asyncio.sleep(3600)

    app = FastAPI(lifespan=life)

    @app.get("/awaits")
    async def awaits():
        await asyncio.sleep(0.03)

    @app.get("/threads")
    def threads():
        time.sleep(0.02)

    @app.get("/answers")
    async def answers():
        return 1
"""


@pytest.mark.slow
def test_an_app_slow_to_start_and_stop_serves_all_its_routes_in_one_process(
    tmp_path: Path,
) -> None:
    """One start and one kill; nobody is left behind, and Locust is the same for all."""
    home, starts, mark = written(tmp_path / "home", SLUGGISH), tmp_path / "starts", new_mark()
    words = ["--env", f"STARTS={starts}", "--stop-within", "3s", "--out", str(tmp_path / "out")]
    shown = examined(home, "shop:app", "--json", "-q", *words, **{MARK: mark})
    summary = json.loads(shown.stdout)
    (run,) = tmp_path.glob("out/*")
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert {route["route"] for route in summary["routes"]} == {
        "GET /awaits",
        "GET /threads",
        "GET /answers",
    }
    assert [route["session"] for route in facts["routes"]] == ["route-01", "route-02", "route-03"]
    assert {cell["on"] for cell in facts["plan"]["cells"]} == set(facts["sessions"])
    assert starts.read_text().count("started") == len(facts["sessions"])
    assert len(facts["sessions"]) == 1 or is_disturbed(summary)
    assert any("still ran 3 s after SIGTERM" in note for note in facts["plan"]["notes"])
    assert gone_within(mark) == []


@pytest.mark.slow
def test_a_forgotten_await_is_told_of_every_route_that_has_it(tmp_path: Path) -> None:
    """Though one process serves them all, and its coroutine is forgotten at the same line."""
    routes = """
        from fastapi import Depends, FastAPI, HTTPException
        app = FastAPI()
        async def audit(): pass
        def forgets():
            audit()
        @app.get("/first")
        async def first(_=Depends(forgets)): return 1
        @app.get("/fails")
        async def fails(_=Depends(forgets)): raise HTTPException(500)
        @app.get("/second")
        async def second(_=Depends(forgets)): return 1
    """
    home = written(tmp_path / "home", routes)
    shown = examined(home, "shop:app", "--json", "-q", "--out", str(tmp_path / "out"))
    verdicts = {it["route"]: it["verdict"] for it in json.loads(shown.stdout)["routes"]}
    assert verdicts == dict.fromkeys(("GET /first", "GET /fails", "GET /second"), "wrong-answer")


@pytest.mark.slow
def test_an_app_that_dies_under_load_ends_the_examination(tmp_path: Path) -> None:
    """Exit 4, and what was measured is reported."""
    dies = (
        "import os, itertools\nseen = itertools.count()\n"
        "@app.get('/x')\nasync def x():\n    if next(seen) > 60: os._exit(9)\n"
    )
    home = written(tmp_path / "home", APP + dies)
    shown = examined(home, "shop:app", "-q", "--out", str(tmp_path / "out"))
    assert (
        shown.returncode,
        "The app died (exit code 9) during crowd/GET /x/" in shown.stderr,
    ) == (4, True)
    assert "report:" in shown.stdout


@contextlib.contextmanager
def running(home: Path) -> Iterator[str]:
    """Serve the app in that folder without atonce."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "shop:app",
        "--port",
        str(port),
        "--log-level",
        "warning",
        "--loop",
        "asyncio",
    ]
    process = subprocess.Popen(command, cwd=home)
    try:
        for _ in range(200):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/openapi.json")
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.alone
def test_a_black_box_is_examined_from_outside(tmp_path: Path) -> None:
    """One route holds its loop, another does not and takes a key, which is stored nowhere.

    What cannot be known is said, and the app lives on.
    """
    routes = """
        import asyncio, time
        from fastapi import FastAPI, Security
        from fastapi.security import APIKeyQuery
        app = FastAPI()
        @app.get("/good")
        async def good(key=Security(APIKeyQuery(name="key"))):
            await asyncio.sleep(0.1 / (key == "s3cret"))
        @app.get("/bad")
        async def bad(): time.sleep(0.1)
    """
    home = written(tmp_path / "home", routes)
    with running(home) as url:
        shown = examined(home, url, "--out", str(tmp_path / "out"), "-q", "--param", "key=s3cret")
        assert httpx.get(f"{url}/good?key=s3cret").status_code == 200
    kept = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert (b"/good?key=***" in kept, b"s3cret" in kept, "s3cret" in shown.stdout) == (
        True,
        False,
        False,
    )
    summary = json.loads(
        next(tmp_path.glob("out/*/report/summary.json")).read_text(encoding="utf-8")
    )
    verdicts = {route["route"]: route["verdict"] for route in summary["routes"]}
    abstained = {"unknown", "untrusted"} if is_disturbed(summary) else set()
    assert verdicts["GET /good"] in {"scales"} | abstained
    assert verdicts["GET /bad"] in {"loop-blocked"} | abstained
    assert "A black box" in shown.stdout


def test_a_dry_run_that_fails_keeps_what_the_app_said(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence quotes its last line and names the log, its owner's, without secrets."""
    dies = "import os\nprint('no user', os.environ['KEY'], flush=True)\nos._exit(7)\n"
    home = written(tmp_path / "home", dies)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    shown = here("doctor", "shop:app", "--dry-run", "--env", "KEY=geheim", cwd=home)
    words = (
        r"ended with exit code 7 before it answered\. "
        r"Its last output: no user \*\*\* \(all of it: (.*)\)"
    )
    match = re.search(words, shown.stderr)
    assert match, shown.stderr
    log = Path(match[1])
    assert (log.read_text(encoding="utf-8"), oct(log.stat().st_mode)) == (
        "no user ***\n",
        "0o100600",
    )
    assert [path.name for path in log.parent.iterdir()] == ["log.txt"]
    here("doctor", "nowhere:app", "--dry-run", cwd=home)
    # nothing is kept that no sentence names
    assert [log.parent] == list((tmp_path / "tmp").glob("atonce-*"))
