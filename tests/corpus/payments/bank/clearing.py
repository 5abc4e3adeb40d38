"""A stand-in for the clearing house, for development: answers a line after 60 ms, from threads of its own."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Clerk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.readline()
        time.sleep(0.06)
        self.wfile.write(b"OK 1.0842\n")


@contextmanager
def opened() -> Iterator[int]:
    """Run it and give its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Clerk) as house:
        threading.Thread(target=house.serve_forever, name="clearing house", daemon=True).start()
        yield house.server_address[1]
        house.shutdown()
