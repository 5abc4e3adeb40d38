"""One question, one answer."""

import socket

from bank.wire import frames


def exchange(port: int, question: str) -> str:
    """Ask on a fresh connection."""
    *_, address = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)[0]
    with socket.create_connection(address, timeout=5) as line:
        line.sendall(question.encode())
        return frames.take(line)
