"""Follows the two children of an act: whether the app is ready, what Locust does, whether anybody died.

Ready is asked for, never slept for. What the stage says moves the progress; everything else goes to the run's log.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator

import httpx

from results.errors import Exit, Trouble
from results.schema import Cell, Scenario
from scenarios.generator.job import DISK_FULL, Script
from scenarios.plans.model import START_UP, Act, duration
from scenarios.runner.locust_process import POLL, LocustProcess
from scenarios.runner.preflight import fetch, open_client
from scenarios.system.private_log import Log
from scenarios.system.tls import DEFAULT_TRUST, Trust, why_untrusted

READY_WITHIN = 30.0  # seconds for an app to answer its first request, unless it is known to load a model first

Tell = Callable[[str, float], None]  # what is being done, and how many planned seconds of the act are over
Check = Callable[[], None]  # raises Trouble when somebody asked us to stop


def wait_until_ready(  # noqa: PLR0913, PLR0917 - an app, where it answers, and who listens
    app: subprocess.Popen[str],
    url: str,
    path: str,
    log: Log,
    check: Check,
    within: float = READY_WITHIN,
    trust: Trust = DEFAULT_TRUST,
) -> None:
    """Ask until the app answers anything at all. Raises Trouble when it dies, takes too long, or nobody wants it any more."""
    deadline = time.perf_counter() + within
    with open_client(url, trust, 5) as client:
        while True:
            check()
            answered = False
            try:
                answered = bool(fetch(client, "GET", path).status_code)
            except httpx.TransportError as error:
                if why := why_untrusted(error):
                    raise Trouble(f"{url} answers, but {why}", Exit.USAGE) from error
            if app.poll() is not None:  # whoever answers then is somebody else
                raise Trouble(f"The app did not start (exit code {app.returncode}). {log.last_words()}", Exit.TARGET)
            if answered:
                return
            if time.perf_counter() > deadline:
                sentence = f"The app did not answer within {within:.0f} s of its start. {log.last_words()}"
                raise Trouble(sentence, Exit.TARGET)
            time.sleep(POLL / 2)


def watch(  # noqa: PLR0913, PLR0917 - two children, what they do, and three who listen
    app: subprocess.Popen[str] | None, locust: subprocess.Popen[str], scripts: Iterator[Script], tell: Tell, log: Log, check: Check
) -> None:
    """Hand over the scripts, each when Locust rests, and follow it to its end. Raises Trouble when the app or Locust dies on the way.

    An interruption asks Locust to stop sending and waits for the answers still out; a second one leaves at once.
    """
    talk = LocustProcess(locust, scripts)
    try:
        event, cell = follow(app, talk, tell, log, check)
    except Trouble as trouble:
        if trouble.code is Exit.INTERRUPTED:
            locust.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                locust.wait(talk.longest("drain"))
        raise
    if app and app.poll() is not None:
        raise Trouble(f"The app died (exit code {app.returncode}) during {cell}. {log.last_words()}", Exit.TARGET)
    if locust.returncode == DISK_FULL:
        raise OSError("the disk took no more samples")
    if locust.returncode:
        raise Trouble(f"Locust ended with exit code {locust.returncode} during {cell}. {log.last_words()}", Exit.UNTRUSTED)
    if event != "rest":
        raise Trouble(f"Somebody stopped Locust during {cell}; what was measured so far is kept.", Exit.UNTRUSTED)


def follow(app: subprocess.Popen[str] | None, locust: LocustProcess, tell: Tell, log: Log, check: Check) -> tuple[str, str]:
    """Read what Locust says until it ends; give the stage's last event and the last cell.

    Lines of the stage move the progress, all others go to the log - but not the table of a Locust whose app has died.
    """
    event, cell, began, told = "start", "the start", time.perf_counter(), False
    for line in locust.read_lines():
        check()
        if line.startswith("@atonce "):
            event, name = json.loads(line.removeprefix("@atonce "))
            cell, locust.heard = name or cell, time.perf_counter()
            if event == "connect":
                began = time.perf_counter()
            if event == "rest":
                locust.hand_over_next()
        elif line and not (app and app.poll() is not None):
            log.append(line)
        tell(cell, time.perf_counter() - began)
        if app and app.poll() is not None and not told:
            locust.process.terminate()
            told = True
        if locust.hangs():
            silent = time.perf_counter() - locust.heard
            sentence = f"Locust said nothing for {silent:.0f} s during {cell}, and was ended; what was measured is kept."
            raise Trouble(f"{sentence} {log.last_words()}", Exit.UNTRUSTED)
    return event, cell


def progress(act: Act, name: str, seconds: float) -> tuple[str, float]:
    """What is being measured, and how many of the act's planned seconds are done."""
    done = START_UP
    where = f" on {act.loop}" if act.loop else ""
    turn = f", repeat {act.repeat}" if act.repeat > 1 else ""
    for cell in act.cells:
        planned = duration(cell, act.seconds)
        if cell.name == name:
            return f"{describe(cell)}{where}{turn}", done + min(seconds, planned)
        done += planned
    return f"starting Locust for {act.variant}", 0.0


def describe(cell: Cell) -> str:
    """A cell in words."""
    if cell.scenario is Scenario.NEIGHBOURS:
        return "the neighbours alone"
    if cell.arrivals:
        share = f" ({cell.share:.0%} of its capacity)" if cell.share else ""
        return f"{cell.route}: {cell.name.rpartition('/')[2].partition('~')[0]} arrivals a second{share}"
    users = "1 user" if cell.users == 1 else f"{cell.users} users"
    verb = "a burst of" if cell.scenario is Scenario.BURST else f"a {'cold ' if cell.cold else ''}crowd of"
    return f"{cell.route}: {verb} {users}" + (", neighbours asked meanwhile" if cell.neighbours else "")
