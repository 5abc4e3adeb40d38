"""Every path that CONTRIBUTING.md and docs/ name exists."""

import re
import subprocess

import pytest

from tests.support.documents import PLAIN_FILES, PROGRAMS
from tests.support.processes import ROOT

ENDINGS = r"py|md|html|sh|json|toml|parquet|txt|svg|yml|yaml"
# What a reader makes or owns, and what the text only describes.
FOREIGN = {"./atonce-results", "runs/"}
# Files of the layout that other branches bring: to be emptied when they are merged.
PENDING = {
    PROGRAMS,
    "command_line.py",
    "results/verdicts.py",
    "reports/claims/routes.py",
    "scenarios/doctor/settings.py",
}


def named_paths(text: str) -> list[str]:
    """Return the paths among the code spans, without patterns such as `docs/*.md`."""
    spans = re.findall(
        r"`([\w.*/-]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    )
    return [
        span
        for span in spans
        if re.search(rf"(^[A-Za-z.][^ ]*/|\.({ENDINGS})$)", span)
        and "*" not in span
        and "NAME" not in span
    ]


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Return the files of the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_every_named_path_exists(name: str, tracked: list[str]) -> None:
    """A file, a folder, or the end of a file's path where the folder was named before."""
    text = (ROOT / name).read_text(encoding="utf-8")
    missing = [
        path
        for path in named_paths(text)
        if path not in FOREIGN | PENDING
        and not (ROOT / path).exists()
        and not any(file.endswith(f"/{path}") for file in tracked)
        and not any(f"/{path.rstrip('/')}/" in f"/{file}" for file in tracked)
    ]
    assert missing == []


def test_a_missing_path_is_seen() -> None:
    """The check itself works."""
    text = "See `reports/nowhere.py`, `docs/*.md`, `GET /x`, `page.html` and `a.b`."
    assert named_paths(text) == ["reports/nowhere.py", "page.html"]
