"""An app under test: its interpreter, its environment, and the sentence when it cannot start."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values

from results.errors import AtonceError, ExitCode
from results.run_info import AppInfo
from scenarios.doctor.app import AppUnderTest, read_agent_file
from scenarios.doctor.commands import parse_options
from scenarios.doctor.controls import count_workers, server_processes
from scenarios.doctor.environment import find_interpreter, load_variables
from scenarios.doctor.options import DoctorOptions
from scenarios.runner.supervise import wait_until_ready
from scenarios.system.child_process import supervised_process
from scenarios.system.private_log import RunLog

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder)
    return folder


def sentence(trouble: pytest.ExceptionInfo[AtonceError]) -> tuple[ExitCode, str]:
    """What would be printed, and the exit code."""
    return trouble.value.code, trouble.value.sentence


def test_a_module_is_served_by_uvicorn_in_its_own_interpreter(tmp_path: Path, bare: Path) -> None:
    """The agent asks for the app by name; a folder stands for the interpreter in it."""
    words: dict[str, Any] = {
        "app_dir": tmp_path,
        "python": str(bare),
        "workers": 2,
        "loop": "uvloop",
    }
    command = AppUnderTest.from_module(
        DoctorOptions(target="shop.main:app", **words)
    ).launch_command("http://127.0.0.1:8001")
    assert command[:3] == [str(bare / "bin" / "python"), "-m", "uvicorn"]
    assert " ".join(command[3:]) == (
        f"--factory _atonce_agent.entrypoint:create_app --app-dir {tmp_path} "
        "--host 127.0.0.1 --port 8001 --loop uvloop "
        "--workers 2 --no-access-log --log-level warning --timeout-keep-alive 300"
    )
    default_command = AppUnderTest.from_module(
        DoctorOptions(target="shop.main:app")
    ).launch_command("http://127.0.0.1:8001")
    assert "--workers 1" in " ".join(default_command)  # or WEB_CONCURRENCY decides


def test_the_app_gets_its_own_environment_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is passed in --env appears in no text that we could print or store."""
    monkeypatch.setenv("ATONCE_SEED", "7")
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    app_under_test = AppUnderTest.from_module(
        DoctorOptions(target="shop:app", app_dir=tmp_path, factory=True, env=["KEY=geheim"])
    )
    env = app_under_test.launch_environment("app-1", tmp_path, "s", is_first=True)
    assert (env["KEY"], env["PATH"]) == ("geheim", os.environ["PATH"])
    assert env["PYTHONPATH"] == f"{tmp_path}/guest:/theirs"
    assert [name for name in env if name.startswith("ATONCE_")] == ["ATONCE_AGENT"]
    settings = {
        "app": "shop:app",
        "factory": True,
        "home": str(tmp_path),
        "folder": str(tmp_path),
        "process": "app-1",
        "secret": "s",
    }
    assert json.loads(env["ATONCE_AGENT"]) == {**settings, "census": True, "hidden": ["geheim"]}
    assert "geheim" not in f"{app_under_test} {app_under_test.info()}"


def test_no_variable_of_this_shell_changes_how_uvicorn_serves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What stands in --env does; a person's own command runs with all its variables."""
    for name in ("WEB_CONCURRENCY", "UVICORN_RELOAD", "UVICORN_ROOT_PATH"):
        monkeypatch.setenv(name, "4")
    env = AppUnderTest.from_module(
        DoctorOptions(target="shop:app", env=["UVICORN_ROOT_PATH=/shop"])
    ).base_environment()
    assert [pair for pair in env.items() if pair[0].startswith(("UVICORN", "WEB_"))] == [
        ("UVICORN_ROOT_PATH", "/shop")
    ]
    own = AppUnderTest.from_command(
        DoctorOptions(start=sys.executable, url="http://localhost:9000")
    ).base_environment()
    assert (own["WEB_CONCURRENCY"], own["UVICORN_RELOAD"]) == ("4", "4")


def test_the_agent_that_moves_in_needs_nothing_that_is_not_in_python(
    tmp_path: Path, bare: Path
) -> None:
    """It is imported, under its own name, by an interpreter without a single package."""
    app_under_test = AppUnderTest.from_module(
        DoctorOptions(target="shop:app", app_dir=tmp_path, python=str(bare))
    )
    app_under_test.install_agent(tmp_path)
    app_under_test.install_agent(tmp_path)  # a second session finds it there
    env = app_under_test.launch_environment("app-1", tmp_path, "s", is_first=True)
    code = "import _atonce_agent.entrypoint as it; print(it.__file__)"
    said = subprocess.run(
        [app_under_test.python, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert said.stdout.strip() == str(tmp_path / "guest" / "_atonce_agent" / "entrypoint.py")


def test_a_url_and_a_command_are_left_as_they_are(tmp_path: Path) -> None:
    """No agent is installed; a command gets its own environment."""
    url = AppUnderTest.from_url("http://127.0.0.1:8000/")
    info = AppInfo()
    url.inspect_interpreter(info)
    assert (url.url, url.launch_mode, info) == ("http://127.0.0.1:8000", "url", AppInfo())
    assert (
        AppUnderTest.from_url("http://0.0.0.0:8000").url
        == AppUnderTest.from_url("0.0.0.0:8000/").url
        == url.url
    )
    own = AppUnderTest.from_command(
        DoctorOptions(
            start=f"{sys.executable} -m 'my server'", url="http://localhost:9000", env=["A=1"]
        )
    )
    own.install_agent(tmp_path)
    assert own.launch_command("http://127.0.0.1") == [sys.executable, "-m", "my server"]
    assert own.launch_environment("app-1", tmp_path, "s", is_first=True)["A"] == "1"
    assert "ATONCE_AGENT" not in own.launch_environment("app-1", tmp_path, "s", is_first=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: AppUnderTest.from_module(DoctorOptions(target="shop/main.py")),
            "not MODULE:ATTRIBUTE. Example: shop.main:app",
        ),
        (lambda: AppUnderTest.from_module(DoctorOptions(target="shop")), "Example: shop:app"),
        (
            lambda: AppUnderTest.from_module(
                DoctorOptions(target="a:b", app_dir=Path("/not/there"))
            ),
            "--app-dir /not/there: not a folder",
        ),
        (
            lambda: AppUnderTest.from_module(DoctorOptions(target="a:b", python="/not/there")),
            "--python /not/there: neither",
        ),
        (
            lambda: AppUnderTest.from_module(DoctorOptions(target="a:b", env=["geheim"])),
            "Expected KEY=VALUE",
        ),
        (
            lambda: AppUnderTest.from_module(
                DoctorOptions(target="a:b", env_file=Path("/not/there"))
            ),
            "cannot read --env-file",
        ),
        (lambda: AppUnderTest.from_url("http://example.org"), "example.org is not this machine"),
        (
            lambda: AppUnderTest.from_url("http://127.0.0.1:8000/api"),
            "name the host only",
        ),
        (lambda: AppUnderTest.from_url("http://127.0.0.1:8000//api"), "Give a path with --route"),
        (lambda: AppUnderTest.from_url("127.0.0.1:8000/api/"), "Give a path with --route"),
        (
            lambda: AppUnderTest.from_url("http://me:geheim@127.0.0.1:8000"),
            "without a user, password",
        ),
        (lambda: AppUnderTest.from_url("me:geheim@localhost"), "without a user, password"),
        (
            lambda: AppUnderTest.from_url("http://127.0.0.1:8000?token=geheim"),
            "without a user, password, path or query",
        ),
        (
            lambda: AppUnderTest.from_command(
                DoctorOptions(start=sys.executable, url="http://localhost:1/api")
            ),
            "name the host only",
        ),
        (
            lambda: AppUnderTest.from_command(
                DoctorOptions(start=sys.executable, url="http://me:geheim@localhost:1")
            ),
            "name the host only",
        ),
        (
            lambda: AppUnderTest.from_command(
                DoctorOptions(start="no-such geheim", url="http://localhost:1")
            ),
            "program 'no-such' not found",
        ),
        (
            lambda: AppUnderTest.from_command(
                DoctorOptions(start="KEY=geheim uvicorn a:b", url="http://localhost:1")
            ),
            "program 'KEY' not found",
        ),
        (
            lambda: AppUnderTest.from_command(DoctorOptions(start="", url="http://localhost:1")),
            "program '' not found",
        ),
        (
            lambda: AppUnderTest.from_command(
                DoctorOptions(start="KEY=geheim '", url="http://localhost:1")
            ),
            "invalid --start: not a command",
        ),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(make: Any, words: str) -> None:
    """Exit code 2, before anything is started."""
    with pytest.raises(AtonceError) as trouble:
        make()
    assert trouble.value.code is ExitCode.USAGE
    assert words in trouble.value.sentence
    assert "geheim" not in trouble.value.sentence


def test_the_interpreter_is_the_named_one_or_the_nearest_environments(
    tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order: named, active, beside the app, here, ours."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert find_interpreter(None, home)[0] == sys.executable
    (here / ".venv").symlink_to(bare)
    assert find_interpreter(None, home) == (str(here / ".venv/bin/python"), "found in this folder")
    (home / ".venv").symlink_to(bare)
    assert find_interpreter(None, home) == (str(home / ".venv/bin/python"), "found next to the app")
    monkeypatch.setenv("VIRTUAL_ENV", str(bare))
    assert find_interpreter(None, home) == (str(bare / "bin/python"), "the active environment")
    assert find_interpreter(str(home / ".venv/bin/python"), home)[0] == str(
        home / ".venv/bin/python"
    )
    assert find_interpreter("python3", home)[1] == "named with --python"


def test_an_environment_that_cannot_serve_the_app_is_named_before_anything_starts(
    tmp_path: Path, bare: Path
) -> None:
    """Without uvicorn, without uvloop, too old, or no Python at all."""

    def asked(python: Path, **more: Any) -> tuple[ExitCode, str]:
        with pytest.raises(AtonceError) as trouble:
            AppUnderTest.from_module(
                DoctorOptions(target="shop:app", python=str(python), **more)
            ).inspect_interpreter(AppInfo())
        return sentence(trouble)

    def fake(said: str) -> Path:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\necho '{said}'\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    code, words = asked(bare)
    assert code is ExitCode.TARGET
    assert f"{bare}/bin/python -m pip install uvicorn" in words
    assert (
        asked(fake('{"python": "3.11.2", "uvicorn": true, "uvloop": false}'), loop="uvloop")[0]
        is ExitCode.USAGE
    )
    assert (
        "is Python 3.9.1;" in asked(fake('{"python": "3.9.1", "uvicorn": true, "uvloop": true}'))[1]
    )
    assert "does not run as a Python interpreter" in asked(fake("hello"))[1]
    info = AppInfo()
    own = AppUnderTest.from_module(DoctorOptions(target="shop:app", python=sys.executable))
    own.inspect_interpreter(info)
    assert info.uvicorn


IMPORT = {
    "what": "cannot be imported",
    "message": "ModuleNotFoundError: No module named 'x'",
    "file": None,
    "line": 3,
    "function": "<module>",
}


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (
            {**IMPORT, "file": f"{ROOT}/shop/main.py"},
            3,
            (
                "shop.main:app cannot be imported: ModuleNotFoundError: No module named 'x' "
                "(shop/main.py, line 3, in <module>)."
            ),
        ),
        (
            {**IMPORT, "message": "ModuleNotFoundError: No module named 'shop'"},
            3,
            f"Searched in {ROOT}. To search in another folder: --app-dir",
        ),
        ({**IMPORT, "what": "does not exist"}, 3, "does not exist"),
        (
            {**IMPORT, "what": "is not an ASGI app", "message": "it is of type int"},
            3,
            "shop.main:app is not an ASGI app: it is of type int.",
        ),
        (
            {**IMPORT, "what": "cannot be created by its factory"},
            3,
            "cannot be created by its factory",
        ),
        ({**IMPORT, "what": "fails in its start-up code"}, 3, "fails in its start-up code"),
        (None, None, "never answered a request"),
        (None, 1, "ended with exit code 1 before it answered"),
        (None, -11, "was ended by SIGSEGV"),
    ],
)
def test_a_failed_start_is_said_in_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, Any] | None,
    code: int | None,
    words: str,
) -> None:
    """What the agent saw, else what the process's end says."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "guest").mkdir()
    if said:
        (tmp_path / "guest" / "trouble-idle.json").write_text(json.dumps(said), encoding="utf-8")
    app_under_test = AppUnderTest.from_module(DoctorOptions(target="shop.main:app"))
    trouble = app_under_test.startup_error("idle", tmp_path, code)
    assert trouble.code is ExitCode.TARGET
    assert words in trouble.sentence
    assert read_agent_file(tmp_path / "census-app-1.json") is None


def test_the_app_runs_where_it_was_started_and_its_words_go_to_the_run(tmp_path: Path) -> None:
    """Not in the run's folder, where its relative paths would lead nowhere."""
    code = (sys.executable, "-c", "import os; print(os.getcwd())")
    quiet: dict[str, Any] = {
        "env": os.environ,
        "core": None,
        "stdin": subprocess.DEVNULL,
        "stdout": None,
    }
    with supervised_process(code, folder=tmp_path, cwd=ROOT, **quiet) as process:
        process.wait(60)
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").strip() == str(ROOT)


def test_an_env_file_is_read_as_such_files_are_written(tmp_path: Path) -> None:
    """Comments, quotes, export; a flag beats it; a bad line is named by number, not by content."""
    path = tmp_path / ".env"
    path.write_text(
        "# a comment\nexport A=1\nB='two words' # and more\nC=\"x\\ny\"\nD=$A\n\nE=\n",
        encoding="utf-8",
    )
    assert load_variables(["A=2=3"], path) == {
        "A": "2=3",
        "B": "two words",
        "C": "x\ny",
        "D": "$A",
        "E": "",
    }
    for wrong in ("geheim", "B='geheim"):
        path.write_text(f"A=1\n{wrong}\n", encoding="utf-8")
        with pytest.raises(AtonceError) as trouble:
            load_variables([], path)
        assert sentence(trouble) == (ExitCode.USAGE, f"{path}, line 2: expected KEY=VALUE.")


def test_an_env_file_may_refer_to_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As python-dotenv does it: the file's own lines, then this environment, then a default."""
    path = tmp_path / ".env"
    monkeypatch.setenv("HOST", "outside")
    monkeypatch.setenv("USER_", "outside")
    monkeypatch.delenv("PORT", raising=False)
    path.write_text(
        "USER_=me\nURL=postgres://${USER_}@${HOST}:${PORT:-5432}/${NONE}\nAGAIN='${URL}?x'\n",
        encoding="utf-8",
    )
    before = dict(os.environ)
    variables = load_variables([], path)
    assert variables == dict(dotenv_values(path))
    assert (variables["URL"], variables["AGAIN"]) == (
        "postgres://me@outside:5432/",
        "postgres://me@outside:5432/?x",
    )
    assert dict(os.environ) == before


def test_a_flag_counts_where_an_env_file_refers_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the app reads is what the file's own lines are made of."""
    path = tmp_path / ".env"
    monkeypatch.delenv("WHO", raising=False)
    path.write_text("DB=localhost\nURL=postgres://${WHO}@${DB}/x\n", encoding="utf-8")
    variables = load_variables(["DB=prod", "WHO=me"], path)
    assert variables == {"DB": "prod", "WHO": "me", "URL": "postgres://me@prod/x"}


def test_who_listens_at_a_port_is_found_with_all_descendants() -> None:
    """The process itself, and a child that does not listen; no process at a closed port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.DEVNULL
        )
        try:
            assert {os.getpid(), child.pid} <= {process.pid for process in server_processes(url)}
        finally:
            child.kill()
            child.wait()
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            server.close()
            # Its last connection is still open, but nothing listens
            assert server_processes(url) == []


def test_who_shares_a_socket_is_a_worker_and_who_supervises_them_is_not() -> None:
    """A lone process is one worker; two children that share its socket are two; none if closed."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as children:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        for shared, expected in ((), 1), ((server.fileno(),), 1), ((server.fileno(),), 2):
            child = subprocess.Popen(sleep, stdin=subprocess.DEVNULL, pass_fds=shared)
            children.callback(child.wait)
            children.callback(child.kill)
            assert expected == count_workers(url)
    assert count_workers(url) is None


DSN = "postgres://u:hunter2%21@h/db"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"from string '{DSN}'", "from string '***'"),
        ("no user u with hunter2%21, hunter2!", "no user u with ***, ***"),
        ("GET /x?key=a%2Fb%3Dc by tok3n, a/b=c", "GET /x?key=*** by ***, ***"),
        ("'li\\nes'", "'***'"),
        ("redis://:other@h:1/0 and https://tok@h", "redis://***@h:1/0 and https://***@h"),
        ("ab at http://h/a@b", "ab at http://h/a@b"),  # too short for a secret, and no password
    ],
)
def test_what_an_app_says_shows_no_value_that_was_passed(
    tmp_path: Path, said: str, shown: str
) -> None:
    """No value of a variable, header, parameter or URL password: in a sentence, tail or log."""
    given = DoctorOptions(
        target="shop:app",
        env=[f"DB={DSN}", "KEY=li\nes", "SHORT=ab"],
        param=["key=a/b=c"],
        header=["Authorization: Bearer tok3n"],
    )
    app_under_test = parse_options(given).app
    assert "tok3n" not in f"{app_under_test}"
    (tmp_path / "guest").mkdir()
    (tmp_path / "guest" / "trouble-idle.json").write_text(
        json.dumps({**IMPORT, "message": said}), encoding="utf-8"
    )
    assert (
        f"cannot be imported: {shown}."
        in app_under_test.startup_error("idle", tmp_path, 3).sentence
    )
    log = tmp_path / "log.txt"
    log.write_bytes(b"\xff " + said.encode())
    assert f"\ufffd {shown} (all" in RunLog(log, 0, app_under_test.redact).describe_tail()
    log.unlink()
    code = (
        sys.executable,
        "-c",
        "import sys; sys.stdout.buffer.write(b'\\xff ' + sys.argv[1].encode())",
        said,
    )
    quiet: dict[str, Any] = {
        "env": os.environ,
        "core": None,
        "stdin": subprocess.DEVNULL,
        "stdout": None,
    }
    with supervised_process(
        code, folder=tmp_path, secrets=app_under_test.secrets, **quiet
    ) as process:
        process.wait(60)
    assert b"\xff " + shown.encode() == log.read_bytes()


def test_a_command_that_has_ended_is_not_ready_whoever_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer at its port comes from another server."""
    stranger = httpx.Client(
        base_url="http://127.0.0.1:1", transport=httpx.MockTransport(lambda _: httpx.Response(200))
    )
    monkeypatch.setattr(httpx, "Client", lambda **_: stranger)
    ended = subprocess.Popen([sys.executable, "-c", ""], text=True)
    ended.wait()
    with pytest.raises(AtonceError, match=r"did not start \(exit code 0\)"):
        wait_until_ready(ended, "", "/", RunLog(Path(os.devnull), 0), lambda: None)
