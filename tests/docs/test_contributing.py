"""Every path that CONTRIBUTING.md and docs/ name exists; its layers are those of pyproject.toml."""

import re
import shlex
import subprocess
import tomllib
from importlib.util import find_spec

import pytest

from tests.support.cli import Here
from tests.support.documents import PLAIN_FILES, code_blocks, shell_commands
from tests.support.processes import ROOT

ENDINGS = r"py|md|html|sh|json|toml|parquet|txt|svg|yml|yaml"
# What a reader makes or owns, and what the text only describes.
FOREIGN = {"./atonce-results", "runs/"}


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
        if path not in FOREIGN
        and not (ROOT / path).exists()
        and not any(file.endswith(f"/{path}") for file in tracked)
        and not any(f"/{path.rstrip('/')}/" in f"/{file}" for file in tracked)
    ]
    assert missing == []


def test_the_layers_are_the_contracts() -> None:
    """Each room's packages, from the top down."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {
        contract["containers"][0]: [layer.split(" | ") for layer in contract["layers"]]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    }
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Layers")[2]
    (block, *_) = code_blocks(text, "text")
    rooms = [line.split(maxsplit=1) for line in re.sub(r"\n +", " ", block).splitlines()]
    written = {
        room: [layer.split(", ") for layer in layers.split(" -> ")] for room, layers in rooms
    }
    assert written == contracts


def test_the_commands_to_measure_again_are_valid(here: Here) -> None:
    """Each runs with --dry-run."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = [line.partition(" #")[0] for line in shell_commands(text)]
    commands = [shlex.split(command) for line in lines for command in line.split(" & ")]
    measuring = [words[1:] for words in commands if words[0] == "atonce" and "--out" in words]
    assert [words[0] for words in measuring] == ["reproduce", "doctor", "selfcheck", "run"]
    for words in measuring:
        assert here(*words, "--dry-run").returncode == 0, words


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_every_named_module_exists(name: str) -> None:
    """Each `python -m MODULE`, in blocks and in sentences."""
    text = (ROOT / name).read_text(encoding="utf-8")
    modules = re.findall(r"python -m ([a-z_.]+)(?=[\s`])", text)
    assert [module for module in modules if not find_spec(module)] == []


def test_a_missing_path_is_seen() -> None:
    """The check itself works."""
    text = "See `reports/nowhere.py`, `docs/*.md`, `GET /x`, `page.html` and `a.b`."
    assert named_paths(text) == ["reports/nowhere.py", "page.html"]
