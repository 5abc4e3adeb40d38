"""The wheel adds only names that begin with `atonce`, and ignores the user's own packages.

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


def uv(*words: str, **env: str) -> None:
    """Run uv with the certificates that pip was given."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH"}
    }
    if "PIP_CERT" in clean:
        clean.setdefault("SSL_CERT_FILE", clean["PIP_CERT"])
    command = [str(Path(sys.executable).parent / "uv"), *words]
    done = subprocess.run(
        command, env={**clean, **env}, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the clone."""
    out = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--out-dir", str(out), str(ROOT))
    return next(out.glob("*.whl"))


def test_the_wheel_adds_only_names_of_ours(wheel: Path) -> None:
    """No `reports` or `results` of the user's is touched; no stored run is shipped."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {"atonce"} == {
        name.partition("/")[0].partition(".")[0].partition("-")[0].partition("_")[0]
        for name in names
    }
    assert "atonce_rooms/reports/render/page.html" in names
    stored = ("tests", "benchmarks", "atonce_rooms/results/example")
    assert not [name for name in names if name.startswith(stored)]


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
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH"}
    }

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
        [python, "-c", "import results"], cwd=tmp_path, capture_output=True, text=True, check=False
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
    assert [read_run(path)["status"] for path in runs] == ["complete"] * 3
    assert gone_within(mark) == []
