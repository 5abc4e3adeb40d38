"""The key service, as a stand-in for development."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def running() -> Iterator[int]:
    """Run the stand-in and give its port."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield int(process.stdout.readline())
        process.stdin.close()


class Keys(BaseHTTPRequestHandler):
    """Answers with the public keys."""

    def do_GET(self) -> None:
        """Answer."""
        time.sleep(0.06)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"keys": ["k1"]}')

    def log_message(self, *_args: object) -> None:
        """Keep quiet."""


def main() -> None:
    """Serve until standard input closes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
