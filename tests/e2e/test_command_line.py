"""The command line: its manners, its exit codes, and how quickly it answers."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reports.console import create_console
from reports.render.summary import SUMMARY_FORMAT
from tests.support.cli import Here

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "http://127.0.0.1:9"
RUN = ["run", "--host", NOBODY]
LOAD = [*RUN, "crowd", "--route", "/x", "-t", "1s"]
HEAVY = ("pandas", "matplotlib", "locust", "gevent", "fastapi", "numpy", "uvicorn")


def atonce(*words: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person would."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"CI", "NO_COLOR", "FORCE_COLOR"}
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "atonce.py"), *words],
        cwd=cwd,
        env={**clean, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_answers_at_once_and_opens_no_room() -> None:
    """The answer takes a fifth of a second, most of it Typer's own.

    The test looks at what is imported, since the machine may be busy.
    """
    code = (
        "import sys; sys.argv = ['atonce', '--help']; import atonce\n"
        "try: atonce.main()\nfinally: print(*sys.modules)"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = seen.stdout.splitlines()[-1].split()
    assert set(HEAVY) & set(loaded) == set()
    assert len(loaded) < 300


def test_help_lists_the_commands_that_exist_and_no_others(here: Here) -> None:
    """What is not built yet is not promised; every command has examples."""
    shown = here("--help").stdout
    commands = [
        line.split()[0] for line in shown.partition("Commands:")[2].splitlines() if line.strip()
    ]
    assert commands == [
        "reproduce",
        "run",
        "report",
        "selfcheck",
        "claims",
        "doctor",
        "ls",
        "show",
        "scenarios",
        "serve",
    ]
    for command in commands:
        assert "Examples:" in here(command, "--help").stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nosuch"], 2, "No such command"),
        (["reproduce", "--secnds", "1"], 2, "--seconds"),
        (["reproduce", "--seconds", "soon"], 2, "valid number"),
        (["reproduce", "--seconds", "0"], 2, "out of range"),
        (["reproduce", "--seconds", "0.01"], 2, "shortest is --seconds"),
        (["reproduce", "--seconds", "4"], 2, "does not fit"),
        (["reproduce", "--loop", "trio"], 2, "asyncio"),
        (["reproduce", "--repeat", "0"], 2, "greater than or equal to 1"),
        (["reproduce", "--repeat", "21"], 2, "less than or equal to 20"),
        (["reproduce", "--seed", "x"], 2, "valid integer"),
        (["reproduce", "--out", "/dev/null"], 2, "Name another folder with --out"),
        (["run"], 2, "Missing argument"),
        (["run", "stampede"], 2, "is not one of"),
        (["run", "crowd"], 2, "Name a host: --host"),
        (
            ["run", "crowd", "--host", "http://example.org", "--route", "/x"],
            2,
            "is not this machine",
        ),
        (
            [
                "run",
                "crowd",
                "--host",
                "http://example.org",
                "--route",
                "/x",
                "--allow-host",
                "example.com",
            ],
            2,
            "is not this machine",
        ),
        (
            ["run", "crowd", "--host", "http://10.0.0.1:80", "--route", "/x"],
            2,
            "--allow-host 10.0.0.1",
        ),
        (["run", "crowd", "--host", "ftp://127.0.0.1", "--route", "/x"], 2, "invalid host"),
        (["run", "crowd", "--host", "http://[", "--route", "/x"], 2, "invalid host"),
        (
            ["run", "crowd", "--host", "http://127.0.0.1:port", "--route", "/x"],
            2,
            "invalid host",
        ),
        (
            ["run", "crowd", "--host", "http://me:secret@127.0.0.1", "--route", "/x"],
            2,
            "invalid host",
        ),
        ([*RUN, "crowd"], 2, "Name a route: --route"),
        ([*RUN, "crowd", "--route", "x"], 2, "a path begins with /"),
        ([*RUN, "crowd", "--route", "BREW /x"], 2, "BREW is none of"),
        ([*RUN, "crowd", "--route", "/items/{id}"], 2, "replace each {name} by a value"),
        ([*RUN, "crowd", "--route", "/ä"], 2, "only ASCII characters"),
        ([*RUN, "crowd", "--route", "/x\r\nHost: y"], 2, "invalid route"),
        ([*LOAD, "--users", "few"], 2, "invalid levels of users"),
        ([*LOAD, "-u", "0"], 2, "invalid levels of users"),
        ([*LOAD, "-u", "1,,2"], 2, "invalid levels of users"),
        ([*LOAD, "-u", "5000"], 2, "from 1 to 900"),
        ([*LOAD, "--rate", "50"], 2, "write requests per second or per minute"),
        ([*LOAD, "--rate", "0/s"], 2, "invalid rate"),
        ([*LOAD, "--rate", "9e9/s"], 2, "invalid rate"),
        ([*LOAD, "--run-time", "20"], 2, "invalid duration"),
        ([*LOAD, "-t", "1d"], 2, "invalid duration"),
        ([*LOAD, "-t", "0.1s"], 2, "invalid duration"),
        ([*LOAD, "--repeat", "0"], 2, "greater than or equal to 1"),
        ([*LOAD, "--arrivals", "weekly"], 2, "is not one of"),
        ([*LOAD, "--shape", "round"], 2, "is not one of"),
        ([*LOAD, "--connections", "none"], 2, "is not one of"),
        ([*LOAD, "--cap", "0"], 2, "greater than or equal to 1"),
        ([*LOAD, "--think", "1"], 2, "invalid duration"),
        ([*LOAD, "--drain", "soon"], 2, "invalid duration"),
        ([*LOAD, "--seed", "x"], 2, "valid int"),
        ([*LOAD, "--out", "/dev/null"], 2, "Name another folder with --out"),
        (LOAD, 4, "did not answer a single request"),
        (["ls", "--out", "nowhere"], 2, "There is no run in nowhere yet"),
        (["show", "nowhere"], 2, "no run in"),
        (["show", "tests"], 2, "not a run of atonce"),
        (["scenarios", "stampede"], 2, "There is no scenario 'stampede'"),
        (["report", "nowhere"], 2, "not a run of atonce"),
        (["report", "tests"], 2, "not a run of atonce"),
        (["serve", "--port", "0"], 2, "greater than or equal to 1"),
        (["serve", "--threads", "0"], 2, "greater than or equal to 1"),
        (["serve", "--workers", "many"], 2, "valid integer"),
        (["serve", "--loop", "x"], 2, "asyncio"),
    ],
)
def test_wrong_words_get_a_sentence_and_an_exit_code(
    words: list[str], code: int, says: str, tmp_path: Path, here: Here
) -> None:
    """The sentence says what is wrong and what to do; never a traceback.

    All run in this process, because there are many; the manners are the same.
    """
    shown = here(*words, ATONCE_OUT=str(tmp_path))
    assert code == shown.returncode
    assert says in shown.stderr
    assert "Traceback" not in shown.stderr + shown.stdout


def test_an_unwritable_folder_is_refused_before_anything_starts(tmp_path: Path, here: Here) -> None:
    """--out names a file."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    shown = here("reproduce", "--out", str(tmp_path / "file"))
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "--out" in shown.stderr


def test_a_dry_run_tells_what_would_be_sent(tmp_path: Path) -> None:
    """Routes, levels, requests and seconds; nothing is created."""
    shown = atonce("reproduce", "--dry-run", cwd=tmp_path)
    assert shown.returncode == 0
    assert "crowd/broken-async/32" in shown.stdout
    assert "nothing was sent" in shown.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_full_dry_run_tells_its_experiments_and_its_time(here: Here) -> None:
    """Twice all of it, with the frozen route on both loops; nothing is sent."""
    shown = here("reproduce", "--full", "--repeat", "2", "--dry-run")
    assert shown.returncode == 0
    for words in ("crowd/broken-async uvloop cold/50", "all of it 2 times", "nothing was sent"):
        assert words in shown.stdout


def test_report_renders_a_stored_run_again(honest_run: Path, tmp_path: Path) -> None:
    """Table on stdout, page and summary on disk, the next command last."""
    run = tmp_path / "run"
    shutil.copytree(honest_run, run)
    shown = atonce("report", str(run))
    assert shown.returncode == 0, shown.stderr
    assert "loop-blocked" in shown.stdout
    assert "next: atonce reproduce" in shown.stdout.splitlines()[-1]
    assert "\x1b" not in shown.stdout  # a pipe gets no colour
    assert (run / "report" / "index.html").exists()


def test_json_is_the_summary_and_nothing_else(honest_run: Path, tmp_path: Path, here: Here) -> None:
    """On success it is the summary, on failure one document that says what happened.

    The run is named by a part of its name.
    """
    shutil.copytree(honest_run, tmp_path / "20260101T000000Z-reproduce-7f3a")
    shown = here("report", "7f3a", "--out", str(tmp_path), "--json")
    assert shown.returncode == 0
    data = json.loads(shown.stdout)
    assert data["trust"]["verdict"] == "trusted"
    assert Path(data["path"]) == tmp_path / "20260101T000000Z-reproduce-7f3a"
    failed = here("report", str(tmp_path), "--json")
    assert tuple(json.loads(failed.stdout)[name] for name in ("format", "exit_code")) == (
        SUMMARY_FORMAT,
        2,
    )
    assert failed.returncode == 2


@pytest.mark.parametrize(
    ("env", "colour"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"CI": "true"}, False),
        ({"TERM": "dumb"}, False),
        ({"CI": "1", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colour_keeps_the_manners(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], *, colour: bool
) -> None:
    """On a terminal yes, unless the environment says no; FORCE_COLOR wins."""
    for name in ("NO_COLOR", "CI", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **env}.items():
        monkeypatch.setenv(name, value)
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    create_console(terminal).print("[green]word[/]")
    assert colour == ("\x1b[3" in terminal.getvalue())


def test_a_reader_who_leaves_is_no_failure_of_ours() -> None:
    """`| head` ends us like any command: by the pipe's signal, silently, not as a refuted claim."""
    command = f"{sys.executable} atonce.py reproduce --dry-run | head -n 1; exit ${{PIPESTATUS[0]}}"
    shown = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode in {0, 141}
    assert shown.stderr == ""


PLACES = {
    "in plain code": "pull()",
    "in a destructor": "type('Last', (), {'__del__': lambda self: pull()})()",
    "in an optional import": """
try:
    pull()
except BaseException:
    pass
""",
    "in a weak reference's callback": """
import weakref
thing = type('Thing', (), {})()
kept = weakref.ref(thing, lambda _: pull())
del thing
""",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_interruption_outside_a_run_is_said(
    place: str, number: signal.Signals, flags: list[str]
) -> None:
    """Ctrl-C while a report is drawn: a sentence, 130, no traceback, wherever Python is."""
    code = f"""
import os, sys, types, atonce
def pull():
    os.kill(os.getpid(), {number.value})
def build_and_write(path, trouble):
    exec({PLACES[place]!r}, {{"pull": pull}})
    print("survived")
sys.modules["reports.render.output"] = types.SimpleNamespace(
    build_and_write=build_and_write, print_result=None, OutputOptions=dict
)
sys.argv = ["atonce", "report", "results/example", *{flags}]
atonce.main()
"""
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 130, shown.stderr
    assert (
        shown.stderr == "atonce: Interrupted. What was measured so far lies in the run's folder.\n"
    )
    assert ("exit_code" in shown.stdout, "survived" in shown.stdout) == (bool(flags), False)


def test_outside_a_clone_runs_go_to_a_folder_of_their_own(tmp_path: Path) -> None:
    """No `results` folder of the user's is touched."""
    shown = atonce("report", cwd=tmp_path)
    assert shown.returncode == 2
    assert "atonce-results" in shown.stderr


def test_the_version_is_said() -> None:
    """For bug reports."""
    assert atonce("--version").stdout.startswith("atonce 0.")


def settings(folder: Path, text: str) -> Path:
    """Return a project with settings."""
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_flags_win_over_the_environment_and_that_over_the_project(
    tmp_path: Path, here: Here
) -> None:
    """One word, four sources; also from a folder further down."""
    below = tmp_path / "src"
    below.mkdir()

    def users(*words: str, **env: str) -> str:
        shown = here(
            "run", "crowd", "--host", NOBODY, "--route", "/x", "--dry-run", *words, cwd=below, **env
        )
        return " ".join(line.split()[2] for line in shown.stdout.splitlines() if "crowd/" in line)

    levels = [users()]
    settings(tmp_path, '[tool.atonce]\nusers = "2,3"\nseconds = 0.2\n')
    levels += [users(), users(ATONCE_USERS="4"), users("-u", "5", ATONCE_USERS="4")]
    assert levels == ["1 50", "2 3", "4", "5"]
    settings(tmp_path, 'tool.atonce = {users = [2, 3], route = "GET /y"}\n')
    assert users() == "2 3"
    words = ("run", "crowd", "--host", NOBODY, "--dry-run")
    assert "crowd/GET /y/2" in here(*words, cwd=below).stdout
    assert "crowd/GET /a/2" in here(*words, cwd=below, ATONCE_ROUTE="/z,GET /a").stdout
    settings(tmp_path, '[tool.atonce]\nusers = "2,3"\nseconds = 0.2\n')
    assert "16 users at most instead of 32" in here("reproduce", "--dry-run", cwd=below).stdout


@pytest.mark.parametrize(
    ("text", "env", "says"),
    [
        ("[tool.atonce]\nuser = 2\n", {}, "has 'user', which is no flag of any command"),
        ('[tool.atonce]\nseconds = "soon"\n', {}, "pyproject.toml sets seconds."),
        ("[tool.atonce\n", {}, "cannot be read for its [tool.atonce]"),
        ("tool = 3\n", {}, "cannot be read for its [tool.atonce]"),
        ("", {"ATONCE_SECONDS": "soon"}, "ATONCE_SECONDS"),
        ("", {"ATONCE_LOOP": "trio"}, "ATONCE_LOOP"),
    ],
)
def test_wrong_settings_say_where_they_stand(
    tmp_path: Path, text: str, env: dict[str, str], says: str, here: Here
) -> None:
    """In which file, or in which variable."""
    shown = here("reproduce", "--dry-run", cwd=settings(tmp_path, text), **env)
    assert shown.returncode == 2
    assert says in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("command", ["report", "show"])
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", "", "has no readable run.json"),
        ("run.json", '{"format": 99}', "Upgrade atonce"),
        ("run.json", '{"format": 2, "plan": 1', "has no readable run.json"),
        ("run.json", '{"format": 2, "status": "complete"}', "lacks"),
        ("samples.parquet", "half", "samples.parquet is missing, damaged"),
    ],
)
def test_a_run_that_was_cut_or_edited_is_a_sentence(  # noqa: PLR0913, PLR0917
    honest_run: Path, tmp_path: Path, command: str, name: str, content: str, says: str, here: Here
) -> None:
    """Exit code 2, no traceback; `show` reads run.json alone, `ls` goes on with the others."""
    run = tmp_path / "runs" / "20260101T000000Z-x"
    shutil.copytree(honest_run, run)
    (run / name).write_text(content, encoding="utf-8")
    shown = here(command, str(run))
    if command == "show" and name != "run.json":
        assert shown.returncode == 0
    else:
        assert shown.returncode == 2
        assert says in shown.stderr or (command == "show" and "was cut or edited" in shown.stderr)
    assert "Traceback" not in shown.stderr
    listed = here("ls", "--out", str(run.parent))
    assert listed.returncode == 0
    assert run.name in listed.stdout


def test_a_report_that_cannot_be_written_is_a_sentence(
    honest_run: Path, tmp_path: Path, here: Here
) -> None:
    """A file lies where the report's folder should be."""
    run = tmp_path / "run"
    shutil.copytree(honest_run, run)
    (run / "report").write_text("", encoding="utf-8")
    shown = here("report", str(run))
    assert shown.returncode == 0
    assert "the page cannot be written" in shown.stderr
    assert "loop-blocked" in shown.stdout
    assert "Traceback" not in shown.stderr


def test_runs_are_listed_and_shown_by_a_part_of_their_name(
    honest_run: Path, tmp_path: Path, here: Here
) -> None:
    """`ls` prints a line per run, `show` the facts of one; a part of its name is enough.

    The test above shows the same for `report`.
    """
    run = tmp_path / "20260101T000000Z-reproduce-7f3a"
    shutil.copytree(honest_run, run)
    listed = here("ls", "--out", str(tmp_path)).stdout.splitlines()
    assert listed[1].split()[0] == run.name
    assert listed[1].split()[-1] == "complete"
    shown = here("show", "7f3a", "--out", str(tmp_path)).stdout
    assert "crowd/broken-async/32" in shown
    assert json.loads(here("show", "7f3a", "--out", str(tmp_path), "--json").stdout)["seed"] == 1


def test_scenarios_are_said_by_path(here: Here) -> None:
    """All of them with a caption; a single path for a shell's `$(...)`."""
    shown = here("scenarios").stdout
    for name in ("burst", "crowd", "steady", "neighbours"):
        path = here("scenarios", name).stdout.strip()
        assert Path(path).is_file()
        assert f"{path}  " in shown


def test_completion_can_be_shown() -> None:
    """For the shell that asks."""
    shown = atonce(
        "--show-completion",
        "bash",
        SHELL="/bin/bash",
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert (shown.returncode, "_ATONCE_COMPLETE=complete_bash" in shown.stdout) == (0, True), (
        shown.stderr
    )
