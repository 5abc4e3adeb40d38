"""Follows the two children of a session: is the app ready, what does Locust do, has either died.

Events of the load engine move the progress; everything else goes to the run's log.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterable
from itertools import chain

import httpx

from results.errors import AtonceError, ExitCode, UsageError
from results.schema import Cell, Scenario
from scenarios.generator.job import DISK_FULL_EXIT, Job
from scenarios.plans.model import STARTUP_TIME, Session, cell_duration
from scenarios.runner.locust_process import POLL_INTERVAL, LocustProcess
from scenarios.runner.preflight import fetch_response, open_http_client, target_error
from scenarios.system.private_log import RunLog
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust, certificate_advice

# seconds for an app to answer its first request, unless it is known to load a model first
_READY_TIMEOUT = 30.0
# what is being done, and how many planned seconds of the session are over
ProgressCallback = Callable[[str, float], None]
InterruptCheck = Callable[[], None]  # raises AtonceError when a signal requests a stop


def wait_until_ready(  # noqa: PLR0913, PLR0917 - an app, its address, and callbacks
    app: subprocess.Popen[str],
    url: str,
    path: str,
    log: RunLog,
    check: InterruptCheck,
    timeout: float = _READY_TIMEOUT,
    trust: TlsTrust = DEFAULT_TLS_TRUST,
) -> None:
    """Send requests until the app answers anything. Raises AtonceError if it dies or is late."""
    deadline = time.perf_counter() + timeout
    with open_http_client(url, trust, 5) as client:
        while True:
            check()
            answer, why = None, ""
            try:
                answer = fetch_response(client, "GET", path)
            except httpx.TransportError as error:
                if advice := certificate_advice(error):
                    raise UsageError(f"{url} answers, but {advice}") from error
            if app.poll() is not None:  # what answers then is another process
                why = f"The app did not start (exit code {app.returncode})."
            elif answer is not None:
                return
            elif time.perf_counter() > deadline:
                why = f"The app did not answer within {timeout:.0f} s of its start."
            if why:
                raise target_error(f"{why} {log.describe_tail()}")
            time.sleep(POLL_INTERVAL / 2)


def supervise_locust(  # noqa: PLR0913, PLR0917 - two children, jobs, and callbacks
    app: subprocess.Popen[str] | None,
    process: subprocess.Popen[str],
    jobs: Iterable[Job],
    on_progress: ProgressCallback,
    log: RunLog,
    check: InterruptCheck,
) -> None:
    """Hand over the jobs, each when Locust rests, and follow it to its end."""
    locust = LocustProcess(process)
    for job in chain(jobs, [None]):
        run_job(app, locust, job, on_progress, log, check)


def run_job(  # noqa: PLR0913, PLR0917 - two children, a job, and callbacks
    app: subprocess.Popen[str] | None,
    locust: LocustProcess,
    job: Job | None,
    on_progress: ProgressCallback,
    log: RunLog,
    check: InterruptCheck,
) -> None:
    """Hand over a job and follow Locust until it rests again; without a job, until it has ended.

    Raises AtonceError when the app or Locust dies. An interruption stops Locust from sending and
    waits for open requests; a second one leaves at once.
    """
    locust.send_job(job)
    try:
        is_resting, cell = _read_events(app, locust, on_progress, log, check)
    except AtonceError as error:
        if error.code is ExitCode.INTERRUPTED:
            locust.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                locust.process.wait(locust.longest_cell_time("drain"))
        raise
    tail, code = log.describe_tail(), locust.process.returncode
    if app and app.poll() is not None:
        raise target_error(f"The app died (exit code {app.returncode}) during {cell}. {tail}")
    if code == DISK_FULL_EXIT:
        raise OSError("the disk took no more samples")
    if code:
        why = f"Locust ended with exit code {code} during {cell}. {tail}"
        raise AtonceError(why, ExitCode.UNTRUSTED)
    if not is_resting:
        why = f"Another process stopped Locust during {cell}. The run keeps what was measured."
        raise AtonceError(why, ExitCode.UNTRUSTED)


def _read_events(
    app: subprocess.Popen[str] | None,
    locust: LocustProcess,
    on_progress: ProgressCallback,
    log: RunLog,
    check: InterruptCheck,
) -> tuple[bool, str]:
    """Read what Locust prints until it rests or ends; return whether it rests, and its last cell.

    When the app dies, Locust is stopped and followed to its end.
    """
    began, is_terminated = time.perf_counter(), False
    cell = locust.job.cells[0].name if locust.job else "the end"
    for line in locust.read_lines():
        check()
        is_app_dead = app is not None and app.poll() is not None
        if line.startswith("@atonce "):
            event, name = json.loads(line.removeprefix("@atonce "))
            cell, locust.last_heard = name or cell, time.perf_counter()
            if event == "connect":
                began = time.perf_counter()
            if event == "rest" and not is_app_dead:
                return True, cell
        elif line and not is_app_dead:  # else it is Locust's own table
            log.append(line)
        on_progress(cell, time.perf_counter() - began)
        if is_app_dead and not is_terminated:
            locust.process.terminate()
            is_terminated = True
        if locust.is_hanging():
            silence = time.perf_counter() - locust.last_heard
            raise AtonceError(
                f"Locust was silent for {silence:.0f} s during {cell} and was stopped. The run"
                f" keeps what was measured. {log.describe_tail()}",
                ExitCode.UNTRUSTED,
            )
    return locust.job is None, cell


def session_progress(session: Session, name: str, seconds: float) -> tuple[str, float]:
    """Describe the running cell; return also how many of the session's planned seconds are done."""
    done = STARTUP_TIME
    where = f" on {session.loop}" if session.loop else ""
    turn = f", repeat {session.repeat}" if session.repeat > 1 else ""
    for cell in session.cells:
        planned = cell_duration(cell, session.seconds)
        if cell.name == name:
            return f"{describe_cell(cell)}{where}{turn}", done + min(seconds, planned)
        done += planned
    return f"starting Locust for {session.variant}", 0.0


def describe_cell(cell: Cell) -> str:
    """Describe a cell in words."""
    if cell.scenario is Scenario.NEIGHBOURS:
        return "the neighbours alone"
    if cell.arrivals:
        share = f" ({cell.share:.0%} of its capacity)" if cell.share else ""
        rate = cell.name.rpartition("/")[2].partition("~")[0]
        return f"{cell.route}: {rate} arrivals a second{share}"
    kind = "cold crowd" if cell.cold and cell.scenario is Scenario.CROWD else cell.scenario
    users = "1 user" if cell.users == 1 else f"{cell.users} users"
    neighbours = ", with both neighbours" if cell.neighbours else ""
    return f"{cell.route}: a {kind} of {users}{neighbours}"
