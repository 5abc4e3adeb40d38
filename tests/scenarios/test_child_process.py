"""Child processes: waited for until they answer, gone with all they started at any driver's end."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.errors import AtonceError, ExitCode
from scenarios.runner.supervise import wait_until_ready
from scenarios.system import private_log
from scenarios.system.child_process import supervised_process
from scenarios.system.private_log import LogWriter, RunLog
from scenarios.system.redact import redact_secrets
from scenarios.system.supervisor import Supervisor
from tests.support.processes import MARK, alive, free_port, gone_within, marked, new_mark

ROOT = Path(__file__).resolve().parents[2]
SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


class Proxy(BaseHTTPRequestHandler):
    """Answers for every host."""

    def do_GET(self) -> None:
        """As a proxy does when no server answers."""
        self.send_error(502)

    def log_message(self, *_words: object) -> None:
        """Silently."""


def test_an_app_is_not_ready_because_a_proxy_answers_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for as long as was said, and no longer."""
    with HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        try:
            with (
                supervised_process(SLEEP, **quiet(tmp_path, "")) as app,
                pytest.raises(AtonceError) as trouble,
            ):
                wait_until_ready(
                    app,
                    f"http://127.0.0.1:{free_port()}",
                    "/",
                    RunLog.from_here(tmp_path / "log.txt"),
                    lambda: None,
                    0.6,
                )
        finally:
            proxy.shutdown()
            thread.join()
    assert trouble.value.code is ExitCode.TARGET
    assert "did not answer within 1 s" in trouble.value.sentence


# A child, and another in a session of its own
FAMILY = ("sh", "-c", "setsid sleep 600 & (sleep 600; true) & wait")
DRIVER = """
import os, subprocess, sys
from pathlib import Path
from scenarios.system.child_process import supervised_process
quiet = {"env": os.environ, "core": None, "stdin": subprocess.DEVNULL, "stdout": None}
with supervised_process(sys.argv[2:], folder=Path(sys.argv[1]), **quiet):
    sys.stdin.read()
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """A word for the environment of all that a test starts; its carriers are killed at the end."""
    word = new_mark()
    yield word
    for number, _ in marked(word):
        os.kill(number, signal.SIGKILL)


def quiet(folder: Path, mark: str, **more: Any) -> dict[str, Any]:
    """Keyword arguments for a child that only runs."""
    env = {**os.environ, MARK: mark}
    return {
        "folder": folder,
        "env": env,
        "core": None,
        "stdin": subprocess.DEVNULL,
        "stdout": None,
        **more,
    }


def wait_for(holds: Callable[[], bool]) -> None:
    """Until something has happened, however long that takes here."""
    deadline = time.perf_counter() + 60
    while not holds():
        assert time.perf_counter() < deadline
        time.sleep(0.01)


def has_family(mark: str) -> bool:
    """Whether both sleepers are there."""
    return sum(command.startswith("sleep") for command in alive(mark)) == 2


def test_kill_9_of_the_driver_leaves_nobody(tmp_path: Path, mark: str) -> None:
    """The app's child goes, even in a session of its own; an unrelated process family stays."""
    stranger = subprocess.Popen(
        FAMILY, start_new_session=True, env={**os.environ, MARK: f"not {mark}"}
    )
    try:
        command = [sys.executable, "-c", DRIVER, str(tmp_path), *FAMILY]
        driver = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, MARK: mark}, stdin=subprocess.PIPE
        )
        wait_for(lambda: has_family(mark))
        driver.kill()
        driver.communicate()
        assert gone_within(mark) == []
        assert has_family(f"not {mark}")
    finally:
        for number, _ in marked(f"not {mark}"):
            os.kill(number, signal.SIGKILL)
        stranger.wait()


@pytest.mark.parametrize("ending", ["wait", "exit 0"])
def test_what_an_app_has_started_goes_with_it(tmp_path: Path, mark: str, ending: str) -> None:
    """When it is asked to end, and when it ends by itself."""
    command = (*FAMILY[:2], FAMILY[2].replace("wait", f"touch up; {ending}"))
    with supervised_process(command, **quiet(tmp_path, mark)) as app:
        wait_for((tmp_path / "up").exists)
        if ending == "exit 0":
            assert app.wait(60) == 0
            assert gone_within(mark) == []
    assert gone_within(mark) == []


TIDY = """
import os, signal, subprocess, sys, time
from pathlib import Path
def end(*_):
    Path("folder").rmdir()
    sys.exit(0)
if len(sys.argv) > 1:
    signal.signal(signal.SIGTERM, end)
    Path("folder").mkdir()
    time.sleep(600)
else:
    subprocess.Popen([sys.executable, __file__, "helper"], start_new_session=True)
    while not Path("folder").exists():
        time.sleep(0.01)
    os._exit(9)
"""


def test_what_a_dead_app_has_started_may_tidy_up(tmp_path: Path, mark: str) -> None:
    """Such as the guardian of a database, with a folder of its own."""
    (tmp_path / "app.py").write_text(TIDY, encoding="utf-8")
    with supervised_process(
        [sys.executable, str(tmp_path / "app.py")], **quiet(tmp_path, mark)
    ) as app:
        assert app.wait(60) == 9
    assert gone_within(mark) == []
    assert not (tmp_path / "folder").exists()


SLOW = """
import signal, sys, time
from pathlib import Path
def end(*_):
    Path("asked").touch()
    while not Path("may").exists():
        time.sleep(0.01)
    print("closed in good order")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
Path("up").touch()
time.sleep(600)
"""


def test_an_app_may_take_its_time_to_end(tmp_path: Path, mark: str) -> None:
    """It is waited for, not killed on the way."""

    def allow() -> None:
        wait_for((tmp_path / "asked").exists)
        (tmp_path / "may").touch()

    thread = threading.Thread(target=allow)
    thread.start()
    with supervised_process(
        [sys.executable, "-c", SLOW], **quiet(tmp_path, mark, stop_within=60.0)
    ) as app:
        wait_for((tmp_path / "up").exists)
    thread.join()
    assert (app.returncode, (tmp_path / "log.txt").read_text(encoding="utf-8")) == (
        0,
        "closed in good order\n",
    )


def test_an_app_that_does_not_end_is_killed_and_the_log_says_so(tmp_path: Path, mark: str) -> None:
    """After as long as was said."""
    with supervised_process(
        [sys.executable, "-c", SLOW], **quiet(tmp_path, mark, stop_within=0.05)
    ) as app:
        wait_for((tmp_path / "up").exists)
    assert app.returncode == -signal.SIGKILL
    assert "still ran 0.05 s after SIGTERM and was killed" in (tmp_path / "log.txt").read_text(
        encoding="utf-8"
    )
    assert gone_within(mark) == []


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 11)", -11),
        ("import os; os.abort()", -6),
    ],
)
def test_it_ends_as_its_child_does(tmp_path: Path, mark: str, code: str, end: int) -> None:
    """An exit code, or a signal."""
    with supervised_process([sys.executable, "-c", code], **quiet(tmp_path, mark)) as app:
        assert app.wait(60) == end


def test_ctrl_c_means_to_an_app_what_it_means_without_us(tmp_path: Path, mark: str) -> None:
    """The supervisor ignores it; the app, and what that starts, must not inherit this."""
    code = "import signal, sys; sys.exit(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    with supervised_process([sys.executable, "-c", code], **quiet(tmp_path, mark)) as app:
        assert app.wait(60) == 0


def test_a_command_that_cannot_be_run_says_so_in_the_log(tmp_path: Path, mark: str) -> None:
    """With a shell's exit code for that."""
    with supervised_process(["/not/there"], **quiet(tmp_path, mark)) as app:
        assert app.wait(60) == 127
    assert "/not/there cannot be started ([Errno 2]" in (tmp_path / "log.txt").read_text(
        encoding="utf-8"
    )


def test_what_an_app_says_is_masked_before_it_touches_the_disk(tmp_path: Path, mark: str) -> None:
    """No other user may read it; also while it runs, and when its driver is gone."""
    log = tmp_path / "log.txt"
    code = "import time; print('by geheim'); open('up', 'w'); time.sleep(600)"
    words = quiet(tmp_path, mark, secrets=("geheim",))
    words["env"]["PYTHONUNBUFFERED"] = "1"
    with supervised_process([sys.executable, "-c", code], **words) as app:
        wait_for((tmp_path / "up").exists)
        app.flush_log()
        assert (log.read_text(encoding="utf-8"), oct(log.stat().st_mode)) == (
            "by ***\n",
            "0o100600",
        )


def test_what_was_read_for_the_driver_is_not_missed_by_the_supervisor(tmp_path: Path) -> None:
    """Its pipe may be empty when it is read; a child that writes without end is left in time."""
    supervisor = Supervisor.__new__(Supervisor)
    supervisor.source, sink = os.pipe()
    os.set_blocking(supervisor.source, False)
    supervisor.log_writer = LogWriter(str(tmp_path / "log"), ())
    assert supervisor.read_output() is False
    os.write(sink, b"said\n")
    supervisor.read_backlog()
    assert (tmp_path / "log").read_bytes() == b"said\n"
    for end in (supervisor.source, sink, supervisor.log_writer.file):
        os.close(end)


SECRETS = ("hunter2", "gehei\u00e4m", "a b c d")


@given(
    st.lists(
        st.sampled_from(
            [*SECRETS, "gehei", "hunter", "a b", "x", "\n", "://u:p@h ", "\u00e4" * 40]
        ),
        max_size=40,
    ),
    st.lists(st.integers(1, 30), min_size=1, max_size=30),
)
def test_no_secret_is_missed_wherever_what_is_said_is_cut(
    words: list[str], cuts: list[int]
) -> None:
    """Line by line, and where no line ends the log lags behind; nothing else is lost or changed."""
    said = "".join(words).encode()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(private_log, "CHUNK_BYTES", 160)
        words_ = LogWriter(str(Path(folder, "log")), SECRETS)
        pieces = itertools.cycle(cuts)
        at = 0
        while at < len(said):
            words_.add_chunk(said[at : (at := at + next(pieces))])
        words_.add_chunk(b"", is_last=True)
        os.close(words_.file)
        kept = Path(folder, "log").read_bytes()
    assert kept == redact_secrets(said.decode(), SECRETS).encode()


def test_an_app_is_read_on_when_the_disk_is_full() -> None:
    """What it says is lost, for it would stop otherwise."""
    words = LogWriter("/dev/full", ())
    words.add_chunk(b"x\n" * 100_000)
    words.add_chunk(b"y\n", is_last=True)
    assert words.rest == b""
    os.close(words.file)


LEAVING = """
import os, signal, subprocess, sys, time
from pathlib import Path
import psutil
from results.errors import run_cli
from scenarios.system.interrupt import handle_stop_signals
from scenarios.system.child_process import supervised_process
def run():
    quiet = {"env": os.environ, "core": None, "stdin": subprocess.DEVNULL, "stdout": None}
    command = ("sh", "-c", "setsid sleep 60 & (sleep 60; true) & wait")
    with handle_stop_signals(), supervised_process(command, folder=Path(sys.argv[1]), **quiet):
        while [one.name() for one in psutil.Process().children(recursive=True)].count("sleep") < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        print("still here", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        print("never")
raise SystemExit(run_cli(run))
"""


@pytest.mark.slow
def test_a_second_interruption_leaves_no_grandchild(tmp_path: Path) -> None:
    """A sentence, exit code 130, no wait; what a child started goes too, in any session."""
    mark = new_mark()
    words = [sys.executable, "-c", LEAVING, str(tmp_path)]
    env = {**os.environ, MARK: mark}
    try:
        shown = subprocess.run(
            words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert (shown.returncode, shown.stdout) == (130, "still here\n")
        assert "stopping; waiting for open requests" in shown.stderr
        assert shown.stderr.endswith(
            "atonce: Interrupted. What was measured so far lies in the run's folder.\n"
        )
        assert gone_within(mark) == []
    finally:
        for number, _ in marked(mark):
            os.kill(number, signal.SIGKILL)
