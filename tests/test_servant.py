"""Child processes: waited for until they answer, and gone with all that they started, however their driver leaves."""

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from results.trouble import Exit, Trouble
from scenarios._servant import servant
from scenarios._watch import Log, wait_until_ready
from tests.processes import MARK, free_port, gone_within, marked, new_mark

ROOT = Path(__file__).resolve().parent.parent
SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


class Proxy(BaseHTTPRequestHandler):
    """Answers for everybody."""

    def do_GET(self) -> None:
        """As a proxy does that finds nobody."""
        self.send_error(502)

    def log_message(self, *_words: object) -> None:
        """Silently."""


def test_an_app_is_not_ready_because_a_proxy_answers_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for as long as was said, and no longer."""
    with HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        quiet = {"folder": tmp_path, "env": {}, "core": None, "stdin": subprocess.DEVNULL, "stdout": None}
        try:
            with servant(SLEEP, **quiet) as app, pytest.raises(Trouble) as trouble:  # type: ignore[arg-type]
                wait_until_ready(
                    app, f"http://127.0.0.1:{free_port()}", "/", Log.from_here(tmp_path / "log.txt"), lambda: None, 0.6
                )
        finally:
            proxy.shutdown()
            thread.join()
    assert trouble.value.code is Exit.TARGET
    assert "did not answer within 1 s" in trouble.value.sentence


LEAVING = """
import os, signal, subprocess, sys, time
from pathlib import Path
import psutil
from results.trouble import guarded
from scenarios._interruption import interruptible
from scenarios._servant import servant
def run():
    quiet = {"env": os.environ, "core": None, "stdin": subprocess.DEVNULL, "stdout": None}
    command = ("sh", "-c", "setsid sleep 60 & (sleep 60; true) & wait")
    with interruptible(), servant(command, folder=Path(sys.argv[1]), **quiet):
        while [one.name() for one in psutil.Process().children(recursive=True)].count("sleep") < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        print("still here", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        print("never")
raise SystemExit(guarded(run))
"""


@pytest.mark.slow
def test_a_second_interruption_leaves_no_grandchild(tmp_path: Path) -> None:
    """A sentence, exit code 130, nothing waited for. What a child has started goes too, even from a session of its own."""
    mark = new_mark()
    words = [sys.executable, "-c", LEAVING, str(tmp_path)]
    env = {**os.environ, MARK: mark}
    try:
        shown = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (shown.returncode, shown.stdout) == (130, "still here\n")
        assert "stopping; waiting for the answers still out" in shown.stderr
        assert shown.stderr.endswith("atonce: Interrupted. What was measured so far lies in the run's folder.\n")
        assert gone_within(mark) == []
    finally:
        for number, _ in marked(mark):
            os.kill(number, signal.SIGKILL)
