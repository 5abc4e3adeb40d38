"""Drives a plan: for each session start the app, check that it answers, run Locust, stop both.

Locust and the app start side by side, each on its core; Locust gets its job once the app answers. A
target that we do not serve is checked and left alone. Whatever ends the run - the plan, a dead
target, a full disk, Ctrl-C - the spools are kept and the run is closed with its status.
"""

import contextlib
import hashlib
import itertools
import json
import os
import site
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from results.errors import AtonceError, ExitCode
from results.schema import Status
from results.store import RunWriter
from scenarios.generator.job import Job
from scenarios.plans.model import STARTUP_TIME, Plan, Session
from scenarios.runner.preflight import (
    PartMissing,
    check_target_alive,
    collect_answers,
    verify_routes,
)
from scenarios.runner.supervise import (
    ProgressCallback,
    session_progress,
    supervise_locust,
    wait_until_ready,
)
from scenarios.system.child_process import PACKAGE_ROOT, CoreSet, child_env, supervised_process
from scenarios.system.interrupt import StopRequest, handle_stop_signals
from scenarios.system.machine import (
    all_cores,
    cpu_count_env,
    describe_machine,
    package_versions,
    pinned_cores,
)
from scenarios.system.private_log import RunLog
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

_READY_PATH = "/noop/async"  # what is asked until the app answers: it costs next to nothing
_CorePair = tuple[CoreSet, CoreSet]  # where the app runs, and where Locust does
LOCUSTFILES = ("burst.py", "crowd.py", "steady.py", "neighbours.py")


class ProgressListener(Protocol):
    """Watches a run: what is being measured, and how many seconds of the plan are done."""

    def on_progress(self, step: str, seconds_done: float) -> None:
        """Called some ten times a second."""


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
    with handle_stop_signals() as interruption:
        _run_sessions(plan, settings, run, interruption, listener)


def _run_sessions(
    plan: Plan,
    settings: Settings,
    run: RunWriter,
    interruption: StopRequest,
    listener: ProgressListener,
) -> None:
    """Open the run, measure session after session, seal it."""
    # asked once: a process that is pinned to a core sees that core only
    pinned, everywhere = pinned_cores(), all_cores()
    settings = replace(settings, server_env={**cpu_count_env(), **settings.server_env})
    status, done, sessions = Status.FAILED, 0.0, list(plan.sessions)
    follow_ups = plan.follow_up(run) if plan.follow_up else iter(())
    # by the seconds that were asked for: variants of the same work must answer alike
    answers: dict[float, str] = {}
    try:
        run.open(**_run_metadata(plan, settings))
        with pin_to_core(pinned[1]):
            while sessions:
                session = sessions.pop(0)
                on_progress = partial(_report_progress, listener, done)
                session_settings = replace(settings, app=session.app) if session.app else settings
                # the lesson's cells say what they expect
                expected_answer = (
                    answers.get(session.seconds)
                    if session.seconds and not session.has_lesson_routes
                    else None
                )
                core_pair = pinned if session.is_pinned else (everywhere, pinned[1])
                try:
                    answer = _run_session(
                        session,
                        session_settings,
                        run,
                        core_pair,
                        interruption,
                        on_progress,
                        expected_answer,
                    )
                    answers.update({} if session.has_lesson_routes else {session.seconds: answer})
                except PartMissing as missing:
                    run.skip_session(
                        session.name, str(missing), [cell.name for cell in session.cells]
                    )
                done += STARTUP_TIME + session.estimate()
                if not sessions and not interruption.is_requested:
                    sessions = list(itertools.islice(follow_ups, 1))
                    run.extend_plan(
                        [cell.to_dict() for follow_up in sessions for cell in follow_up.cells]
                    )
        status = Status.COMPLETE
    except AtonceError as trouble:
        if plan.follow_up and not any(cell["arrivals"] for cell in run.metadata["plan"]["cells"]):
            run.add_warning("The rates that follow from the capacity were never begun.")
        status = Status.INTERRUPTED if trouble.code is ExitCode.INTERRUPTED else Status.FAILED
        run.add_warning(trouble.sentence)
        raise
    except OSError as error:
        raise disk_error(run, error) from error
    finally:
        close_run(run, status)


def _run_metadata(plan: Plan, settings: Settings) -> dict[str, Any]:
    """Metadata of a run, known before it begins."""
    app_core, locust_core = pinned_cores()
    cells = [cell.to_dict() for cell in plan.cells]
    claims = {"claims": settings.claims} if settings.claims else {}
    more = (
        {"scenario": settings.scenario, "host": settings.host}
        if settings.host
        else {"probe": settings.probe}
    )
    return {
        **claims,
        **more,
        "seed": settings.seed,
        "acts": [session.name for session in plan.sessions],
        "asks": {
            session.name: session.extra_requests
            for session in plan.sessions
            if session.extra_requests
        },
        "unpinned": [session.name for session in plan.sessions if not session.is_pinned],
        "skipped": {},
        "plan": {"seconds": plan.seconds or None, "notes": plan.notes, "cells": cells},
        "schedule": hashlib.sha256(json.dumps([settings.seed, cells]).encode()).hexdigest(),
        "loop": settings.loop,
        # where a session chose another loop on purpose
        "loops": {session.name: session.loop for session in plan.sessions if session.loop},
        "workers": 1,
        "machine": {
            **describe_machine(),
            "app_core": None if settings.host else app_core,
            "locust_core": locust_core,
        },
        "packages": package_versions(),
        "connections": settings.connections,
    }


def close_run(run: RunWriter, status: Status) -> None:
    """Seal the run. On a full disk it stays as it is: the spools can be read as well."""
    try:
        run.close(status)
    except OSError as error:
        raise disk_error(run, error) from error


def disk_error(run: RunWriter, error: OSError) -> AtonceError:
    """The error for a disk that takes no more."""
    why = error.strerror or str(error)
    sentence = (
        f"The run cannot be written any further ({why}); what fitted is kept in {run.path}. Make"
        f" room, then: atonce report {run.path}"
    )
    return AtonceError(sentence, ExitCode.UNTRUSTED)


def _report_progress(listener: ProgressListener, done: float, step: str, seconds: float) -> None:
    """Report a session's progress, after `done` seconds of earlier sessions."""
    listener.on_progress(step, done + seconds)


def _run_session(  # noqa: PLR0913, PLR0917 - what a session needs
    session: Session,
    settings: Settings,
    run: RunWriter,
    core_pair: _CorePair,
    interruption: StopRequest,
    on_progress: ProgressCallback,
    expected_answer: str | None,
) -> str:
    """Run a session: a fresh server, unless a host is given, and one Locust process.

    Returns the answer before the load.
    """
    app_core, locust_core = core_pair
    log, url, app = RunLog.from_here(run.path / "log.txt"), settings.host, None
    quiet: dict[str, Any] = {"folder": run.path, "stdin": subprocess.DEVNULL, "stdout": None}
    pipes: dict[str, Any] = {
        "folder": run.path,
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
    }
    with contextlib.ExitStack() as processes:
        if url is None:
            port = find_free_port()
            url = f"http://127.0.0.1:{port}"
            on_progress(f"starting the app for {session.name}", 0.0)
            command, env = (
                _server_command(settings, port, session),
                _server_env(settings, run.path, session),
            )
            app = processes.enter_context(
                supervised_process(command, env=env, core=app_core, **quiet)
            )
        locust = None
        if session.cells:
            locust = processes.enter_context(
                supervised_process(
                    _session_locust_command(session, url),
                    env=locust_env(run.path),
                    core=locust_core,
                    **pipes,
                )
            )
        if app:
            wait_until_ready(app, url, _READY_PATH, log, interruption.raise_if_requested)
        # a target that we do not serve may answer as it likes
        answer = verify_routes(url, session.cells, expected_answer if app else None, settings.trust)
        answers = [collect_answers(url, session.extra_requests, settings.trust)]
        interruption.raise_if_requested()
        if locust:
            job = Job(run.path, session.name, settings.seed, session.cells, trust=settings.trust)
            supervise_locust(
                app,
                locust,
                iter([job]),
                lambda cell, seconds: on_progress(*session_progress(session, cell, seconds)),
                log,
                interruption.raise_if_requested,
            )
            answers.append(collect_answers(url, session.extra_requests, settings.trust))
        if app is None:
            check_target_alive(url, session.cells[-1].name)
    if session.extra_requests:
        run.add_answers(session.name, answers, "" if locust else log.warnings())
    return answer


def _server_command(settings: Settings, port: int, session: Session) -> list[str]:
    """Plain uvicorn with its defaults; connections stay alive for longer than any cell lasts."""
    flags = (
        f"--host 127.0.0.1 --port {port} --loop {session.loop or settings.loop} --no-access-log"
        " --log-level warning"
    )
    rooms = ["--timeout-keep-alive", "300", "--app-dir", str(PACKAGE_ROOT)]
    return [sys.executable, "-m", "uvicorn", settings.app, *flags.split(), *rooms]


def _server_env(settings: Settings, folder: Path, session: Session) -> dict[str, str]:
    """The app's environment: our packages on its path, and where its probe writes."""
    (folder / "probe").mkdir(exist_ok=True)
    probe = {
        "ATONCE_TARGET_PROBE": str(int(settings.probe)),
        "ATONCE_PROBE": str(folder / "probe" / session.name),
    }
    return {
        **child_env(),
        **probe,
        "ATONCE_TARGET_LAB": str(int(session.has_lesson_routes)),
        **settings.server_env,
    }


def _session_locust_command(session: Session, url: str) -> list[str]:
    """Locust for a session: as many users as the cells need, a time limit far beyond the plan."""
    user_count = sum(Job(Path(), "", 0, session.cells).user_counts().values())
    return locust_command(
        user_count,
        int(
            60
            + 3
            * sum(
                max(cell.warm_up + cell.window, 2 * cell.longest) + cell.drain
                for cell in session.cells
            )
        ),
        url,
    )


def locust_command(user_count: int, limit: int, url: str) -> list[str]:
    """Real Locust, headless, with all scenario files. The time limit is a dead man's switch."""
    files = ",".join(str(PACKAGE_ROOT / "scenarios" / name) for name in LOCUSTFILES)
    flags = (
        f"--headless -u {user_count} -r {user_count} -t {limit} --only-summary --loglevel WARNING"
        " --atonce-plan -"
    )
    return [sys.executable, "-m", "locust", "-f", files, "--host", url, *flags.split()]


def locust_env(folder: Path) -> dict[str, str]:
    """Locust's environment, without the user's own settings of Locust.

    Those are in variables, at home and where it runs: both folders become the run's folder.
    Packages at home stay in reach.
    """
    ours = {name: value for name, value in child_env().items() if not name.startswith("LOCUST_")}
    return {**ours, "HOME": str(folder), "PYTHONUSERBASE": site.getuserbase()}


def find_free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def pin_to_core(core: int | None) -> Iterator[None]:
    """Keep this process off the app's core for the length of the block."""
    if core is None:
        yield
        return
    previous_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, previous_cores)
