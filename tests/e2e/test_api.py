"""The API for programs: what it reads, what it starts, and what stays out of the caller's process."""

import doctest
import json
import re
import shutil
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any, get_args

import pytest

import atonce
from tests.support.processes import ROOT

STORED = sorted((ROOT / "results").glob("example*"))
SCHEMA = json.loads((ROOT / "reports/render/summary.schema.json").read_text(encoding="utf-8"))
PROGRAMS = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
READ, EXAMINE, TEST, ERRORS = re.findall(r"```python\n(.*?)```", PROGRAMS, re.DOTALL)
PRINTED = re.findall(r"```text\n(.*?)```", PROGRAMS, re.DOTALL)
SHOP = """
import time
from fastapi import FastAPI, Header, HTTPException
app = FastAPI()
@app.get("/search")
async def search(authorization: str = Header("Bearer secret")):
    if authorization != "Bearer secret":
        raise HTTPException(401)
    time.sleep(0.05)
    return []
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with an app whose only route holds the event loop."""
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_python(code: str, folder: Path) -> str:
    """Return what a program prints that finds atonce and nothing else of ours."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_docstrings_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their examples read the stored run of the doctor, and are refused wrong input."""
    monkeypatch.chdir(ROOT)
    assert doctest.testmod(atonce) == doctest.TestResults(failed=0, attempted=7)


@pytest.mark.parametrize(("code", "printed"), [*zip((READ, ERRORS), PRINTED, strict=True)])
def test_the_programs_of_the_documentation_print_what_it_says(code: str, printed: str) -> None:
    """Those that measure nothing; others follow below."""
    assert run_python(code, ROOT) == printed


def test_importing_it_loads_the_standard_library_only(tmp_path: Path) -> None:
    """No package of ours, and none that we depend on."""
    code = "before = {*sys.modules}\nimport atonce\nprint(*{*sys.modules} - before)"
    names = {name.partition(".")[0] for name in run_python(code, tmp_path).split()}
    assert names - sys.stdlib_module_names == {"atonce"}


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.name)
def test_every_stored_run_is_read_whole(path: Path) -> None:
    """Each route, level, line, gate and claim of its summary; nothing in it can be changed."""
    report = atonce.load(path)
    assert (report.path, report.command) == (path, report.raw["command"])
    entries = report.raw["routes"]
    assert list(report.routes) == [entry["route"] for entry in entries]
    for entry, route in zip(entries, report.routes.values(), strict=True):
        assert (route.verdict, route.service_s) == (entry["verdict"], entry["service_s"])
        assert [level.p99_s for level in route.levels] == [
            level["p99_s"] for level in entry["levels"]
        ]
        assert [line.line for line in route.culprits] == [line["line"] for line in entry["blame"]]
        assert list(route.neighbours) == list(entry["neighbours"])
    assert [gate.holds for gate in report.gates] == [gate["holds"] for gate in report.raw["gates"]]
    assert [claim.id for claim in report.claims] == [claim["id"] for claim in report.raw["claims"]]
    with pytest.raises(FrozenInstanceError):
        report.trust = "trusted"  # type: ignore[misc]


def test_the_type_names_every_degree_of_trust() -> None:
    """Those of the published schema."""
    trust: Any = SCHEMA["properties"]["trust"]["properties"]["verdict"]["enum"]
    assert set(get_args(atonce.Trust)) == set(trust)


def test_a_missing_summary_is_rendered(honest_run: Path, tmp_path: Path) -> None:
    """It is only derived from the run."""
    run = tmp_path / "run"
    shutil.copytree(honest_run, run, ignore=shutil.ignore_patterns("report"))
    report = atonce.load(run)
    assert (report.path, report.trust, report.exit_code) == (run.resolve(), "trusted", None)
    assert report.routes["GET /broken-async"].holds_event_loop
    assert (run / "report" / "index.html").exists()


@pytest.mark.parametrize("summary", ['{"format": 1', '{"format": 1}', "[]", "{}"])
def test_a_cut_summary_is_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summary: str
) -> None:
    """Seen here by the attempt, which fails."""

    def refuse_start(*_arguments: Any, **_options: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "summary.json").write_text(summary, encoding="utf-8")
    monkeypatch.setattr(subprocess, "Popen", refuse_start)
    with pytest.raises(atonce.AtonceError, match="atonce report cannot be started"):
        atonce.load(tmp_path)


def test_a_summary_of_a_newer_atonce_is_refused(tmp_path: Path) -> None:
    """It may mean something else."""
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "summary.json").write_text('{"format": 2}', encoding="utf-8")
    with pytest.raises(atonce.AtonceError, match=r"Upgrade atonce\.$") as refused:
        atonce.load(tmp_path)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("target", "options", "code", "sentence"),
    [
        ("shop:app", {"gates": "p99 < 3"}, 2, "p99 < 3"),
        ("shop:app", {"budget": 0.5}, 2, "0.5s"),
        ("shop:app", {"requests": 1}, 2, "Invalid value for '--requests'"),
        ("shop:app", {"headers": {"secret without colon\n": ""}}, 2, "header"),
        ("shop:app", {"out": "/dev/null"}, 2, "Name another folder with --out"),
        ("shop:app", {"cwd": "/nowhere"}, 2, "/nowhere"),
        ("shop:app", {"python": "/nowhere"}, 2, "--python /nowhere"),
        ("http://127.0.0.1:9", {"env": {"A": "b"}}, 2, "--env is only for MODULE:APP"),
        ("http://127.0.0.1:9", {}, 4, "127.0.0.1:9"),
        ("shop:missing", {}, 4, "shop:missing"),
        ("--help", {}, 2, "invalid app '--help'"),
    ],
)
def test_wrong_input_is_a_sentence(
    shop: Path, target: str, options: dict[str, Any], code: int, sentence: str
) -> None:
    """It is the command's own, with its exit code; nothing was measured."""
    with pytest.raises(atonce.AtonceError) as refused:
        atonce.examine(target, **{"out": shop / "runs", **options})
    assert (refused.value.exit_code, refused.value.report) == (code, None)
    assert sentence in str(refused.value)
    assert "Traceback" not in str(refused.value)


@pytest.mark.parametrize(
    ("flag", "sentence"), [("--nosuch", "No such option"), ("--dry-run", "printed no report")]
)
def test_a_flag_that_gives_no_report_is_an_error(shop: Path, flag: str, sentence: str) -> None:
    """The command's complaint, or that it printed no report."""
    with pytest.raises(atonce.AtonceError, match=sentence) as refused:
        atonce.examine("shop:app", flag, cwd=shop)
    assert refused.value.exit_code == 2


def test_secrets_stand_in_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of a machine can list command lines; only the owner reads an environment."""
    started: list[Any] = []

    def refuse_start(command: list[str], **options: Any) -> None:
        started.extend([command, options["env"]])
        raise OSError(7, "Argument list too long")

    monkeypatch.setattr(subprocess, "Popen", refuse_start)
    with pytest.raises(atonce.AtonceError, match="Argument list too long"):
        atonce.examine(
            "shop:app",
            "--factory",
            routes="POST /search",
            params={"key": "secret-1"},
            headers={"A": "secret-2", "B": "x, y"},
            bodies={"POST /search": '{"a": "secret-3"}'},
            env={"KEY": "secret-4"},
            budget=90,
        )
    command, environment = started
    assert command[3:] == [
        *("doctor", "--json", "--route=POST /search", "--budget=90s", "--factory", "--", "shop:app")
    ]
    assert json.loads(environment["ATONCE_HEADER"]) == ["A: secret-2", "B: x, y"]
    hidden = {name: environment[f"ATONCE_{name}"] for name in ("PARAM", "BODY", "ENV")}
    assert [json.loads(values)[0][-9:] for values in hidden.values()] == [
        *("=secret-1", 'ecret-3"}', "=secret-4")
    ]


@pytest.mark.slow
@pytest.mark.alone
def test_an_app_is_examined_as_the_documentation_shows(shop: Path) -> None:
    """Its route needs the header; the gate fails, which is a result."""
    sentence, gates = run_python(EXAMINE, shop).splitlines()
    assert sentence.startswith("GET /search serves ")
    assert "shop.py:9 takes" in sentence
    assert gates.startswith("1 ['")
    assert [path.name for path in shop.iterdir() if path.is_dir()] == ["atonce-results"]
    files = [path for path in shop.rglob("atonce-results/**/*") if path.is_file()]
    assert not [path for path in files if b"Bearer secret" in path.read_bytes()]


@pytest.mark.slow
@pytest.mark.alone
def test_the_test_of_the_documentation_fails_for_an_app_that_holds_its_loop(shop: Path) -> None:
    """It shows the sentence that names the line."""
    (shop / "test_shop.py").write_text(TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:locust", "test_shop.py"]
    done = subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 failed" in done.stdout) == (1, True), done.stdout
    assert "GET /search serves " in done.stdout


@pytest.mark.slow
def test_a_timeout_keeps_what_was_measured(shop: Path) -> None:
    """The doctor stops its processes and reports."""
    with pytest.raises(atonce.AtonceError) as ended:
        atonce.examine("shop:app", timeout=12, out="runs")
    assert ended.value.exit_code == 130
    if ended.value.report:
        assert ended.value.report.status == "interrupted"
    assert len(list((shop / "runs").iterdir())) == 1
