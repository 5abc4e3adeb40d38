"""A real server that records what it was asked, and both our clients: polite, and under load."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scenarios.generator.job import RequestTemplate
from tests.support.processes import ROOT

LOADED = """
import json, resource, sys, tempfile
from gevent import monkey
monkey.patch_all()  # as Locust does
from pathlib import Path
from types import SimpleNamespace
from results.schema import Cell
from scenarios.generator.client import Client
from scenarios.generator.recorder import Recorder, SampleKey
from scenarios.generator.job import RequestTemplate
url, letter, cell = json.loads(sys.stdin.read())
cell = Cell.from_dict(cell)
fired = []
fire = lambda **event: fired.append(event["response_length"])
events = SimpleNamespace(request=SimpleNamespace(fire=fire))
with tempfile.TemporaryDirectory() as folder:
    recorder = Recorder(Path(folder), "w")
    templates = {cell.route: RequestTemplate(**letter)}
    client = Client(SimpleNamespace(events=events), url, recorder, templates)
    connection = client.new_connection()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    key = SampleKey(cell, "steady", 0)
    for number in range(2):
        print(*client.send_request(connection, key, 0.0), fired[-1])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def request_under_load(
    url: str, letter: RequestTemplate, cell: dict[str, Any]
) -> tuple[list[list[str]], float]:
    """Ask twice as the load generator does.

    Per request whether it was answered, whether rightly, and its length; then MB more at the peak.
    """
    message = json.dumps(
        [url, {"headers": letter.headers, "body": letter.body, "path": letter.path}, cell]
    )
    shown = subprocess.run(
        [sys.executable, "-c", LOADED],
        input=message,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    *lines, grown = shown.stdout.splitlines()
    return [line.split() for line in lines], int(grown) / 1024


@contextlib.contextmanager
def echoing(body: bytes = b"{}") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server's URL, and what it was asked; it hands out a cookie with every answer."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = sorted((name.lower(), value) for name, value in self.headers.items())
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            seen.append({"line": self.requestline, "headers": headers, "body": content})
            self.send_response(200)
            for name, value in (
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("set-cookie", "a=b"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as the standard library calls them

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
