"""Names are the field's standard terms: which words are never identifiers, and how functions are named."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT

IDENTIFIERS = {"one", "found", "told", "held", "had", "who", "lodger", "ward", "patient"}
# Of the pages and messages only the next change takes care; until then this list is for code.
PROSE = {"told", "whoever", "whom", "somebody", "nobody", "meanwhile", "reckon", "spoilt"}
PROSE |= {"lodger", "ward", "patient"}
ROOMS = ("targets", "scenarios", "results", "reports")
MAX_SINGLE_WORD_SHARE = 0.15
MAX_REPEATED_NAMES = 5


def python_files(*folders: str) -> list[Path]:
    """The files of these folders, without stored runs and the corpus of foreign apps."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if "corpus" not in path.parts]


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Every name that the code itself gives: variables, parameters, fields, functions, classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def module_functions() -> Iterator[str]:
    """The names of the product's module-level functions."""
    for path in [ROOT / "atonce.py", ROOT / "command_line.py", *python_files(*ROOMS)]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name


@pytest.mark.parametrize("folder", [*ROOMS, "benchmarks", "tests"])
def test_no_identifier_is_a_banned_word(folder: str) -> None:
    """A concrete noun stands in its place: `route`, `check`, `finding`, `matches`."""
    banned = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files(folder)
        for name in identifiers(ast.parse(path.read_text(encoding="utf-8")))
        if name.strip("_").lower() in IDENTIFIERS
    }
    assert banned == set()


def test_the_guard_sees_a_banned_word() -> None:
    """As a loop variable, a parameter, a field and a function."""
    code = "def told(who):\n    x.held = [one for one in y]\n    found = 1\n"
    assert set(identifiers(ast.parse(code))) & IDENTIFIERS == {
        "told",
        "who",
        "held",
        "one",
        "found",
    }


def test_functions_are_named_by_verb_and_object() -> None:
    """Few have a single word; route handlers, commands and the charts' protocol do."""
    names = list(module_functions())
    single = [name for name in names if "_" not in name.strip("_")]
    assert len(single) <= MAX_SINGLE_WORD_SHARE * len(names), sorted(single)


def test_few_names_stand_for_several_functions() -> None:
    """The charts' protocol, FastAPI's `lifespan`, and `main`."""
    repeated = {name: count for name, count in Counter(module_functions()).items() if count > 2}
    assert len(repeated) <= MAX_REPEATED_NAMES, repeated


@pytest.mark.parametrize("path", ["CONTRIBUTING.md"])
def test_prose_is_plain(path: str) -> None:
    """In documents that have been rewritten; the list of files grows."""
    words = set(re.findall(r"[a-z]+", (ROOT / path).read_text(encoding="utf-8").lower()))
    assert words & PROSE == set()
