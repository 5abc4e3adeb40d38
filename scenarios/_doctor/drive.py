"""Examines the routes of somebody's app, one after another, each in a fresh process of it; always leaves a run behind.

First the app is started once to learn its routes, and what its neighbours feel while nobody asks. Then, route by route: asked
politely, by one user, by a few, and by many only where the few left it open; where the loop is held, a second process with a
watchdog inside shows by what. Nothing is decided here but what to ask next.
"""

import contextlib
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from results.gate import unknown_scope
from results.limits import MANY
from results.schema import Neighbour, Status
from results.store import RunFolder
from results.trouble import Exit, Trouble
from scenarios._doctor.asked import Asked
from scenarios._doctor.look import look
from scenarios._doctor.order import Listener, Nobody, Order, entry, facts
from scenarios._doctor.patient import workers_of
from scenarios._doctor.plan import steps
from scenarios._doctor.polite import Manner, polite
from scenarios._doctor.routes import routes_of, unsafe
from scenarios._doctor.seat import address, document, meter, neighbours, ready_path
from scenarios._doctor.steps import Bedside, idle
from scenarios._driver import close, locust_command, locust_env, staying_on, unwritable
from scenarios._interruption import Interruption, interruptible
from scenarios._machine import all_cores, cores
from scenarios._script import Letter, Script
from scenarios._servant import Core, servant
from scenarios._watch import Log, wait_until_ready, watch

A_ROUTE = 15.0  # seconds that a route takes, more or less; the first guess
A_CLEAR_ROUTE = 10.0  # seconds below which no route can be examined
CHANGES = "its method may change data; --route names it all the same"
CALM_WITHIN = 30.0  # seconds
START_UP = 120.0  # seconds that an app may take to start: some load a model first
LIMIT = 900  # seconds after which Locust ends by itself, whatever happens to its driver


def examine(order: Order, run: RunFolder, audience: Listener) -> None:
    """Examine every route. The run is sealed however this ends; then trouble, if any, goes on to the front door."""
    status = Status.FAILED
    with interruptible() as interruption:
        try:
            run.open(**facts(order))
            examination = Examination(order, run, interruption, audience)  # it asks for the cores before we stay on one
            with staying_on(examination.cores[1]):
                examination.play()
            status = Status.COMPLETE
        except Trouble as trouble:
            status = Status.INTERRUPTED if trouble.code is Exit.INTERRUPTED else Status.FAILED
            run.note(trouble.sentence)
            raise
        except OSError as error:
            raise unwritable(run, error) from error
        finally:
            shutil.rmtree(run.path / "guest", ignore_errors=True)
            close(run, status)


def listed(order: Order, run: RunFolder) -> list[Asked]:
    """Only the routes: the app is started once, where it is ours to start, and nothing is loaded."""
    run.facts.update(facts(order))
    with interruptible() as interruption:
        examination = Examination(order, run, interruption, Nobody())
        examination.settle()
        with examination.seated("idle", watched=False) as (_, url), examination.client(url) as client:
            return examination.routes(client)


class Examination:
    """One visit. The mutable state: what was learnt so far, and how long a route has taken at most."""

    def __init__(self, order: Order, run: RunFolder, interruption: Interruption, audience: Listener) -> None:
        self.order, self.run, self.interruption, self.audience = order, run, interruption, audience
        self.patient = order.patient
        self.secret = secrets.token_hex(6)
        self.cores = cores()
        self.everywhere = all_cores()
        self.began = time.perf_counter()
        self.idle: dict[str, float] = {}
        self.longest = A_ROUTE

    def play(self) -> None:
        """The app at rest, then its routes."""
        self.settle()
        asked = self.at_rest()
        entries = [entry(one) for one in asked]
        self.run.facts["routes"] = entries
        self.run.write()
        loaded = [(one, told) for one, told in zip(asked, entries, strict=True) if not one.skipped]
        loaded.sort(key=lambda pair: not any(gate.scope and gate.matches(pair[0].route) for gate in self.order.gates))  # always run
        if trouble := unknown_scope(self.order.gates, {one.route: one.skipped for one in asked}):
            raise trouble
        if not loaded:
            raise Trouble(f"No route of {self.patient.app} can be loaded: {asked[0].route}: {asked[0].skipped}.", Exit.TARGET)
        try:
            self.visit_all(loaded)
        finally:
            for _, told in loaded:
                if told["act"] is None and not told["unfit"]:
                    told["unfit"] = "it was not reached"
        if all(told["skipped"] for told in entries):
            first = next(told for _, told in loaded)
            raise Trouble(f"No route of {self.patient.app} could be loaded: {first['route']}: {first['skipped']}.", Exit.TARGET)

    def visit_all(self, loaded: list[tuple[Asked, dict[str, Any]]]) -> None:
        """One route after another, as long as there is time. An app of ours that dies of one is started anew for the next; it is told last."""
        troubles = []
        for number, (one, told) in enumerate(loaded, 1):
            spent = time.perf_counter() - self.began
            self.audience.expect(min(self.order.budget, spent + (len(loaded) - number + 1) * self.longest))
            if spent + A_CLEAR_ROUTE > self.order.budget:
                told["unfit"] = f"it did not fit the budget of {self.order.budget:.0f} s: --budget names another"
                continue
            told["act"] = act = f"route-{number:02}"
            before = time.perf_counter()
            try:
                self.visit(one, act, told)
            except Trouble as trouble:
                if trouble.code is not Exit.TARGET or self.patient.how == "url":
                    raise
                told["unfit"] = trouble.sentence.partition(". ")[0]
                self.run.note(trouble.sentence)
                troubles.append(trouble)
            self.longest = max(8.0, 0.5 * self.longest + 0.5 * (time.perf_counter() - before))
        if troubles:
            raise troubles[0]

    def in_time(self) -> bool:
        """Whether there is time for another level."""
        return time.perf_counter() - self.began < self.order.budget

    def settle(self) -> None:
        """Look at the app's interpreter, and lay out what it is lent."""
        self.run.facts["patient"].update(self.patient.preflight())
        self.patient.settle(self.run.path)

    def at_rest(self) -> list[Asked]:
        """Start the app once: its routes, and its neighbours while nobody else asks."""
        with self.seated("idle", watched=True) as (app, url):
            with self.client(url) as client:
                asked = self.routes(client)
                beside, patience = neighbours(self.patient, self.secret, client)
            if self.patient.how != "module":
                self.run.facts["workers"] = workers_of(url) or 1
            if not beside:
                self.run.facts["plan"]["notes"].append(
                    "No innocent route could be found: nothing can be said of whom a route harms."
                )
                return asked
            cell = idle(beside, min(40.0, 0.05 / patience) if patience else 80.0)
            with self.locust(url) as locust:
                self.follow(app, locust, url, "idle", iter([self.script("idle", (cell,), None)]))
        found = look(self.run.path, "idle", cell)
        self.idle = {kind: p90 for kind in ("async", "def") if found and (p90 := found.p90(kind)) is not None}
        return asked

    def routes(self, client: httpx.Client) -> list[Asked]:
        """What the guest wrote down about the app, or what a black box says of itself."""
        choice = self.order.choice
        census: dict[str, Any] = {"openapi": document(client, choice.headers)} if self.patient.how != "module" else {}
        if self.patient.how == "module":
            census = self.patient.census("idle", self.run.path) or {}
            self.run.facts["patient"]["framework"] = census.get("framework")
            self.run.facts["loop"] = census.get("loop") or self.run.facts["loop"]
        told = (census.get("openapi"), census.get("routes"))
        found = routes_of(*told, choice)
        changing = (
            [] if choice.routes or choice.only else [name for name in unsafe(*told) if name not in {one.route for one in found}]
        )
        return [*found, *(Asked(route=name, path="", skipped=CHANGES) for name in changing)]

    def visit(self, asked: Asked, act: str, told: dict[str, Any]) -> None:
        """One route: politely, then under load, then, where the loop is held, with the watchdog."""
        holding: list[float] = []
        log = Log.from_here(self.run.path / "log.txt")
        with self.seated(act, watched=False) as (app, url), self.locust(url) as locust:
            with self.client(url) as client:
                self.wait_for_calm(client)
                log = Log.from_here(log.path)  # without what was said at start-up
                manner = polite(client, asked, self.order.choice.headers)
                self.interruption.check()
                beside, patience = neighbours(self.patient, self.secret, client)
            self.remember(told, manner, log)
            bedside = self.bedside(act, asked, manner, (beside, patience))
            if not (told["skipped"] or told["wrong"]):
                levels = steps(self.run.path, bedside, self.idle, self.order.gates, holding, self.in_time)
                self.follow(app, locust, url, act, (self.script(act, cells, asked) for cells in levels))
        if manner.status == httpx.codes.INTERNAL_SERVER_ERROR:
            self.remember(told, manner, log)  # Python warns of a forgotten await late, when the app has let go of all
        if holding and self.patient.how == "module" and self.in_time():
            self.second_look(asked, replace(bedside, act=f"{act}-watch"), holding[0])

    def bedside(self, act: str, asked: Asked, manner: Manner, beside: tuple[tuple[Neighbour, ...], float]) -> Bedside:
        """How this route is going to be asked."""
        quick = min(manner.seconds[1:] or manner.seconds)
        known: dict[str, Any] = {"act": act, "route": asked.route, "path": asked.path, "requests": self.order.requests}
        return Bedside(service=quick, neighbours=beside[0], patience=beside[1], **known)

    def wait_for_calm(self, client: httpx.Client) -> None:
        """A black box may still be at work on what nobody waits for any longer: until it answers as quickly as at rest, or for so long."""
        deadline = time.perf_counter() + CALM_WITHIN
        while self.patient.how == "url" and "async" in self.idle and time.perf_counter() < deadline:
            self.interruption.check()
            before = time.perf_counter()
            with contextlib.suppress(httpx.HTTPError):
                client.get(ready_path(self.patient, self.secret))
                if time.perf_counter() - before <= max(0.05, 5 * self.idle["async"]):
                    return

    def second_look(self, asked: Asked, bedside: Bedside, hold: float) -> None:
        """A fresh process with the watchdog inside, warmed up, and a few users."""
        act = bedside.act
        with self.seated(act, watched=True) as (app, url), self.locust(url) as locust:
            with self.client(url) as client:
                polite(client, asked, self.order.choice.headers)
            self.follow(app, locust, url, act, iter([self.script(act, (bedside.watched(hold),), asked)]))

    def remember(self, told: dict[str, Any], manner: Manner, log: Log) -> None:
        """What the polite requests showed; a coroutine that nobody awaited is a wrong answer, whatever the client got."""
        forgotten = [line for line in log.warnings().splitlines() if "was never awaited" in line]
        wrong = manner.wrong or (forgotten[0].removeprefix("RuntimeWarning: ") if forgotten else None)
        told.update(skipped=None if wrong else manner.skipped, wrong=wrong, polite=list(manner.seconds), status=manner.status)
        self.run.write()

    @contextlib.contextmanager
    def seated(self, act: str, *, watched: bool) -> Iterator[tuple[subprocess.Popen[str] | None, str]]:
        """The app, answering; started by us unless somebody else serves it."""
        url, port = address(self.patient)
        if self.patient.how == "url":
            yield None, url
            return
        many = self.patient.workers > 1 and self.everywhere is not None
        where: Core = self.everywhere - {self.cores[1]} if many and self.everywhere and self.cores[1] is not None else self.cores[0]
        command = self.patient.command(port)
        env = self.patient.environment(act, self.run.path, self.secret, watch=watched)
        log = Log.from_here(self.run.path / "log.txt")
        self.tell(f"starting the app for {act}")
        quiet: dict[str, Any] = {"folder": self.run.path, "stdin": subprocess.DEVNULL, "stdout": None}
        with servant(command, env=env, core=where, cwd=Path.cwd(), **quiet) as app:
            try:
                within = min(START_UP, self.order.budget)
                wait_until_ready(app, url, ready_path(self.patient, self.secret), log, self.interruption.check, within)
            except Trouble as trouble:
                if trouble.code is Exit.INTERRUPTED:
                    raise
                raise self.patient.trouble(act, self.run.path, app.poll()) from None
            yield app, url

    @contextlib.contextmanager
    def locust(self, url: str) -> Iterator[subprocess.Popen[str]]:
        """A Locust with as many users as may be needed, waiting for its script."""
        pipes: dict[str, Any] = {"folder": self.run.path, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with servant(locust_command(MANY, LIMIT, url), env=locust_env(), core=self.cores[1], **pipes) as locust:
            yield locust

    def client(self, url: str) -> httpx.Client:
        """For polite requests; no proxy stands between us and this machine."""
        return httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def script(self, act: str, cells: tuple[Any, ...], asked: Asked | None) -> Script:
        """Cells for Locust, with what goes along; from now on they belong to the run's plan."""
        self.run.extend_plan([cell.to_dict() for cell in cells])
        if act not in self.run.facts["acts"]:
            self.run.facts["acts"].append(act)
        letters = {}
        if asked:
            kind = {"Content-Type": asked.content_type} if asked.body is not None and asked.content_type else {}
            body = asked.body.decode("latin-1") if asked.body is not None else None
            headers = httpx.Headers({**kind, **asked.headers})
            headers.update(self.order.choice.headers)  # a person's own beat the route's, however they are spelt
            letters[asked.route] = Letter(dict(headers), body)
        return Script(self.run.path, act, self.order.seed, cells, letters=letters, users=MANY)

    def follow(
        self, app: subprocess.Popen[str] | None, locust: subprocess.Popen[str], url: str, act: str, scripts: Iterator[Script]
    ) -> None:
        """Follow Locust through its scripts."""
        sampled = meter(self.patient, self.run.path, act, url)

        def check() -> None:
            self.interruption.check()
            sampled()

        watch(app, locust, scripts, lambda cell, _: self.tell(cell), Log.from_here(self.run.path / "log.txt"), check)

    def tell(self, step: str) -> None:
        """What is being done."""
        self.audience.tell(step, time.perf_counter() - self.began)
