"""Examines the routes of somebody's app, one after another, each in a fresh process of it; always leaves a run behind.

First the app is started once to learn its routes, and what its neighbours feel while nobody asks. Then, route by route: asked
politely, by one user, by a few, and by many only where the few left it open; where the loop is held, a second process with a
watchdog inside shows by what. Nothing is decided here but what to ask next.
"""

import contextlib
import time
from dataclasses import replace
from typing import Any

import httpx

from results.errors import Exit, Trouble
from results.gate_expression import unknown_scope
from results.schema import Cell, Neighbour, Status
from results.spool_tables import TABLES
from results.store import RunFolder
from scenarios.doctor.adaptive_plan import steps
from scenarios.doctor.app import workers_of
from scenarios.doctor.controls import document, neighbours, ready_path, without_documentation
from scenarios.doctor.interim import look
from scenarios.doctor.levels import Bedside, idle, lasting
from scenarios.doctor.openapi.route_request import Asked
from scenarios.doctor.openapi.routes import routes_of, unsafe
from scenarios.doctor.openapi.smoke_test import Manner, ask_until_taken, polite
from scenarios.doctor.options import A_ROUTE, Listener, Nobody, Order, entry, facts, in_turn, left_out, too_few_requests
from scenarios.doctor.request_allowance import LEAST
from scenarios.doctor.retry import disturbed, set_aside
from scenarios.doctor.testbed import LOCUST, Ward
from scenarios.runner.preflight import fetch
from scenarios.runner.run_plan import close, staying_on, unwritable
from scenarios.system.interrupt import interruptible
from scenarios.system.private_log import Log

A_CLEAR_ROUTE = 10.0  # seconds below which no route can be examined
CHANGES = "its method may change data; --route names it all the same"
CALM_WITHIN = 30.0  # seconds
TRIES = 3  # to see the neighbours at rest, on which all verdicts rest


def examine(order: Order, run: RunFolder, audience: Listener) -> None:
    """Examine every route. The run is sealed however this ends; then trouble, if any, goes on to the front door."""
    status = Status.FAILED
    with interruptible() as interruption:
        try:
            run.open(**facts(order))
            ward = Ward(order, run, interruption, audience)  # it asks for the cores before we stay on one
            with staying_on(ward.cores[1]):
                Examination(ward).play()
            status = Status.COMPLETE
        except Trouble as trouble:
            status = Status.INTERRUPTED if trouble.code is Exit.INTERRUPTED else Status.FAILED
            run.note(trouble.sentence)
            raise
        except OSError as error:
            raise unwritable(run, error) from error
        finally:
            order.patient.unsettle(run.path)
            close(run, status)


def listed(order: Order, run: RunFolder) -> list[Asked]:
    """Only the routes: the app is started once, where it is ours to start, and nothing is loaded."""
    run.facts.update(facts(order))
    with interruptible() as interruption:
        ward = Ward(order, run, interruption, Nobody())
        examination = Examination(ward)
        examination.settle()
        with ward.seated("idle", watched=False) as (_, url), ward.client(url) as client:
            return examination.routes(client)


class Examination:
    """One visit. The mutable state: what was learnt so far, and how long a route has taken at most."""

    def __init__(self, ward: Ward) -> None:
        self.ward, self.order, self.run, self.patient = ward, ward.order, ward.run, ward.patient
        self.idle: dict[str, float] = {}
        self.longest = A_ROUTE  # the first guess

    def play(self) -> None:
        """The app at rest, then its routes."""
        self.settle()
        asked = self.at_rest()
        entries = [entry(one) for one in asked]
        self.run.facts["routes"] = entries
        self.run.write()
        turn = in_turn(self.order, asked)
        told_of = {one.route: told for one, told in zip(asked, entries, strict=True)}
        loaded = [(one, told_of[one.route]) for one in turn]
        for doubt in too_few_requests(self.order):
            self.run.facts["plan"]["notes"].append(doubt)
            self.ward.tell(doubt)
        if trouble := unknown_scope(self.order.gates, {one.route: one.skipped for one in asked}):
            raise trouble
        if not loaded:
            raise Trouble(f"No route of {self.patient.app} can be loaded: {asked[0].route}: {asked[0].skipped}.", Exit.TARGET)
        _, sentence = left_out(self.order, turn, time.perf_counter() - self.ward.began, A_ROUTE + self.ward.start_up)
        if sentence:
            self.run.facts["plan"]["notes"].append(sentence)
            self.ward.tell(sentence)
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
        """One route after another, as long as there is time; then those again that were disturbed. An app's death is told last."""
        troubles: list[Trouble] = []
        for number, (one, told) in enumerate(loaded, 1):
            spent = time.perf_counter() - self.ward.began
            self.ward.audience.expect(min(self.order.budget, spent + (len(loaded) - number + 1) * self.longest))
            if self.ward.fits(A_CLEAR_ROUTE):
                told["act"] = f"route-{number:02}"
                troubles += self.survived(one, told)
            else:
                told["unfit"] = self.unfit
        for one, told in loaded:
            act = None if told["unfit"] else told["act"]
            if act and (why := disturbed(self.run, act)) and self.ward.fits(self.longest):
                if self.ward.count_left(act, one) < LEAST:
                    self.ward.note(f"{one.route} was not examined again, though {why}", act, one)
                    continue
                set_aside(self.run, act, f"{one.route} was examined again, because {why}", (*TABLES, "holds"))
                troubles += self.survived(one, told)
        if troubles:
            raise troubles[0]

    @property
    def unfit(self) -> str:
        """Why something was left out."""
        return f"it did not fit the budget of {self.order.budget:.0f} s: --budget names another"

    def survived(self, one: Asked, told: dict[str, Any]) -> list[Trouble]:
        """Visit a route. An app of ours that dies of it is started anew for the next; why it died is returned."""
        before, troubles = time.perf_counter(), []
        try:
            self.visit(one, told["act"], told)
        except Trouble as trouble:
            if trouble.code is not Exit.TARGET or self.patient.how == "url":
                raise
            told["unfit"] = trouble.sentence.partition(". ")[0]
            self.run.note(trouble.sentence)
            troubles = [trouble]
        self.longest = max(8.0, 0.5 * self.longest + 0.5 * (time.perf_counter() - before))
        return troubles

    def settle(self) -> None:
        """Look at the app's interpreter, and lay out what it is lent."""
        self.run.facts["patient"].update(self.patient.preflight())
        self.patient.settle(self.run.path)

    def at_rest(self) -> list[Asked]:
        """Start the app once: its routes, and its neighbours while nobody else asks."""
        with self.ward.seated("idle", watched=True) as (app, url):
            with self.ward.client(url) as client:
                asked = self.routes(client)
                beside, patience = neighbours(self.patient, self.ward.secret, client)
            if self.patient.how != "module":
                self.run.facts["workers"] = workers_of(url) or 1
            if not beside:
                self.run.facts["plan"]["notes"].append(
                    "No innocent route could be found: nothing can be said of whom a route harms."
                )
                return asked
            cell = idle(beside, min(40.0, 0.05 / patience) if patience else 80.0)
            for tries_left in reversed(range(TRIES)):
                with self.ward.locust(url) as locust:
                    self.ward.follow(app, locust, url, "idle", iter([self.ward.script("idle", (cell,), None)]))
                why = disturbed(self.run, "idle")
                if not (why and tries_left and self.ward.fits(LOCUST + lasting(cell))):
                    break
                set_aside(self.run, "idle", f"The neighbours at rest were asked again, because {why}", ("samples", "load"))
            if self.patient.how == "module":
                self.ward.watch_at_rest()
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
        found = routes_of(*told, choice, self.ward.interruption.check)
        if self.patient.how != "module" and not choice.routes:
            found = without_documentation(found, client, choice.headers)
        changing = (
            [] if choice.routes or choice.only else [name for name in unsafe(*told) if name not in {one.route for one in found}]
        )
        return [*found, *(Asked(route=name, path="", skipped=CHANGES) for name in changing)]

    def visit(self, asked: Asked, act: str, told: dict[str, Any]) -> None:
        """One route: politely, then under load, then, where the loop is held, with the watchdog."""
        holding: list[float] = []
        log = Log.from_here(self.run.path / "log.txt")
        with self.ward.seated(act, watched=False) as (app, url), self.ward.locust(url) as locust:
            with self.ward.client(url) as client:
                self.wait_for_calm(client)
                if app:
                    app.catch_up()
                log = Log.from_here(log.path)  # without what was said at start-up
                asked, manner = ask_until_taken(client, asked, self.order.choice.headers)
                told["path"] = asked.path
                self.ward.interruption.check()
                beside, patience = neighbours(self.patient, self.ward.secret, client)
            if app:
                app.catch_up()  # what Python warned of stands in the log then
            self.remember(told, manner, log)
            bedside = self.bedside(act, asked, manner, (beside, patience))

            def fits(*cells: Cell, more: float = 0.0, is_needed: bool = True) -> bool:
                ends = self.ward.fits(sum(map(lasting, cells), more))
                why = bedside.too_large(*cells) or (bedside.too_few(*cells) if ends else self.unfit)
                if is_needed:
                    told["unfit"] = why or told["unfit"]
                return not why

            if not (told["skipped"] or told["wrong"]) and fits(bedside.alone(), bedside.few(), more=LOCUST):
                levels = steps(
                    self.run.path,
                    bedside,
                    self.idle,
                    self.order.gates,
                    holding,
                    lambda cell, is_needed: fits(cell, is_needed=is_needed),
                )
                self.ward.follow(app, locust, url, act, (self.ward.script(act, cells, asked) for cells in levels))
        if manner.status == httpx.codes.INTERNAL_SERVER_ERROR:
            self.remember(told, manner, log)  # Python warns of a forgotten await late, when the app has let go of all
        if holding and self.ward.unwatched:
            told["unwatched"] = self.ward.unwatched
        elif holding and self.patient.how == "module" and fits(bedside.watched(holding[0]), more=self.ward.start_up + LOCUST):
            self.second_look(asked, replace(bedside, act=f"{act}-watch"), holding[0])

    def bedside(self, act: str, asked: Asked, manner: Manner, beside: tuple[tuple[Neighbour, ...], float]) -> Bedside:
        """How this route is going to be asked."""
        quick = min(manner.seconds[1:] or manner.seconds)
        known: dict[str, Any] = {"act": act, "route": asked.route, "path": asked.path, "requests": self.ward.count_left(act, asked)}
        known["size"] = manner.bytes
        return Bedside(service=quick, neighbours=beside[0], patience=beside[1], **known)

    def wait_for_calm(self, client: httpx.Client) -> None:
        """A black box may still be at work on what nobody waits for any longer: until it answers as quickly as at rest, or for so long."""
        deadline = time.perf_counter() + CALM_WITHIN
        while self.patient.how == "url" and "async" in self.idle and time.perf_counter() < deadline:
            self.ward.interruption.check()
            before = time.perf_counter()
            with contextlib.suppress(httpx.HTTPError):
                fetch(client, "GET", ready_path(self.patient, self.ward.secret))
                if time.perf_counter() - before <= max(0.05, 5 * self.idle["async"]):
                    return

    def second_look(self, asked: Asked, bedside: Bedside, hold: float) -> None:
        """A fresh process with the watchdog inside, warmed up, and a few users."""
        act = bedside.act
        with self.ward.seated(act, watched=True) as (app, url), self.ward.locust(url) as locust:
            with self.ward.client(url) as client:
                polite(client, asked, self.order.choice.headers)
            self.ward.follow(app, locust, url, act, iter([self.ward.script(act, (bedside.watched(hold),), asked)]))

    def remember(self, told: dict[str, Any], manner: Manner, log: Log) -> None:
        """What the polite requests showed; a coroutine that nobody awaited is a wrong answer, whatever the client got."""
        forgotten = [line for line in log.warnings().splitlines() if "was never awaited" in line]
        wrong = manner.wrong or (forgotten[0].removeprefix("RuntimeWarning: ") if forgotten else None)
        told.update(skipped=None if wrong else manner.skipped, wrong=wrong, polite=list(manner.seconds), status=manner.status)
        told["notes"] = [manner.note] if manner.note else []
        self.run.write()
