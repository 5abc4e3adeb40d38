"""Names are standard terms and texts are plain: banned words, and how functions are named."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import PLAIN_FILES
from tests.support.processes import ROOT

IDENTIFIERS = {"one", "found", "told", "held", "had", "who", "lodger", "ward", "patient"}
PROSE = {"told", "whoever", "whom", "somebody", "nobody", "meanwhile", "reckon", "spoilt"}
PROSE |= {"lodger", "ward", "patient", "guest", "exam", "handbook", "guilty", "innocent", "blame"}
PROSE |= {"beside", "asks", "asked", "bears"}
# The product's docstrings, comments, messages and templates: fewer words, since code speaks too.
CODE_PROSE = {"told", "tell", "tells", "somebody", "nobody", "whoever", "whom", "meanwhile"}
CODE_PROSE |= {"spoilt", "reckon", "guilty", "innocent", "handbook", "misfortune"}
CODE_PROSE |= {"ward", "lodger", "patient"}
HISTORY = {
    "results/schema.py": {"told", "patient"}
}  # keys of run.json, in the history of its format
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


def document_text(text: str) -> str:
    """Return a document's own prose: no code, no link's target, no block that a program writes."""
    patterns = (r"<!-- figures:.*?<!-- end -->", r"^```.*?^```$", r"`[^`\n]+`", r"\]\([^)]*\)")
    return re.sub("|".join(patterns), " ", text, flags=re.DOTALL | re.MULTILINE)


def python_text(source: str) -> str:
    """Return a file's docstrings, comments and messages, without code spans.

    A string without a blank is a key or a name; some of these are contracts.
    """
    strings = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return re.sub(r"`[^`\n]+`", " ", "\n".join((*strings, *comments)))


def template_text(source: str) -> str:
    """Return what a template says: no style, no expression, no name of a class."""
    patterns = (
        r"<style.*?</style>",
        r"\{[{%#].*?[}%#]\}",
        r"(class|id|href)=(\"[^\"]*\"|\w+)",
        r"<code>.*?</code>",
    )
    return re.sub("|".join(patterns), " ", source, flags=re.DOTALL)


def banned_words(text: str, banned: set[str] = PROSE) -> set[str]:
    """Return the banned words in a text."""
    return set(re.findall(r"[a-z]+", text.lower())) & banned


def product_files() -> Iterator[Path]:
    """Return the product's Python files and page templates."""
    yield from ROOT.glob("*.py")
    for room in ROOMS:
        yield from python_files(room)
        yield from (ROOT / room).glob("render/*.html")


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_prose_is_plain(name: str) -> None:
    """In all documents."""
    assert banned_words(document_text((ROOT / name).read_text(encoding="utf-8"))) == set()


def test_texts_of_the_product_are_plain() -> None:
    """Docstrings, comments, messages and templates of all files."""
    banned = {}
    for path in product_files():
        read = template_text if path.suffix == ".html" else python_text
        name = path.relative_to(ROOT).as_posix()
        banned_here = CODE_PROSE - HISTORY.get(name, set())
        if words := banned_words(read(path.read_text(encoding="utf-8")), banned_here):
            banned[name] = words
    assert banned == {}


def test_the_guard_sees_banned_prose() -> None:
    """In a docstring, a comment, a message and a template; not in a key or a code span."""
    source = (
        '''"""Nobody waits."""\nx = run["patient"]  # `told`, meanwhile\nprint(f"{x} asks you")\n'''
    )
    assert banned_words(python_text(source)) == {"nobody", "meanwhile", "asks"}
    assert banned_words(template_text("<p class=guest>{{ told }} by whom")) == {"whom"}
    assert banned_words(document_text("`told` [by](whom) us, beside\n```\nward\n```\n")) == {
        "beside"
    }
