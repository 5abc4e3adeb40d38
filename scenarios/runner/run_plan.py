"""Drives a plan: for each session start the app, check that it answers, run Locust, stop both.

Locust and the app start side by side, each on its core; Locust gets its job once the app answers. A
target that we do not serve is checked and left alone. Whatever ends the run - the plan, a dead
target, a full disk, Ctrl-C - the spools are kept and the run is closed with its status.
"""

import contextlib
import hashlib
import json
import os
import site
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from results import run_info
from results.errors import AtonceError
from results.run_info import RunInfo, SessionAnswers, SkippedSession
from results.store import RunWriter
from scenarios.generator.job import Job
from scenarios.plans.model import STARTUP_TIME, Plan, Session
from scenarios.runner import preflight
from scenarios.runner.recorded_run import recorded_run
from scenarios.runner.supervise import (
    InterruptCheck,
    session_progress,
    supervise_locust,
    wait_until_ready,
)
from scenarios.system import machine
from scenarios.system.child_process import PACKAGE_ROOT, CoreSet, child_env, supervised_process
from scenarios.system.cpu_witness import CpuWitness
from scenarios.system.interrupt import StopRequest
from scenarios.system.private_log import RunLog
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

_READY_PATH = "/noop/async"  # requested until the app answers: it costs next to nothing
RunningProcess = contextlib.AbstractContextManager[subprocess.Popen[str]]
LOCUSTFILES = ("burst.py", "crowd.py", "steady.py", "neighbours.py")


class ProgressListener(Protocol):
    """Watches a run: what is measured now, and how many seconds of the plan are done."""

    def on_progress(self, step: str, seconds_done: float) -> None:
        """Take a step, some ten times a second."""

    def set_total(self, seconds: float) -> None:
        """Take a better estimate of the total."""


class NoProgress:
    """A listener that ignores everything."""

    def on_progress(self, step: str, seconds_done: float) -> None:
        """Ignore a step."""

    def set_total(self, seconds: float) -> None:
        """Ignore a total."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command chose. A `host` is served already, on an unknown loop."""

    loop: str
    seed: int
    server_env: Mapping[str, str] = field(default_factory=dict)
    app: str = "targets.app:app"
    host: str | None = None
    scenario: str | None = None
    probe: bool = True  # whether the bundled app carries its probe
    claims: Sequence[str] = ()  # ids of the run's claims; none: all that its plan can answer
    trust: TlsTrust = DEFAULT_TLS_TRUST
    connections: str = (
        "opened before the load, one per user, kept alive; the neighbours on their own"
    )


def execute_plan(
    plan: Plan, settings: Settings, run: RunWriter, listener: ProgressListener
) -> None:
    """Run all sessions. The run is sealed however this ends; then an error is raised."""
    # read here: a process that is pinned to a core sees that core only
    app_core, locust_core = machine.pinned_cores()
    everywhere, cpu_env = machine.all_cores(), machine.cpu_count_env()
    with (
        recorded_run(run, partial(_create_run_info, plan, settings)) as stop_request,
        pin_to_core(locust_core),
    ):
        driver = _SessionDriver(settings, run, stop_request, listener, cpu_env, locust_core)
        try:
            for session in _draw_sessions(plan, run, stop_request):
                driver.run_or_skip(session, app_core if session.is_pinned else everywhere)
        except AtonceError:
            if plan.follow_up and not any(cell.arrivals for cell in run.info.plan.cells):
                run.add_warning("The rates that follow from the capacity were never sent.")
            raise


def _draw_sessions(plan: Plan, run: RunWriter, stop_request: StopRequest) -> Iterator[Session]:
    """Yield the plan's sessions, then what follows from the measurements, one by one."""
    yield from plan.sessions
    follow_ups = plan.follow_up(run) if plan.follow_up else iter(())
    while not stop_request.is_requested and (session := next(follow_ups, None)):
        run.extend_plan(session.cells)
        yield session


def _create_run_info(plan: Plan, settings: Settings) -> RunInfo:
    app_core, locust_core = machine.pinned_cores()
    sessions, cells = plan.sessions, [cell.to_dict() for cell in plan.cells]
    facts = machine.describe_machine()
    facts.app_core, facts.locust_core = None if settings.host else app_core, locust_core
    requests = {session.name: list(session.extra_requests) for session in sessions}
    return RunInfo(
        scenario=settings.scenario if settings.host else None,
        host=settings.host,
        probe=settings.probe,
        claims=list(settings.claims or ()),
        seed=settings.seed,
        sessions=[session.name for session in sessions],
        extra_requests={name: paths for name, paths in requests.items() if paths},
        unpinned=[session.name for session in sessions if not session.is_pinned],
        plan=run_info.Plan(
            seconds=plan.seconds or None, notes=list(plan.notes), cells=list(plan.cells)
        ),
        schedule=hashlib.sha256(json.dumps([settings.seed, cells]).encode()).hexdigest(),
        loop=settings.loop,
        loops={session.name: session.loop for session in sessions if session.loop},
        workers=1,
        machine=facts,
        packages=machine.package_versions(),
        connections=settings.connections,
    )


@dataclass
class _SessionDriver:
    """Runs one session after another. `answers` are by wait: equal work must answer alike."""

    settings: Settings
    run: RunWriter
    stop_request: StopRequest
    listener: ProgressListener
    cpu_env: Mapping[str, str]
    locust_core: int | None
    seconds_done: float = 0.0
    answers: dict[float, str] = field(default_factory=dict)

    def run_or_skip(self, session: Session, app_core: CoreSet) -> None:
        """Run a session, unless the bundled app lacks a part that it needs."""
        try:
            answer = self._run_session(session, app_core)
            if not session.has_lesson_routes:  # the lesson's cells say what they expect
                self.answers[session.seconds] = answer
        except preflight.PartMissing as missing:
            names = [cell.name for cell in session.cells]
            self.run.skip_session(session.name, SkippedSession(str(missing), names))
        self.seconds_done += STARTUP_TIME + session.estimate()

    def _run_session(self, session: Session, app_core: CoreSet) -> str:
        """Run a fresh server, unless a host is given, and one Locust; return the first answer."""
        settings, run, check = self.settings, self.run, self.stop_request.raise_if_requested
        log, url, app, locust = RunLog.from_here(run.path / "log.txt"), settings.host, None, None
        expected_answer, trust = None, settings.trust

        def report_cell(cell: str, seconds: float) -> None:
            step, done = session_progress(session, cell, seconds)
            self.listener.on_progress(step, self.seconds_done + done)

        with contextlib.ExitStack() as processes:
            if url is None:
                port = find_free_port()
                url = f"http://127.0.0.1:{port}"
                self.listener.on_progress(f"starting the app for {session.name}", self.seconds_done)
                app = processes.enter_context(self._server(session, port, app_core))
                if session.seconds and not session.has_lesson_routes:
                    expected_answer = self.answers.get(session.seconds)
            if session.cells:
                limits = _locust_limits(session)
                process = locust_running(run.path, url, *limits, self.locust_core)
                locust = processes.enter_context(process)
            if app:
                wait_until_ready(app, url, _READY_PATH, log, check)
            answer = preflight.verify_routes(url, session.cells, expected_answer, trust)
            answers = [preflight.collect_answers(url, session.extra_requests, trust)]
            check()
            if locust:
                if app and settings.probe:
                    check = self._check_and_sample(session, processes)
                job = Job(run.path, session.name, settings.seed, session.cells, trust=trust)
                supervise_locust(app, locust, iter([job]), report_cell, log, check)
                answers.append(preflight.collect_answers(url, session.extra_requests, trust))
            if app is None:
                preflight.check_target_alive(url, session.cells[-1].name)
        if session.extra_requests:
            log_text = "" if locust else log.warnings()
            run.add_answers(session.name, SessionAnswers(answers, log_text))
        return answer

    def _check_and_sample(
        self, session: Session, processes: contextlib.ExitStack
    ) -> InterruptCheck:
        """Return a check for interruptions that also records the app's CPU."""
        witness = CpuWitness(self.run.path, session.name)
        processes.callback(witness.close)

        def check_and_sample() -> None:
            self.stop_request.raise_if_requested()
            witness.sample()

        return check_and_sample

    def _server(self, session: Session, port: int, core: CoreSet) -> RunningProcess:
        """Serve with uvicorn's defaults; connections stay alive for longer than any cell lasts."""
        settings, folder = self.settings, self.run.path
        (folder / "probe").mkdir(exist_ok=True)
        flags = (
            f"--host 127.0.0.1 --port {port} --loop {session.loop or settings.loop} --no-access-log"
            " --log-level warning --timeout-keep-alive 300 --app-dir"
        )
        env = {
            **child_env(),
            "ATONCE_TARGET_PROBE": str(int(settings.probe)),
            "ATONCE_PROBE": str(folder / "probe" / session.name),
            "ATONCE_TARGET_LAB": str(int(session.has_lesson_routes)),
            **self.cpu_env,
            **settings.server_env,
        }
        uvicorn = [sys.executable, "-m", "uvicorn", session.app or settings.app]
        command = [*uvicorn, *flags.split(), str(PACKAGE_ROOT)]
        return supervised_process(command, folder=folder, env=env, core=core)


def _locust_limits(session: Session) -> tuple[int, int]:
    """Return as many users as the cells need, and a time limit (seconds) far beyond the plan."""
    cells = session.cells
    users = sum(Job(Path(), "", 0, cells).user_counts().values())
    longest = (max(cell.warm_up + cell.window, 2 * cell.longest) + cell.drain for cell in cells)
    return users, int(60 + 3 * sum(longest))


def locust_running(
    folder: Path, url: str, user_count: int, limit: int, core: int | None
) -> RunningProcess:
    """Run a Locust that waits for its jobs, for the length of the block."""
    command, env = locust_command(user_count, limit, url), locust_env(folder)
    pipe = subprocess.PIPE
    return supervised_process(command, folder=folder, env=env, core=core, stdin=pipe, stdout=pipe)


def locust_command(user_count: int, limit: int, url: str) -> list[str]:
    """Return headless Locust. The `limit` (seconds) ends it only if it has lost its driver."""
    files = ",".join(str(PACKAGE_ROOT / "scenarios" / name) for name in LOCUSTFILES)
    load = f"--headless -u {user_count} -r {user_count} -t {limit} --only-summary".split()
    ours = ["--loglevel", "WARNING", "--atonce-plan", "-"]
    return [sys.executable, "-m", "locust", "-f", files, "--host", url, *load, *ours]


def locust_env(folder: Path) -> dict[str, str]:
    """Return an environment without the user's settings of Locust, which may be at home as well."""
    ours = {name: value for name, value in child_env().items() if not name.startswith("LOCUST_")}
    # packages at home stay in reach
    return {**ours, "HOME": str(folder), "PYTHONUSERBASE": site.getuserbase()}


def find_free_port() -> int:
    """Return a port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def pin_to_core(core: int | None) -> Iterator[None]:
    """Keep this process off the app's core for the length of the block."""
    with contextlib.ExitStack() as stack:
        if core is not None:
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, {core})
        yield
