"""Where an examination takes place: the app and Locust side by side, each in its process, and what Locust is handed."""

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from results.errors import Exit, Trouble
from results.schema import Cell
from results.store import RunFolder
from results.thresholds import MANY
from scenarios.doctor.app import descendants, told
from scenarios.doctor.controls import address, meter, ready_path, spent
from scenarios.doctor.environment import waits_for
from scenarios.doctor.openapi.route_request import Asked, letter_of
from scenarios.doctor.options import Listener, Order
from scenarios.doctor.request_allowance import count_left, share_out
from scenarios.generator.job import Script
from scenarios.runner.preflight import open_client
from scenarios.runner.run_plan import locust_command, locust_env
from scenarios.runner.supervise import wait_until_ready, watch
from scenarios.system.child_process import Servant, servant
from scenarios.system.interrupt import Interruption
from scenarios.system.machine import cores, cpu_count_env, roomy
from scenarios.system.private_log import Log

START_UP = 120.0  # seconds that an app may take to start: some load a model first
CALM_WITHIN, A_LOOK, AT_REST = 10.0, 0.2, 0.2  # seconds at most, seconds of a look, and share of a core that is rest
BEGINS, RESTS = 0.3, 2.2  # seconds until the watchdog looks, and that it looks at an app at rest
LOCUST = 2.0  # seconds that Locust takes to start
OVERTIME = 120.0  # seconds beyond the budget after which something hangs: what was begun in time may end later
LIMIT = 900  # seconds after which Locust ends by itself, whatever happens to its driver


class Ward:
    """One visit's. The mutable state: the app's longest start, its rest, why it is not watched."""

    def __init__(self, order: Order, run: RunFolder, interruption: Interruption, audience: Listener) -> None:
        self.order, self.run, self.interruption, self.audience = order, run, interruption, audience
        self.patient = order.patient
        self.secret = secrets.token_hex(6)
        self.cores = cores()
        self.roomy = roomy()
        self.counted = cpu_count_env()
        self.began = time.perf_counter()
        self.start_up = 0.0
        self.rests = True
        self.unwatched = ""  # why the watchdog could not look

    def fits(self, seconds: float) -> bool:
        """Whether something that takes so long would end within the budget."""
        return time.perf_counter() - self.began + seconds <= self.order.budget

    def check(self) -> None:
        """Raise Trouble when somebody asked us to stop, or when the budget is long over."""
        self.interruption.check()
        if not self.fits(-OVERTIME):
            sentence = f"The budget of {self.order.budget:.0f} s is over by {OVERTIME:.0f} s: something hangs."
            raise Trouble(f"{sentence} What was measured is kept; {self.run.path / 'log.txt'} may tell more.", Exit.UNTRUSTED)

    @contextlib.contextmanager
    def seated(self, act: str, *, watched: bool) -> Iterator[tuple[Servant | None, str]]:
        """The app, answering; started by us unless somebody else serves it."""
        url, port = address(self.patient)
        if self.patient.how == "url":
            yield None, url
            return
        command = self.patient.command(port)
        env = self.counted | self.patient.environment(act, self.run.path, self.secret, watch=watched)
        log = Log.from_here(self.run.path / "log.txt")
        self.tell(f"starting the app for {act}")
        quiet: dict[str, Any] = {"folder": self.run.path, "stdin": subprocess.DEVNULL, "stdout": None}
        before = time.perf_counter()
        how: dict[str, Any] = {"secrets": self.patient.secrets, "stop_within": self.order.stop_within}
        with servant(command, env=env, core=self.roomy, cwd=Path.cwd(), **quiet, **how) as app:
            try:
                within = min(START_UP, self.order.budget)
                wait_until_ready(app, url, ready_path(self.patient, self.secret), log, self.check, within, self.patient.trust)
            except Trouble as trouble:
                if trouble.code is not Exit.TARGET:
                    raise
                raise self.patient.trouble(act, self.run.path, app.poll()) from None
            self.wait_for_calm(app)
            self.start_up = max(self.start_up, time.perf_counter() - before)
            yield app, url
        if app.was_killed:
            self.note_kill()

    def note_kill(self) -> None:
        """Say once that an app was not given the time that it needs to end."""
        within = f"{self.order.stop_within:g} s after SIGTERM"
        note = f"The app, or what it started, had not ended {within}, and was killed; --stop-within gives it longer."
        notes = self.run.facts["plan"]["notes"]
        notes.extend([note] if note not in notes else [])

    def wait_for_calm(self, app: subprocess.Popen[str]) -> None:
        """Until an app has done what it does after its start, such as filling a cache; one that never rests is waited for once."""
        family = [head := psutil.Process(app.pid), *descendants(head)]
        deadline = time.perf_counter() + min(CALM_WITHIN, 0.1 * self.order.budget)
        while self.rests:
            self.check()
            before = sum(map(spent, family))
            time.sleep(A_LOOK)
            if sum(map(spent, family)) - before <= AT_REST * A_LOOK:
                return
            self.rests = time.perf_counter() < deadline

    def watch_at_rest(self) -> None:
        """Let the watchdog look while nobody asks, now that the neighbours have been."""
        if said := told(self.run.path / "guest" / "unwatched-idle.json"):
            self.unwatched = said["why"]
            self.run.facts["plan"]["notes"].append(f"Nobody could look who holds the loop: {said['why']}.")
            return
        self.tell("the loop at rest")
        waits_for(self.run.path).unlink()
        begun = time.perf_counter() - self.run.facts["origin"] + BEGINS
        self.run.facts["rest"] = [begun, begun + RESTS]
        while time.perf_counter() - self.run.facts["origin"] < begun + RESTS:
            self.interruption.check()
            time.sleep(0.1)

    @contextlib.contextmanager
    def locust(self, url: str) -> Iterator[subprocess.Popen[str]]:
        """A Locust with as many users as may be needed, waiting for its script."""
        pipes: dict[str, Any] = {"folder": self.run.path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with servant(locust_command(MANY, LIMIT, url), env=locust_env(self.run.path), core=self.cores[1], **pipes) as locust:
            yield locust

    def client(self, url: str) -> httpx.Client:
        """For polite requests."""
        return open_client(url, self.patient.trust, 30.0)

    def count_left(self, act: str, asked: Asked) -> int:
        """How many requests a route may still get."""
        return count_left(self.run.path, act, asked.route, self.order.requests)

    def note(self, sentence: str, act: str, asked: Asked) -> None:
        """Keep a sentence about what was not asked for want of requests."""
        left = f"{self.count_left(act, asked):,} of its {self.order.requests:,} requests were left"
        self.run.facts["plan"]["notes"].append(f"{sentence}: {left}; --requests names more.")

    def script(self, act: str, cells: tuple[Cell, ...], asked: Asked | None) -> Script:
        """Cells for Locust, with what goes along; from now on they belong to the run's plan."""
        if asked:
            wanted, whole = cells, act.removesuffix("-watch")
            cells = share_out(wanted, self.count_left(whole, asked))
            for one in wanted[len(cells) :]:
                self.note(f"{one.name} was not asked", whole, asked)
        self.run.extend_plan([cell.to_dict() for cell in cells])
        if act not in self.run.facts["acts"]:
            self.run.facts["acts"].append(act)
        letters = {asked.route: letter_of(asked, self.order.choice.headers)} if asked else {}
        return Script(self.run.path, act, self.order.seed, cells, letters=letters, trust=self.patient.trust, users=MANY)

    def follow(
        self, app: subprocess.Popen[str] | None, locust: subprocess.Popen[str], url: str, act: str, scripts: Iterator[Script]
    ) -> None:
        """Follow Locust through its scripts."""
        sampled = meter(self.patient, self.run.path, act, url)

        def check() -> None:
            self.check()
            sampled()

        log = Log.from_here(self.run.path / "log.txt", self.patient.mask)
        watch(app, locust, scripts, lambda cell, _: self.tell(cell), log, check)

    def tell(self, step: str) -> None:
        """What is being done."""
        self.audience.tell(step, time.perf_counter() - self.began)
