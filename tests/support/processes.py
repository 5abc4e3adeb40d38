"""Servers that tests start, and which processes remain: known by a word in their environment."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]

MARK = "ATONCE_TEST_MARK"


def new_mark() -> str:
    """A word for the environment of everything that one test starts."""
    return uuid.uuid4().hex


def marked(mark: str) -> Iterator[tuple[int, str]]:
    """Number and command line of the processes that carry the mark, without this process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                int(folder.name) != os.getpid()
                and f"{MARK}={mark}".encode() in (folder / "environ").read_bytes()
            ):
                state = (
                    (folder / "stat")
                    .read_text(encoding="ascii", errors="replace")
                    .rpartition(")")[2]
                    .split()[0]
                )
                if state != "Z":
                    yield (
                        int(folder.name),
                        (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(),
                    )


def alive(mark: str) -> list[str]:
    """Command lines of the marked processes."""
    return [command for _, command in marked(mark)]


def pids(mark: str, word: str = "") -> list[int]:
    """Numbers of the marked processes with `word` in the first three words of their command."""
    return [number for number, command in marked(mark) if word in " ".join(command.split()[:3])]


def gone_within(mark: str, seconds: float = 10.0) -> list[str]:
    """Wait until no marked process is left; those that still are when time is up."""
    deadline = time.perf_counter() + seconds
    while (left := alive(mark)) and time.perf_counter() < deadline:
        time.sleep(0.05)
    return left


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(
    app: str, mark: str, *, loop: str = "asyncio", **env: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An app under plain uvicorn, as a person would start it; its URL and its process."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        app,
        "--port",
        str(port),
        "--log-level",
        "warning",
        "--loop",
        loop,
    ]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, MARK: mark, **env})
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_server(url)
        yield url, process
    finally:
        process.kill()
        process.wait()


def wait_for_server(url: str) -> None:
    """Until it answers anything."""
    deadline = time.perf_counter() + 120
    while True:
        try:
            httpx.get(f"{url}/counted", timeout=5)
        except httpx.TransportError:
            assert time.perf_counter() < deadline
            time.sleep(0.1)
        else:
            return
