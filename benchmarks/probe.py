"""What the probe costs: `python -m benchmarks.probe [RESTARTS]`; goal: at most 2 % of no-ops.

The goal is in throughput. Two servers of the bundled app on a core, with the probe as
`atonce reproduce` runs it (header and trace log) and without; only one of them is awake at a time.
A raw socket client on the other core keeps that server busy, turn by turn, in alternating pairs
(AB BA ...). A process may be several per cent quicker than its twin for all its life, so both start
anew several times. Printed: medians, and the cost, 1 - with / without, as the geometric mean over
the restarts with its 95 % interval (docs/method.md). CPU per request shows the same with less noise
from other processes.

`python -m benchmarks.probe --watch [RESTARTS]` prints the same of the doctor's watchdog while it is
on, and `--profile` of the look at where requests wait, for the first route: an app with the agent,
with the switch on and off. Goal: at most 5 % of the CPU per request, by the upper end of the
interval.
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

import psutil

from scenarios.runner.run_plan import find_free_port
from scenarios.runner.supervise import wait_until_ready
from scenarios.system.child_process import PACKAGE_ROOT, child_env, supervised_process
from scenarios.system.machine import pinned_cores
from scenarios.system.private_log import RunLog

RESTARTS, PAIRS, SECONDS, CONNECTIONS = 12, 4, 0.3, 8
STUDENT = {4: 3.182, 8: 2.365, 12: 2.201, 20: 2.093}  # t at 97.5 % for so many restarts
ROUTES = ("/noop/async", "/noop/def")
SWITCHES = ("--watch", "--profile")


@contextlib.contextmanager
def server(
    folder: Path, name: str, core: int | None, app_words: str, **env: str
) -> Iterator[tuple[int, int]]:
    """The bundled app, asleep; its port and process number."""
    port = find_free_port()
    words = (
        f"-m uvicorn {app_words} --port {port} --loop asyncio --no-access-log --log-level"
        " warning --timeout-keep-alive 300"
    )
    command = [sys.executable, *words.split(), "--app-dir", str(PACKAGE_ROOT)]
    (folder / name).mkdir()
    quiet = {"folder": folder / name, "stdin": subprocess.DEVNULL, "stdout": None}
    with supervised_process(
        command,
        env={**child_env(), **env},
        core=core,
        **quiet,  # type: ignore[arg-type]
    ) as app:
        wait_until_ready(
            app,
            f"http://127.0.0.1:{port}",
            ROUTES[0],
            RunLog.from_here(folder / name / "log.txt"),
            lambda: None,
        )
        (pid,) = (child.pid for child in psutil.Process(app.pid).children())  # of the supervisor
        os.kill(pid, signal.SIGSTOP)
        try:
            yield port, pid
        finally:
            os.kill(pid, signal.SIGCONT)


def cpu(pid: int) -> float:
    """Seconds of CPU that all threads of a process have used."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def press(port: int, pid: int, route: str, seconds: float) -> tuple[float, float]:
    """Keep a server awake and saturated: requests per second, and CPU seconds per request."""
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
    """A request with a request id like the load generator's."""
    return (
        f"GET {route} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nx-atonce-id:"
        f" noop-{number}\r\n\r\n".encode()
    )


def cost(logs: list[float]) -> dict[str, float]:
    """1 - ratio in per cent, from logarithms of ratios: geometric mean and 95 % interval."""
    middle, half = (
        statistics.fmean(logs),
        STUDENT.get(len(logs), 2.3) * statistics.stdev(logs) / math.sqrt(len(logs)),
    )
    edges = {"percent": middle, "low": middle + half, "high": middle - half}
    return {name: round(100 * (1 - math.exp(value)), 2) for name, value in edges.items()}


def probe_envs(folder: Path) -> dict[str, dict[str, str]]:
    """The variables with the probe and without."""
    return {
        "with": {"ATONCE_PROBE": str(folder / "probe")},
        "without": {"ATONCE_TARGET_PROBE": "0"},
    }


def agent_envs(folder: Path, switch: str) -> dict[str, dict[str, str]]:
    """The variables of the agent, and the file that switches something on in one of two apps."""
    envs = {}
    for name in ("with", "without"):
        run = folder / f"run-{name}"
        (run / "guest").mkdir(parents=True)
        config = {"app": "targets.app:app", "factory": False, "home": str(folder), "secret": "-"}
        config |= {"folder": str(run), "process": "app"}
        envs[name] = {"ATONCE_AGENT": json.dumps(config), "ATONCE_TARGET_PROBE": "0"}
    (folder / "run-with" / "guest" / f"app.{switch}").touch()
    return envs


def measure(route: str, restarts: int, core: int | None, switch: str = "") -> dict[str, object]:
    """Measure a route with and without: per restart the mean logarithm of its pairs' ratios."""
    rates: dict[str, list[float]] = {"with": [], "without": []}
    works: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(restarts):
        with tempfile.TemporaryDirectory() as path, contextlib.ExitStack() as servers:
            folder = Path(path)
            app = "--factory targets.agent.entrypoint:create_app" if switch else "targets.app:app"
            envs = agent_envs(folder, switch) if switch else probe_envs(folder)
            known = {
                name: servers.enter_context(server(folder, name, core, app, **env))
                for name, env in envs.items()
            }
            for pair in range(PAIRS):
                for name in sorted(known, reverse=bool(pair % 2)):
                    rate, work = press(*known[name], route, SECONDS)
                    rates[name].append(rate)
                    works[name].append(work)
    return {
        "requests per second": {
            name: round(statistics.median(values)) for name, values in rates.items()
        },
        "microseconds of CPU per request": {
            name: round(1e6 * statistics.median(values), 1) for name, values in works.items()
        },
        "cost in throughput": cost(by_restart(rates["with"], rates["without"])),
        "cost in CPU": cost(by_restart(works["without"], works["with"])),
    }


def by_restart(above: list[float], below: list[float]) -> list[float]:
    """Mean logarithm of the ratios of each restart's pairs."""
    logs = [math.log(a / b) for a, b in zip(above, below, strict=True)]
    return [statistics.fmean(logs[i : i + PAIRS]) for i in range(0, len(logs), PAIRS)]


def main() -> None:
    """Measure both no-op routes and print them; with a switch one."""
    switch = next((word[2:] for word in sys.argv[1:] if word in SWITCHES), "")
    words = [word for word in sys.argv[1:] if word not in SWITCHES]
    restarts = int(words[0]) if words else RESTARTS
    app_core, own_core = pinned_cores()
    if own_core is not None:
        os.sched_setaffinity(0, {own_core})
    for route in ROUTES[:1] if switch else ROUTES:
        result = measure(route, restarts, app_core, switch)
        print(json.dumps({route: result}, indent=1), flush=True)


if __name__ == "__main__":
    main()
