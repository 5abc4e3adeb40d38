"""Lines of text on a socket."""

import socket


def take(line: socket.socket) -> str:
    """Receive one line."""
    got = bytearray()
    while not got.endswith(b"\n"):
        more = line.recv(4096)
        if not more:
            raise ConnectionError("the line is dead")
        got += more
    return got.decode().strip()
