"""The wheel adds one package, and ignores the user's own packages.

Those may be called `reports` or `results`, as ours are.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from results.store import read_run
from tests.support.processes import MARK, ROOT, free_port, gone_within, new_mark, wait_for_server

pytestmark = pytest.mark.slow


def without_python_settings() -> dict[str, str]:
    """Return the environment of a shell in which no Python environment is active."""
    settings = {"VIRTUAL_ENV", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in settings}


def uv(*words: str, **env: str) -> None:
    """Run uv with the certificates that pip was given."""
    clean = without_python_settings()
    if "PIP_CERT" in clean:
        clean.setdefault("SSL_CERT_FILE", clean["PIP_CERT"])
    command = [str(Path(sys.executable).parent / "uv"), *words]
    done = subprocess.run(
        command, env={**clean, **env}, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from the clone."""
    out = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--out-dir", str(out), str(ROOT))
    return next(out.glob("*.whl"))


def test_the_wheel_adds_only_names_of_ours(wheel: Path) -> None:
    """No `reports` or `results` of the user's is touched; no stored run is shipped."""
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.partition("/")[0] for name in names}
    assert [name for name in folders if not name.endswith(".dist-info")] == ["atonce"]
    rooms = {name.split("/")[2] for name in names if name.startswith("atonce/_rooms/")}
    assert rooms == {"command_line.py", "reports", "results", "scenarios", "targets"}
    files = {"__init__.py", "__main__.py", "py.typed", "_rooms/reports/render/page.html"}
    assert {f"atonce/{name}" for name in files} <= {*names}
    assert not [name for name in names if name.startswith("atonce/_rooms/results/example")]


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the interpreter of an environment with the wheel, the server and mypy."""
    folder = tmp_path_factory.mktemp("venv")
    uv("venv", "--python", sys.executable, str(folder))
    constraints = ("--constraints", str(ROOT / ".ci" / "constraints.txt"))
    path = str(folder / "bin" / "python")
    uv("pip", "install", "--python", path, *constraints, str(wheel), "mypy")
    return path


CLIENT = """
import sys
import reports
import atonce
import results

print(atonce.load(STORED).routes["GET /report/blocked"].verdict)
report = atonce.examine("results.shop:app", budget=120)
print(report.path.parent.name, {name: route.verdict for name, route in report.routes.items()})
print(reports.owner, results.owner)
names = {name.partition(".")[0] for name in sys.modules}
print(names & {"targets", "scenarios", "command_line", "typer", "click", "rich", "numpy"})
"""
SHOP = """
import time
from fastapi import FastAPI
from reports import owner
app = FastAPI()
@app.get("/slow")
async def slow(): time.sleep(0.05); return owner
"""
TYPED = """
import atonce
report = atonce.load("run")
reveal_type(report.routes["GET /x"].levels[0].p99_s)
report.trust == "good"
report.trust = "trusted"
"""


@pytest.mark.alone
def test_a_program_uses_it_beside_its_own_reports_and_results(python: str, tmp_path: Path) -> None:
    """Its packages stay what they are, for it and for the app; none of ours is loaded there."""
    for name in ("reports", "results"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"owner = 'my {name}'\n", encoding="utf-8")
    (tmp_path / "results" / "shop.py").write_text(SHOP, encoding="utf-8")
    stored = f"STORED = {str(ROOT / 'results' / 'example-doctor')!r}\n"
    (tmp_path / "client.py").write_text(stored + CLIENT, encoding="utf-8")
    done = subprocess.run(
        [python, "client.py"],
        cwd=tmp_path,
        env=without_python_settings(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "loop-blocked",
        "atonce-results {'GET /slow': 'loop-blocked'}",
        "my reports my results",
        "set()",
    ], done.stderr


def test_mypy_sees_its_types(python: str, tmp_path: Path) -> None:
    """`py.typed` is shipped: an unknown trust and a change of a report are errors."""
    (tmp_path / "client.py").write_text(TYPED, encoding="utf-8")
    done = subprocess.run(
        [python, "-m", "mypy", "--strict", "client.py"],
        cwd=tmp_path,
        env=without_python_settings(),
        capture_output=True,
        text=True,
        check=False,
    )
    shown, overlap, frozen, total = done.stdout.splitlines()
    assert shown == 'client.py:4: note: Revealed type is "float | None"'
    assert overlap.endswith("[comparison-overlap]")
    assert frozen == 'client.py:6: error: Property "trust" defined in "Report" is read-only  [misc]'
    assert total.startswith("Found 2 errors")


def test_an_installed_tool_works_among_hostile_packages(wheel: Path, tmp_path: Path) -> None:
    """`uv tool install`, then a folder of hostile packages: serve, load, plain Locust, report.

    Three commands lead in: `atonce`, `python -m atonce`, `locust`.
    """
    tools, hostile, mark = tmp_path / "tools", tmp_path / "theirs", new_mark()
    words = (
        "tool",
        "install",
        "--python",
        sys.executable,
        "--constraints",
        str(ROOT / ".ci" / "constraints.txt"),
        str(wheel),
    )
    uv(*words, UV_TOOL_DIR=str(tools), UV_TOOL_BIN_DIR=str(tools / "bin"))
    for room in ("reports", "results", "targets", "scenarios"):
        (hostile / room).mkdir(parents=True)
        (hostile / room / "__init__.py").write_text(
            'raise SystemExit("hostile")\n', encoding="utf-8"
        )
    atonce, python = str(tools / "bin" / "atonce"), str(tools / "atonce" / "bin" / "python")
    clean = without_python_settings()

    def run(*command: str, **env: str) -> str:
        done = subprocess.run(
            command,
            cwd=hostile,
            env={**clean, MARK: mark, **env},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    refused = subprocess.run(
        [python, "-c", "import results"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No module named 'results'" in refused.stderr
    port = str(free_port())
    server = subprocess.Popen(
        [atonce, "serve", "--port", port],
        cwd=hostile,
        env={**clean, MARK: mark},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}")
        press = ("burst", "--host", f":{port}", "--route", "/async", "-u", "3")
        run(python, "-m", "atonce", "run", *press)
        run(atonce, "run", *press, PYTHONPATH=".")
        file = run(atonce, "scenarios", "burst").strip()
        locust = (python, "-m", "locust", "-f", file, "--host", f"http://127.0.0.1:{port}")
        run(*locust, "-u", "3", "-t", "3s", "--headless", "--atonce-route", "/async")
        assert "overloaded" not in run(atonce, "report")
    finally:
        server.terminate()
        server.wait(60)
    runs = list((hostile / "atonce-results").iterdir())
    assert [read_run(path).status for path in runs] == ["complete"] * 3
    assert gone_within(mark) == []
