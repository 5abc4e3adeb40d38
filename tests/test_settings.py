"""What is written down for a command line: how it is read, and what gives way to what somebody types."""

from pathlib import Path

import pytest
import typer

from atonce import app
from results.settings import settle

WRITTEN = """
[tool.atonce]
header = "Accept: text/html, application/json"
gate = 'p99(GET /x,y) < 250ms'
route = "GET /a,GET /b"
start = "uvicorn a:b --header x:1,2"
"""


def test_a_comma_separates_routes_and_nothing_that_may_hold_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header, a body, a value and a gate are whole, in the file and in a variable."""
    (tmp_path / "pyproject.toml").write_text(WRITTEN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATONCE_BODY", 'POST /x={"a": 1, "b": 2}')
    monkeypatch.setenv("ATONCE_ENV", "HOSTS=a,b")
    monkeypatch.setenv("ATONCE_PARAM", "ids=1,2")
    monkeypatch.setenv("ATONCE_ONLY", "/a/*,/b/*")
    built = typer.main.get_command(app)
    settle(built)
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
