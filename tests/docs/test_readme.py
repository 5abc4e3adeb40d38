"""README.md and docs/ are true: commands run, figures are those of stored runs, links lead on."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.readme import BLOCK, BLOCKS, rewrite_figures, stored_report
from reports.claims import CLAIMS
from reports.model import Report
from results.verdicts import ClaimOutcome
from tests.support.cli import Here
from tests.support.documents import (
    ALL_COMMANDS,
    DOCUMENTS,
    PLAIN_FILES,
    README,
    prose,
    shell_commands,
)
from tests.support.processes import MARK, ROOT, free_port, gone_within, new_mark, wait_for_server

EXAMPLE = ROOT / "results" / "example"
MAX_LINES, MAX_WORDS, MAX_COLUMNS = 140, 1100, 100  # of the README; columns of all documents

# Commands that a test types word for word, and which; `test_commands_run_dry` runs all others.
# `.ci/run` executes the first two halves.
EXECUTED = {
    "pip install -e . && atonce reproduce": "test_reproduce.py, after the install of .ci/run",
    "pip install -e '.[test]' && pytest": ".ci/run",
    "uv run atonce reproduce": "test_uv_runs_both_commands",
    "uv run --extra test pytest": "test_uv_runs_both_commands",
    "atonce doctor targets.antipatterns:app": "test_readme_doctor.py: its stored run",
    **dict.fromkeys(shell_commands(DOCUMENTS["docs/locust.md"]), "test_plain_locust_as_typed"),
    "uvicorn targets.app:app --port 8002": "test_the_lessons_shell_session",
    "curl 'localhost:8002/sleep?seconds=1'": "test_the_lessons_shell_session",
    "time curl localhost:8002/concurrent": "test_the_lessons_shell_session",
    "curl -i localhost:8002/broken-async": "test_the_lessons_shell_session",
}
DRY = {"reproduce", "run", "selfcheck", "claims"}  # commands that take --dry-run


@pytest.fixture(scope="module")
def example() -> Report:
    """Return the stored run that the README quotes."""
    return stored_report("example")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_figure_is_that_of_the_stored_runs(name: str) -> None:
    """Word for word; `python -m benchmarks.readme` writes them anew."""
    assert rewrite_figures(DOCUMENTS[name]) == DOCUMENTS[name]


def test_every_block_of_figures_stands_in_one_document() -> None:
    """None is missing, and none is quoted twice."""
    names = [match[2] for text in DOCUMENTS.values() for match in BLOCK.finditer(text)]
    assert sorted(names) == sorted(BLOCKS)


def test_a_figure_edited_by_hand_is_seen() -> None:
    """The check itself works."""
    text = "<!-- figures: theory -->\n3.14 s\n<!-- end -->\n"
    assert "3.14" not in rewrite_figures(text)


def test_the_readme_is_short_and_begins_with_the_commands() -> None:
    """Lines, words, columns, and the first two commands word for word."""
    assert README.count("\n") <= MAX_LINES
    assert len(prose(README).split()) <= MAX_WORDS
    assert shell_commands(README)[:4] == list(EXECUTED)[:4]


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_lines_fit_100_columns(name: str) -> None:
    """All but rows of tables and lines of one link."""
    text = (ROOT / name).read_text(encoding="utf-8")
    long = [line for line in text.splitlines() if len(line) > MAX_COLUMNS]
    assert [line for line in long if not line.startswith(("|", "!["))] == []


def test_no_claim_is_left_untested_or_refuted(example: Report) -> None:
    """All that the lesson states has a verdict from this run."""
    outcomes = {tested.claim.id: tested.result.outcome for tested in example.claims}
    assert set(outcomes) == {claim.id for claim in CLAIMS}
    assert not {ClaimOutcome.UNTESTED, ClaimOutcome.REFUTED} & set(outcomes.values())


def test_the_example_is_a_trusted_run_whose_report_is_stored_as_rendered(example: Report) -> None:
    """The committed page is that of the committed samples."""
    assert example.trust.trust_level == "trusted"
    stored = json.loads((EXAMPLE / "report" / "summary.json").read_text(encoding="utf-8"))
    assert [finding.sentence for finding in example.findings] == [
        route["sentence"] for route in stored["routes"]
    ]


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_every_link_and_picture_exists(name: str) -> None:
    """Relative links lead somewhere."""
    path = ROOT / name
    for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_checks_of_the_method_are_those_of_the_code() -> None:
    """Each id has a row, in order."""
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "reports" / "checks").glob("*.py")
    )
    coded = {int(number) for number in re.findall(r'"V(\d+)[ "]', sources)}
    rows = re.findall(r"^\| V(\d+) ", DOCUMENTS["docs/method.md"], re.MULTILINE)
    assert sorted(coded) == sorted({int(number) for number in rows})
    assert [int(number) for number in rows] == sorted(int(number) for number in rows)


def test_commands_run_dry(
    here: Here, example: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those that no test types word for word; `atonce doctor` runs in test_readme_doctor.py.

    What would load runs with --dry-run. The stored run is read once, and its report not replaced.
    """
    elsewhere = replace(example, path=tmp_path)
    monkeypatch.setattr(
        "reports.render.output.build_report", {Path("results/example"): elsewhere}.__getitem__
    )
    assert set(EXECUTED) <= set(ALL_COMMANDS)
    others = [command for command in ALL_COMMANDS if command not in EXECUTED]
    assert len(others) >= 20
    for command in others:
        program, *words = shlex.split(command)
        assert program == "atonce"
        if words[0] in DRY and not {"--dry-run", "--list"} & set(words):
            words.append("--dry-run")
        if words[0] != "doctor":
            shown = here(*words, ATONCE_OUT=str(ROOT / "results"))
            assert shown.returncode == 0, (command, shown.stderr)


def test_commands_and_flags_in_the_text_exist(here: Here) -> None:
    """Every `atonce COMMAND --flag`, and every flag in the tables of docs/commands.md."""
    spans = [span for text in DOCUMENTS.values() for span in re.findall(r"`([^`\n]+)`", text)]
    helps: dict[str, str] = {}
    for span in spans:
        if match := re.fullmatch(r"atonce ([a-z]+)( .*)?", span):
            if match[1] not in helps:
                shown = here(match[1], "--help")
                assert shown.returncode == 0, span
                helps[match[1]] = shown.stdout
            for flag in re.findall(r"--[a-z-]+", match[2] or ""):
                assert flag in helps[match[1]], span
    flags = re.findall(r"`(--[a-z-]+)", DOCUMENTS["docs/commands.md"])
    everything = "".join((*helps.values(), here("--help").stdout))
    assert [flag for flag in flags if flag not in everything] == []


def shell(command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does, at the root."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def environment(mark: str, **more: str) -> dict[str, str]:
    """Return an environment that finds our programs, with a mark on every process."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, MARK: mark, "PATH": path, **more}


@pytest.mark.slow
def test_the_lessons_shell_session() -> None:
    """Uvicorn and curl as docs/commands.md types them, on a port that is free."""
    mark, port = new_mark(), str(free_port())
    env = environment(mark)
    served, slept, together, stamped = (
        line.replace("8002", port) for line in shell_commands(DOCUMENTS["docs/commands.md"])[-4:]
    )
    server = subprocess.Popen(served.split(), cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        wait_for_server(f"http://127.0.0.1:{port}")
        assert shell(slept, env).stdout == '{"slept":1.0}'
        assert "x-atonce-times: " in shell(stamped, env).stdout
        began = time.perf_counter()
        second = shell(together, env)
        assert 1.0 <= time.perf_counter() - began < 2.0
        assert second.stdout == '{"statuses":[200,200]}'
    finally:
        server.terminate()
        server.wait(30)
    assert gone_within(mark) == []


@pytest.mark.slow
def test_plain_locust_as_typed(tmp_path: Path) -> None:
    """Word for word, but for port and time: `atonce serve`, the Locusts, a report of each run."""
    mark, port = new_mark(), str(free_port())
    env = environment(mark, ATONCE_OUT=str(tmp_path))
    crowd, steady, report, by_path = shell_commands(DOCUMENTS["docs/locust.md"])
    server = subprocess.Popen(
        ["atonce", "serve", "--port", port], cwd=ROOT, env=env, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}")
        for line in (by_path, crowd, steady):
            loaded = shell(line.replace("8002", port).replace("-t 20s", "-t 8s"), env)
            assert loaded.returncode == 0, loaded.stderr
            shown = shell(report, env)
            assert shown.returncode in {0, 3}, shown.stderr  # a busy machine may disturb it
            assert "GET /broken-async" in shown.stdout
        assert "15/s poisson" in shown.stdout
        assert "overloaded" in shown.stdout or shown.returncode == 3
    finally:
        server.terminate()
        server.wait(30)
    assert gone_within(mark) == []


@pytest.mark.slow
@pytest.mark.alone
def test_plain_locust_leaves_users_unexplained() -> None:
    """The comparison of docs/method.md, once more; how many exactly the stored run says."""
    assert "`python -m benchmarks.plain_locust`" in DOCUMENTS["docs/method.md"]
    command = [sys.executable, "-m", "benchmarks.plain_locust"]
    shown = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=True
    )
    assert 0.1 < json.loads(shown.stdout)["unexplained"] < 1


@pytest.mark.slow
def test_uv_runs_both_commands(tmp_path: Path) -> None:
    """In a copy of the clone with uv's own environment; a flag cuts the long parts short."""
    copy = tmp_path / "clone"
    copy.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    uv = str(Path(sys.executable).parent / "uv")
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH"}
    }
    if "PIP_CERT" in env:  # certificates given to pip are meant for uv too
        env.setdefault("SSL_CERT_FILE", env["PIP_CERT"])
    for command, flag, says in (
        ("uv run atonce reproduce", "--dry-run", "nothing was sent"),
        ("uv run --extra test pytest", "tests/reports/test_numbers.py", "passed"),
    ):
        assert command in ALL_COMMANDS
        words = [uv, *command.split()[1:], flag]
        shown = subprocess.run(
            words, cwd=copy, env=env, capture_output=True, text=True, timeout=400, check=False
        )
        assert shown.returncode == 0, shown.stderr[-2000:]
        assert says in shown.stdout
