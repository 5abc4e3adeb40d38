"""Drives a plan: for each act start the app, prove that it answers, run Locust, stop both; always leave a run behind.

Locust and the app start side by side, each on its core; Locust gets its script once the app is proved to answer. A target
that somebody else serves is asked politely and left alone. Whatever ends the run - the plan, a dead target, a full disk,
Ctrl-C - the spools are kept and the run is closed with its status.
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

from results.errors import Exit, Trouble
from results.schema import Status
from results.store import RunFolder
from scenarios.generator.job import Script
from scenarios.plans.model import START_UP, Act, Plan
from scenarios.runner.preflight import Absent, ask, still_there, verify
from scenarios.runner.supervise import Tell, progress, wait_until_ready, watch
from scenarios.system.child_process import ROOMS, Core, child_env, servant
from scenarios.system.interrupt import Interruption, interruptible
from scenarios.system.machine import all_cores, cores, cpu_count_env, machine, packages
from scenarios.system.private_log import Log
from scenarios.system.tls import DEFAULT_TRUST, Trust

READY_PATH = "/noop/async"  # what is asked until the app answers: it costs next to nothing
Pair = tuple[Core, Core]  # where the app runs, and where Locust does
LOCUSTFILES = ("burst.py", "crowd.py", "steady.py", "neighbours.py")


class Audience(Protocol):
    """Whoever watches the run: told what is being measured, and how many seconds of the plan are done."""

    def tell(self, step: str, seconds_done: float) -> None:
        """Called some ten times a second."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the person chose. With a `host` nothing is served: it is there already, on a loop that nobody knows."""

    loop: str
    seed: int
    server_env: Mapping[str, str] = field(default_factory=dict)
    app: str = "targets.app:app"
    host: str | None = None
    scenario: str | None = None
    probe: bool = True  # whether the bundled app carries its probe
    claims: Sequence[str] = ()  # ids of the claims that the run is about; none: all that its plan can answer
    trust: Trust = DEFAULT_TRUST
    connections: str = "opened before the load, one per user, kept alive; the neighbours on their own"


def drive(plan: Plan, settings: Settings, run: RunFolder, audience: Audience) -> None:
    """Play all acts. The run is sealed however this ends; then trouble, if any, goes on to the front door."""
    with interruptible() as interruption:
        play_all(plan, settings, run, interruption, audience)


def play_all(plan: Plan, settings: Settings, run: RunFolder, interruption: Interruption, audience: Audience) -> None:
    """Open the run, play act after act, seal it."""
    pinned, everywhere = cores(), all_cores()  # asked once: whoever stays on one core is told of that one only
    settings = replace(settings, server_env={**cpu_count_env(), **settings.server_env})
    status, done, acts = Status.FAILED, 0.0, list(plan.acts)
    following = plan.then(run) if plan.then else iter(())
    answers: dict[float, str] = {}  # by the seconds that were asked for: variants of the same work must answer alike
    try:
        run.open(**facts(plan, settings))
        with staying_on(pinned[1]):
            while acts:
                act = acts.pop(0)
                tell = partial(tell_from, audience, done)
                chosen = replace(settings, app=act.app) if act.app else settings
                known = answers.get(act.seconds) if act.seconds and not act.lab else None  # the lab's cells say what they expect
                where = pinned if act.pinned else (everywhere, pinned[1])
                try:
                    answer = play(act, chosen, run, where, interruption, tell, known)
                    answers.update({} if act.lab else {act.seconds: answer})
                except Absent as absent:
                    run.skip(act.name, str(absent), [cell.name for cell in act.cells])
                done += START_UP + act.estimate()
                if not acts and not interruption.asked:
                    acts = list(itertools.islice(following, 1))
                    run.extend_plan([cell.to_dict() for one in acts for cell in one.cells])
        status = Status.COMPLETE
    except Trouble as trouble:
        if plan.then and not any(cell["arrivals"] for cell in run.facts["plan"]["cells"]):
            run.note("The rates that follow from the capacity were never begun.")
        status = Status.INTERRUPTED if trouble.code is Exit.INTERRUPTED else Status.FAILED
        run.note(trouble.sentence)
        raise
    except OSError as error:
        raise unwritable(run, error) from error
    finally:
        close(run, status)


def facts(plan: Plan, settings: Settings) -> dict[str, Any]:
    """What is known of a run before it begins."""
    app_core, locust_core = cores()
    cells = [cell.to_dict() for cell in plan.cells]
    claims = {"claims": settings.claims} if settings.claims else {}
    more = {"scenario": settings.scenario, "host": settings.host} if settings.host else {"probe": settings.probe}
    return {
        **claims,
        **more,
        "seed": settings.seed,
        "acts": [act.name for act in plan.acts],
        "asks": {act.name: act.asks for act in plan.acts if act.asks},
        "unpinned": [act.name for act in plan.acts if not act.pinned],
        "skipped": {},
        "plan": {"seconds": plan.seconds or None, "notes": plan.notes, "cells": cells},
        "schedule": hashlib.sha256(json.dumps([settings.seed, cells]).encode()).hexdigest(),
        "loop": settings.loop,
        "loops": {act.name: act.loop for act in plan.acts if act.loop},  # where it was another one on purpose
        "workers": 1,
        "machine": {**machine(), "app_core": None if settings.host else app_core, "locust_core": locust_core},
        "packages": packages(),
        "connections": settings.connections,
    }


def close(run: RunFolder, status: Status) -> None:
    """Seal the run. On a full disk it stays as it lies: the spools are evidence as well."""
    try:
        run.close(status)
    except OSError as error:
        raise unwritable(run, error) from error


def unwritable(run: RunFolder, error: OSError) -> Trouble:
    """The sentence for a disk that takes no more."""
    why = error.strerror or str(error)
    sentence = f"The run cannot be written any further ({why}); what fitted is kept in {run.path}. Make room, then: atonce report {run.path}"
    return Trouble(sentence, Exit.UNTRUSTED)


def tell_from(audience: Audience, done: float, step: str, seconds: float) -> None:
    """Tell how far an act has come, after `done` seconds of earlier acts."""
    audience.tell(step, done + seconds)


def play(  # noqa: PLR0913, PLR0917 - what an act needs
    act: Act, settings: Settings, run: RunFolder, pinned: Pair, interruption: Interruption, tell: Tell, alike: str | None
) -> str:
    """One act: a fresh server, unless the target is somebody else's, and one Locust process. Gives the answer before load."""
    app_core, locust_core = pinned
    log, url, app = Log.from_here(run.path / "log.txt"), settings.host, None
    quiet: dict[str, Any] = {"folder": run.path, "stdin": subprocess.DEVNULL, "stdout": None}
    pipes: dict[str, Any] = {"folder": run.path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with contextlib.ExitStack() as servants:
        if url is None:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            tell(f"starting the app for {act.name}", 0.0)
            command, env = server_command(settings, port, act), server_env(settings, run.path, act)
            app = servants.enter_context(servant(command, env=env, core=app_core, **quiet))
        locust = None
        if act.cells:
            locust = servants.enter_context(servant(locust_of(act, url), env=locust_env(run.path), core=locust_core, **pipes))
        if app:
            wait_until_ready(app, url, READY_PATH, log, interruption.check)
        answer = verify(url, act.cells, alike if app else None, settings.trust)  # a stranger may answer as it likes
        asked = [ask(url, act.asks, settings.trust)]
        interruption.check()
        if locust:
            script = Script(run.path, act.name, settings.seed, act.cells, trust=settings.trust)
            watch(app, locust, iter([script]), lambda cell, seconds: tell(*progress(act, cell, seconds)), log, interruption.check)
            asked.append(ask(url, act.asks, settings.trust))
        if app is None:
            still_there(url, act.cells[-1].name)
    if act.asks:
        run.told(act.name, asked, "" if locust else log.warnings())
    return answer


def server_command(settings: Settings, port: int, act: Act) -> list[str]:
    """Plain uvicorn, as anybody would start it; connections are kept alive for longer than any cell lasts."""
    flags = f"--host 127.0.0.1 --port {port} --loop {act.loop or settings.loop} --no-access-log --log-level warning"
    rooms = ["--timeout-keep-alive", "300", "--app-dir", str(ROOMS)]
    return [sys.executable, "-m", "uvicorn", settings.app, *flags.split(), *rooms]


def server_env(settings: Settings, folder: Path, act: Act) -> dict[str, str]:
    """The app's environment: the rooms on its path, and where its probe writes."""
    (folder / "probe").mkdir(exist_ok=True)
    probe = {"ATONCE_TARGET_PROBE": str(int(settings.probe)), "ATONCE_PROBE": str(folder / "probe" / act.name)}
    return {**child_env(), **probe, "ATONCE_TARGET_LAB": str(int(act.lab)), **settings.server_env}


def locust_of(act: Act, url: str) -> list[str]:
    """Locust for an act: each kind of user in exactly the number the cells need, a time limit far beyond the plan."""
    cast = sum(Script(Path(), "", 0, act.cells).cast().values())
    return locust_command(
        cast, int(60 + 3 * sum(max(cell.warm_up + cell.window, 2 * cell.longest) + cell.drain for cell in act.cells)), url
    )


def locust_command(cast: int, limit: int, url: str) -> list[str]:
    """Real Locust, headless, with all scenario files. The time limit is a dead man's switch."""
    files = ",".join(str(ROOMS / "scenarios" / name) for name in LOCUSTFILES)
    flags = f"--headless -u {cast} -r {cast} -t {limit} --only-summary --loglevel WARNING --atonce-plan -"
    return [sys.executable, "-m", "locust", "-f", files, "--host", url, *flags.split()]


def locust_env(folder: Path) -> dict[str, str]:
    """Locust's environment, without the settings of a person's own Locust: those in variables, at home and in their folder.

    It looks for files of settings at home and where it runs: both are the run's folder. Packages at home stay in reach.
    """
    ours = {name: value for name, value in child_env().items() if not name.startswith("LOCUST_")}
    return {**ours, "HOME": str(folder), "PYTHONUSERBASE": site.getuserbase()}


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def staying_on(core: int | None) -> Iterator[None]:
    """Keep this process off the app's core for the length of the block."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
