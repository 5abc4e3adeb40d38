"""What the probe itself costs: `python -m tests.bench_probe [PAIRS]`. Goal: at most 2 % of no-op throughput.

Two servers of the bundled app on one core, with the probe as `atonce reproduce` runs it (header and journal) and without;
of the two only one is awake at a time. A raw socket client on the other core keeps the awake one busy, turn by turn,
in alternating pairs (AB BA ...). Printed: medians, and the cost as a share, 1 - with / without: the median of the pairs'
ratios with its 95 % interval from order statistics, because a shared machine brings outliers. CPU per request tells the
same with less noise.
"""

import contextlib
import json
import math
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from scenarios._driver import ROOMS, child_env, free_port
from scenarios._machine import cores
from scenarios._servant import servant
from scenarios._watch import Log, wait_until_ready

PAIRS, SECONDS, CONNECTIONS = 60, 0.3, 8
ROUTES = ("/noop/async", "/noop/def")


@contextlib.contextmanager
def server(folder: Path, name: str, **env: str) -> Iterator[tuple[int, int]]:
    """The bundled app, asleep; its port and process number."""
    port = free_port()
    words = f"-m uvicorn targets.app:app --port {port} --loop asyncio --no-access-log --log-level warning --timeout-keep-alive 300"
    command = [sys.executable, *words.split(), "--app-dir", str(ROOMS)]
    (folder / name).mkdir()
    quiet = {"folder": folder / name, "stdin": subprocess.DEVNULL, "stdout": None}
    with servant(command, env={**child_env(), **env}, core=cores()[0], **quiet) as app:  # type: ignore[arg-type]
        wait_until_ready(app, f"http://127.0.0.1:{port}", ROUTES[0], Log.from_here(folder / name / "log.txt"), lambda: None)
        os.kill(app.pid, signal.SIGSTOP)
        try:
            yield port, app.pid
        finally:
            os.kill(app.pid, signal.SIGCONT)


def cpu(pid: int) -> float:
    """Seconds of CPU that all threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def press(port: int, pid: int, route: str, seconds: float) -> tuple[float, float]:
    """Wake a server, keep it saturated, put it to sleep: requests per second, and CPU seconds per request."""
    os.kill(pid, signal.SIGCONT)
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    asks = selectors.DefaultSelector()
    answered = sent = 0
    for line in lines:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asks.register(line, selectors.EVENT_READ, bytearray())
        line.send(request(route, sent := sent + 1))
    begin, before, first, end = time.perf_counter(), cpu(pid), 0, math.inf
    while (now := time.perf_counter()) < end:
        if end == math.inf and now - begin > seconds / 5:  # warm
            begin, before, first, end = now, cpu(pid), answered, now + seconds
        for key, _ in asks.select(1):
            key.data.extend(key.fileobj.recv(4096))  # type: ignore[union-attr]
            if key.data.endswith(b"\r\n\r\nnull"):
                key.data.clear()
                answered += 1
                key.fileobj.send(request(route, sent := sent + 1))  # type: ignore[union-attr]
    took, used = time.perf_counter() - begin, cpu(pid) - before
    for line in lines:
        line.close()
    time.sleep(0.05)
    os.kill(pid, signal.SIGSTOP)
    return (answered - first) / took, used / (answered - first)


def request(route: str, number: int) -> bytes:
    """One request, with the name that the recorder would give it."""
    return f"GET {route} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nx-atonce-id: noop-{number}\r\n\r\n".encode()


def cost(ratios: list[float]) -> dict[str, float]:
    """1 - ratio, in per cent: the pairs' median, and between which ranks it lies in 95 % of such benches (binomial law)."""
    costs, half = sorted(1 - one for one in ratios), 0.98 * math.sqrt(len(ratios))
    low, high = (costs[min(max(round(len(costs) / 2 + edge - 0.5), 0), len(costs) - 1)] for edge in (-half, half))
    return {name: round(100 * one, 2) for name, one in (("percent", statistics.median(costs)), ("low", low), ("high", high))}


def measure(folder: Path, route: str, pairs: int) -> dict[str, object]:
    """One route, with and without."""
    rates: dict[str, list[float]] = {"with": [], "without": []}
    works: dict[str, list[float]] = {"with": [], "without": []}
    with (
        server(folder, "with", ATONCE_PROBE=str(folder / "with" / "probe")) as one,
        server(folder, "without", ATONCE_TARGET_PROBE="0") as two,
    ):
        known = {"with": one, "without": two}
        for pair in range(pairs):
            for name in sorted(known, reverse=bool(pair % 2)):
                rate, work = press(*known[name], route, SECONDS)
                rates[name].append(rate)
                works[name].append(work)
    return {
        "requests per second": {name: round(statistics.median(found)) for name, found in rates.items()},
        "microseconds of CPU per request": {name: round(1e6 * statistics.median(found), 1) for name, found in works.items()},
        "cost in throughput": cost([a / b for a, b in zip(rates["with"], rates["without"], strict=True)]),
        "cost in CPU": cost([b / a for a, b in zip(works["with"], works["without"], strict=True)]),
    }


def main() -> None:
    """Measure both no-op routes and print them."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    if core := cores()[1]:
        os.sched_setaffinity(0, {core})
    for route in ROUTES:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({route: measure(Path(folder), route, pairs)}, indent=1), flush=True)


if __name__ == "__main__":
    main()
