"""A stand-in for the tape machine: winds, then names the track."""

import socket
import sys
import time


def main() -> None:
    """Serve one studio until it leaves."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        line, _address = server.accept()
        with line, line.makefile("rw") as orders:
            for number in orders:
                time.sleep(0.09)
                orders.write(f"Take {number}")
                orders.flush()


if __name__ == "__main__":
    main()
    sys.stdin.read()
