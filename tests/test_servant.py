"""Child processes: waited for until they answer, and gone with all that they started, however their driver leaves."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from results.trouble import Exit, Trouble
from scenarios._servant import servant
from scenarios._watch import Log, wait_until_ready
from tests.processes import free_port

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
