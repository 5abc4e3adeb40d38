"""A command line's written settings: how they are read, and what a typed argument overrides."""

from pathlib import Path

import pytest
import typer

from command_line import cli
from results.config import apply_settings
from tests.support.cli import Here

WRITTEN = """
[tool.atonce]
header = "Accept: text/html, application/json"
gate = 'p99(GET /x,y) < 250ms'
route = "GET /a,GET /b"
start = "uvicorn a:b --header x:1,2"
"""


def test_a_comma_separates_routes_and_nothing_that_may_hold_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header, a body, a value and a gate are whole, in the file and in a variable."""
    (tmp_path / "pyproject.toml").write_text(WRITTEN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATONCE_BODY", 'POST /x={"a": 1, "b": 2}')
    monkeypatch.setenv("ATONCE_ENV", "HOSTS=a,b")
    monkeypatch.setenv("ATONCE_PARAM", "ids=1,2")
    monkeypatch.setenv("ATONCE_ONLY", "/a/*,/b/*")
    built = typer.main.get_command(cli)
    apply_settings(built)
    assert built.context_settings["default_map"]["doctor"] == {
        "header": ["Accept: text/html, application/json"],
        "gate": ["p99(GET /x,y) < 250ms"],
        "route": ["GET /a", "GET /b"],
        "start": "uvicorn a:b --header x:1,2",
        "body": ['POST /x={"a": 1, "b": 2}'],
        "env": ["HOSTS=a,b"],
        "param": ["ids=1,2"],
        "only": ["/a/*", "/b/*"],
    }


def test_a_json_array_in_a_variable_is_several_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program can pass any number of secrets without a command line that shows them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATONCE_HEADER", '["A: 1, 2", "B: 3"]')
    monkeypatch.setenv("ATONCE_ROUTE", '["GET /a,b"]')
    monkeypatch.setenv("ATONCE_BODY", "[not JSON")
    built = typer.main.get_command(cli)
    apply_settings(built)
    assert built.context_settings["default_map"]["doctor"] == {
        "header": ["A: 1, 2", "B: 3"],
        "route": ["GET /a,b"],
        "body": ["[not JSON"],
    }


def test_variables_for_an_app_that_runs_already_are_refused_like_the_flag(
    tmp_path: Path, here: Here
) -> None:
    """It was started without them."""
    shown = here("doctor", BOTH[3], "--dry-run", cwd=tmp_path, ATONCE_ENV="A=b")
    assert (shown.returncode, "--env is only for MODULE:APP" in shown.stderr) == (2, True)


BOTH = ("--start", "typed", "--url", "http://127.0.0.1:9")
TARGET, COMMAND = 'target = "written"', 'start = "written"\nurl = "http://127.0.0.1:9"'


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        (TARGET, (), "invalid app 'written'"),
        (TARGET, ("typed",), "invalid app 'typed'"),
        (TARGET, BOTH, "program 'typed' not found"),
        (TARGET, BOTH[2:], "belong together"),
        (COMMAND, (), "program 'written' not found"),
        (COMMAND, ("typed",), "invalid app 'typed'"),
        (COMMAND, BOTH[:2], "program 'typed' not found"),
        (f"{TARGET}\n{COMMAND}", (), "replace MODULE:APP"),
        ("", ("typed", *BOTH), "replace MODULE:APP"),
        (COMMAND, ("--workers", "4"), "--workers is only for MODULE:APP: your own command"),
        (COMMAND, ("--loop", "uvloop", "--python", "x"), "--python is only for MODULE:APP"),
        (COMMAND, ("--env", "A=b"), "program 'written' not found"),
        ("workers = 4", BOTH, "program 'typed' not found"),  # is there for another app
        ("", (BOTH[3], "--workers", "1"), "--workers is only for MODULE:APP: the app at a URL"),
        ("", (BOTH[3], "--env", "A=b"), "--env is only for MODULE:APP"),
        ("", (BOTH[3], "--env-file", "x"), "--env-file is only for MODULE:APP"),
        ("", (BOTH[3], "--app-dir", "/x"), "--app-dir is only for MODULE:APP"),
        ("", (BOTH[3], "--factory"), "--factory is only for MODULE:APP"),
    ],
)
def test_an_app_that_is_written_down_gives_way_to_one_that_is_typed(
    tmp_path: Path, here: Here, text: str, words: tuple[str, ...], says: str
) -> None:
    """By name or by start command; two typed apps, or two in the file, contradict each other."""
    (tmp_path / "pyproject.toml").write_text(f"[tool.atonce]\n{text}\n", encoding="utf-8")
    shown = here("doctor", "--dry-run", *words, cwd=tmp_path)
    assert (shown.returncode, says in shown.stderr) == (2, True), shown.stderr
