"""Which package may import which, which names are safe, what every module must say."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("targets", "scenarios", "results", "reports")
MAY_IMPORT: dict[str, set[str]] = {
    "targets": set(),
    "results": set(),
    "scenarios": {"results"},
    "reports": {"results"},
    "atonce": {"command_line"},
    "command_line": set(ROOMS),
}
ONLY_IN = {
    "locust": [
        *(f"scenarios/{name}.py" for name in ("burst", "crowd", "steady", "neighbours")),
        "scenarios/generator/_locust_user.py",
    ],
    "gevent": [
        f"scenarios/generator/{name}.py"
        for name in (
            *[
                "_locust_user",
                "engine",
                "cell_run",
                "dispatcher",
                "client",
                "standalone",
                "standalone_run",
            ],
        )
    ],
    "geventhttpclient": ["scenarios/generator/client.py"],
    "matplotlib": ["reports/render/charts/*.py"],
    "pandas": ["reports/*.py"],
    "pyarrow": ["results/store.py", "reports/metrics/run_data.py"],
    "fastapi": ["targets/*.py"],
    "subprocess": [
        "scenarios/*.py",
        "targets/upstream.py",
        "targets/lesson/postgres.py",
        "targets/antipatterns/blocking_io.py",
        "atonce.py",
    ],
    "typer": ["command_line.py", "scenarios/doctor/options.py"],
    "jinja2": ["reports/render/page.py"],
}
# loaded into other people's processes; `main` alone opens the command line
STDLIB_ONLY: dict[str, set[str]] = {"targets/agent/*.py": set(), "atonce.py": {"command_line"}}
LONGEST_FILE, LONGEST_FUNCTION = 400, 73  # lines of 100 columns: what 300 and 55 of 132 hold
LONGEST_FILES = {
    "command_line.py": 450,  # a command line is a list of flags, some lines each
}


def sources() -> list[Path]:
    """Every product file, relative to the root."""
    files = [ROOT / "atonce.py", ROOT / "command_line.py"]
    for room in ROOMS:
        modules = (ROOT / room).rglob("*.py")
        files += [path for path in modules if (path.parent / "__init__.py").exists()]
    return sorted(path.relative_to(ROOT) for path in files)


def imported(text: str) -> Iterator[str]:
    """Top-level names that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        # what lies in the same folder belongs to the same package
        elif isinstance(node, ast.ImportFrom) and node.level != 1:
            yield (node.module or "..").partition(".")[0]


def broken_rules(path: Path, text: str) -> Iterator[str]:
    """Imports of one file that its package forbids."""
    room = path.parts[0].removesuffix(".py")
    for name in sorted(set(imported(text))):
        if name in MAY_IMPORT and name != room and name not in MAY_IMPORT[room]:
            yield f"{path}: {room} may not import {name}"
        if name in ONLY_IN and not any(fnmatch(str(path), glob) for glob in ONLY_IN[name]):
            yield f"{path}: {name} may not be imported here"
        for glob, others in STDLIB_ONLY.items():
            if fnmatch(str(path), glob) and name not in sys.stdlib_module_names | others:
                yield f"{path}: only the standard library may be imported here, not {name}"


def test_every_room_keeps_its_doors() -> None:
    """No file imports what its package forbids."""
    broken: list[str] = []
    for path in sources():
        broken += broken_rules(path, (ROOT / path).read_text(encoding="utf-8"))
    assert broken == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("reports/x.py", "import scenarios"),
        ("targets/x.py", "from results.schema import Cell"),
        ("results/x.py", "def f():\n    import pandas"),
        ("scenarios/_x.py", "import locust"),
        ("targets/agent/probe.py", "import anyio"),
        ("targets/agent/probe.py", "from ..workers import leave_with_parent"),
        ("reports/metrics/model.py", "from matplotlib.figure import Figure"),
        ("reports/x.py", "import atonce"),
        ("scenarios/x.py", "from command_line import cli"),
        ("atonce.py", "import typer"),
        ("atonce.py", "def f():\n    from results.errors import ExitCode"),
    ],
)
def test_a_planted_violation_is_seen(path: str, text: str) -> None:
    """The check itself works."""
    assert list(broken_rules(Path(path), text))


def test_no_module_is_named_like_a_standard_one() -> None:
    """Locust registers a locustfile by its stem: `queue.py` would replace the standard module."""
    stems = {path.stem for path in sources()} - {"__init__", "__main__"}
    assert set() == stems & set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", sources(), ids=str)
def test_every_module_has_a_caption_and_stays_small(path: Path) -> None:
    """Line one of the docstring is a sentence; files and functions fit a screen or two."""
    text = (ROOT / path).read_text(encoding="utf-8")
    tree = ast.parse(text)
    caption = (ast.get_docstring(tree) or "").partition("\n")[0]
    assert caption.endswith((".", "?"))
    assert text.count("\n") <= LONGEST_FILES.get(path.name, LONGEST_FILE)
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [
        function.name
        for function in functions
        if (function.end_lineno or 0) - function.lineno >= LONGEST_FUNCTION + flags(function)
    ] == []


def flags(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a command's flags, which are no code."""
    return function.body[0].lineno - function.lineno


def test_importing_results_loads_the_standard_library_only() -> None:
    """`results` loads inside every Locust worker."""
    code = (
        "import sys, results.schema, results.store, results.spool; "
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set() == {"pyarrow", "pandas", "numpy", "gevent", "matplotlib"} & set(seen)


def test_the_judgement_is_pure() -> None:
    """Both rooms import it, and Locust beside one of them: no frames, no arrays, no other room."""
    names = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in sources()
        if path.is_relative_to("results/judgement")
    ]
    assert {"results.judgement", "results.judgement.rules"} <= set(names)
    code = (
        f"import importlib, sys; [importlib.import_module(n) for n in {names}]; "
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"pandas", "numpy", "pyarrow", "gevent", "reports", "scenarios", "targets"}
    assert set() == heavy & set(seen)


def test_no_import_has_the_effect_of_patching_the_interpreter() -> None:
    """Modules other than the locustfiles and the user module import without gevent."""
    safe = [
        path
        for path in sources()
        if not any(fnmatch(str(path), glob) for glob in [*ONLY_IN["gevent"], *ONLY_IN["locust"]])
    ]
    names = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in safe
        if path.stem != "__main__"
    ]
    code = (
        f"import importlib, sys; [importlib.import_module(n) for n in {names}]; "
        "print('gevent' in sys.modules)"
    )
    seen = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.strip() == "False"
