"""From a run of the doctor to one finding per route: verdict, sentence, guilty line, remedy, and how sure all that is."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from reports.checks import CheckStatus
from reports.checks.trust import Belief, Trust
from reports.formatting import count, number, places, seconds, share
from reports.metrics.model import Bystander, Route, Study
from reports.metrics.run_data import Evidence
from reports.stats.queueing import served_at_once
from reports.verdicts.culprit import Blame
from reports.verdicts.evidence import Exam, at_rest, exam_of
from reports.verdicts.findings import MECHANISM, WORST_FIRST, Finding, Verdict, harm
from reports.verdicts.predicates import MOSTLY, is_calm, is_full, is_own
from reports.verdicts.remedies import Remedy, remedy
from reports.verdicts.rules import Ruling, rule
from results.thresholds import FEW

HELD = (Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY)
QUIET = (Verdict.SCALES, Verdict.UNKNOWN, Verdict.UNTRUSTED)
SOMETIMES = 0.8  # holds per request below which a route does not always hold the loop
FIRST, UNLIKE = 0.05, 10.0  # seconds of a first request, and times a later one, that are worth a sentence
WORTH = 0.05  # share of the held time below which a line is not named
ALWAYS = 0.05  # share of all time, of holds at rest or of garbage collections, that is worth a sentence
BLIND = 0.3  # share of held time in which the watchdog could not look


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the doctor knows of one route beside its numbers."""

    exam: Exam
    ruling: Ruling
    blames: tuple[Blame, ...]
    cure: Remedy | None

    @property
    def hold(self) -> float | None:
        """Seconds that the loop is held per request: as the watchdog saw it, else the loop's own CPU."""
        if self.blames and self.exam.requests:
            return sum(one.held for one in self.blames) / self.exam.requests
        top = self.exam.top
        if top is None or not top.level.rate:
            return None
        if self.ruling.verdict in HELD:
            return self.exam.workers / top.level.rate
        return top.inside.loop_cpu / top.level.rate if top.inside.loop_cpu is not None else None

    @property
    def often(self) -> float | None:
        """Holds per request, where the watchdog counted fewer of them than requests."""
        if not self.blames or not self.exam.requests:
            return None
        found = self.blames[0].holds / self.exam.requests
        return found if found < SOMETIMES else None

    @property
    def is_bound(self) -> bool:
        """Whether served at once, and the capacity, are at least what the largest crowd got: nobody in it had to wait.

        Users who paused were fewer at once than they are; the rule reckons with that, the share of users served does not.
        """
        top, route = self.exam.top, self.exam.route
        is_its_own = top is not None and route.top is not None and top.level.users == route.top.users
        is_open = route.capacity is None and self.ruling.verdict in QUIET
        return is_open or (is_its_own and self.ruling.is_bound)

    @property
    def served(self) -> float:
        """Requests served at once by the largest crowd: rate x mean unloaded time, and no more than users who did not pause.

        Where nothing queued, the longest mean that the lone requests allow; where that is not known, the shortest.
        """
        top = self.exam.top
        if top is None:
            return 0.0
        level, unloaded = top.level, self.exam.unloaded
        service = unloaded.most if self.ruling.is_bound else unloaded.low if self.is_bound else unloaded.mean
        return served_at_once(level.rate, service, level.users, top.think)

    @property
    def neighbours(self) -> tuple[dict[str, Bystander], dict[str, float]]:
        """The neighbours that the verdict goes by, and at which load, for gate, table and page alike.

        That is the largest crowd. Where a healthy route fills the core, whoever asks waits for the core: then at half of its
        capacity, if that was asked, else beside the few, if they leave room.
        """
        exam, top, few = self.exam, self.exam.top, self.exam.looks.get(FEW)
        if top is None:
            return {}, {}
        if self.ruling.verdict is Verdict.SCALES and exam.half and exam.half_rate:
            return exam.half, {"rate_rps": exam.half_rate}
        if self.ruling.verdict is Verdict.SCALES and is_full(exam, top):
            top = few if few and not is_full(exam, few) else top
        return top.beside, {"users": top.level.users}

    @property
    def waits_for_core(self) -> bool:
        """Whether those neighbours waited for a core that a healthy route fills: what it does to them where it leaves room is not known."""
        look = self.exam.looks.get(int(self.neighbours[1].get("users", 0)))
        return self.ruling.verdict is Verdict.SCALES and look is not None and is_full(self.exam, look)

    @property
    def excluded(self) -> tuple[Verdict, ...]:
        """What a route of unknown verdict cannot be: whoever holds the loop harms the `async` neighbour."""
        return HELD if self.ruling.verdict is Verdict.UNKNOWN and is_calm(self.exam) else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of the route, and no part of the verdict."""
        return tuple(self.exam.entry.get("notes", ()))

    @property
    def sure(self) -> str:
        """How sure the verdict is, and why: the first that holds."""
        verdict, is_held = self.ruling.verdict, self.ruling.verdict in HELD
        reasons = (
            (verdict in (Verdict.UNKNOWN, Verdict.UNTRUSTED), "not sure at all"),
            (verdict is Verdict.WRONG_ANSWER, "sure: its own answers show it"),
            (not self.exam.is_guarded, "likely: seen from outside only, so pools, threads and lines are not known"),
            (is_held and bool(self.blames), "sure: neighbours, CPU and the watchdog agree"),
            (is_held, "likely: neighbours and CPU agree, and no line was caught"),
            (self.ruling.is_inferred, "likely: by elimination; a limit of requests per second would look alike"),
            (verdict is Verdict.SCALES and any(at_first(self.exam)), "likely: what is kept after a first request was not examined"),
        )
        return next((why for holds, why in reasons if holds), "sure: clients, neighbours and the app's own pools agree")


def findings(evidence: Evidence, study: Study, belief: Trust) -> tuple[Finding, ...]:
    """One finding per route that was to be examined; the skipped ones are told apart."""
    routes = {one.route: one for one in study.routes}
    entries = [one for one in study.run["routes"] if one["act"] or one["unfit"] or one["wrong"]]
    asked = [(one, routes.get(one["route"]) or nothing(one["route"])) for one in entries if not one["skipped"]]
    return tuple(finding(evidence, study, route, entry, belief) for entry, route in asked)


def background(evidence: Evidence) -> str | None:
    """What holds the app's loop while nobody asks: a sentence, where that is a part of the time that counts."""
    found, looked = at_rest(evidence)
    worst = next(iter(found.blames), None) if found else None
    if not found or not worst or found.seconds < ALWAYS * looked:
        return None
    return (
        f"The app holds its own loop while nobody asks: {share(found.seconds / looked)} of the time, mostly at "
        f"{worst.file}:{worst.line} ({worst.call or worst.function}); every route waits for that."
    )


def worst_last(found: Iterable[Finding]) -> list[Finding]:
    """The findings, the worst last; of those alike, the one that serves fewest last."""
    return sorted(found, key=lambda one: (-WORST_FIRST.index(one.verdict), -(one.route.served or 0.0)))


def is_unreached(entry: dict[str, Any]) -> bool:
    """Whether nobody came to a route at all, for want of time or because the run ended before."""
    return bool(entry.get("unfit")) and entry.get("act") is None


def nothing(name: str) -> Route:
    """A route of which nothing was measured."""
    empty: dict[str, Any] = dict.fromkeys(("service", "services", "places", "mechanism", "executor"))
    return Route(route=name, variant=name, levels=(), offered=(), bursts=(), bystanders={}, restarts={}, **empty)


def finding(evidence: Evidence, study: Study, route: Route, entry: dict[str, object], belief: Trust) -> Finding:
    """Judge one route."""
    exam = exam_of(evidence, study, route, entry)
    failed = [one for one in belief.checks if one.status is CheckStatus.FAIL and not one.is_finding]
    own = [one for one in failed if one.cell.partition("/")[2].rpartition("/")[0] == route.variant]
    ruling = rule(exam, failed if belief.belief is Belief.UNTRUSTED else own)
    seen = exam.held.blames if exam.held and ruling.verdict in HELD else ()
    blames = tuple(one for one in seen if is_own(exam, one) and one.share >= WORTH)
    worst = blames[0] if blames else None
    top, is_async = exam.top, exam.entry.get("is_async")
    served = ruling.places or (top.level.rate * exam.service if top else None)
    cores = len(evidence.run.get("targets", {}).get(entry.get("act"), {}).get("cpus") or ())
    cores = min(cores, math.ceil(evidence.run["machine"].get("cpu_limit") or cores))  # a container may have less
    cure = remedy(ruling.verdict, worst, service_s=exam.service, is_async=is_async, places=served, cores=cores)
    case = Case(exam=exam, ruling=ruling, blames=blames, cure=cure)
    return Finding(route, ruling.verdict, " ".join([*sentences(case), *collections(exam)]), cure.title if cure else "", case)


def sentences(case: Case) -> Iterator[str]:
    """What was found, with its arithmetic; who else suffers; and which line is to blame."""
    exam, ruling = case.exam, case.ruling
    name, top = exam.route.route, exam.top
    if ruling.verdict is Verdict.SCALES:
        yield f"{name} scales: {ruling.seen}."
        yield from at_first(exam)
        return
    if ruling.verdict in (*QUIET, Verdict.WRONG_ANSWER) or not top:
        yield f"{name}: {ruling.seen}."
        return
    yield (
        f"{name} serves {places(case.served)} at once ({number(top.level.rate)} req/s x {seconds(exam.service)}): "
        f"{MECHANISM[ruling.verdict]}{harm(exam.route, top.level)}."
    )
    if exam.pinned and ruling.verdict is Verdict.EXECUTOR_POOL:
        yield f"Measured on fewer cores: {exam.pinned}."
    if case.blames:
        yield from blamed(case)
    elif ruling.verdict in HELD and exam.is_guarded:
        yield "The watchdog caught no line at it."


def at_first(exam: Exam) -> Iterator[str]:
    """What happens once is not examined, but said: a cache that is filled, a module that is imported."""
    first, *later = exam.entry.get("polite") or [0.0]
    if later and first >= FIRST and first >= UNLIKE * min(later):
        yield f"Its first request took {seconds(first)}, later ones {seconds(min(later))}: whatever happens once in a process was not examined."


def collections(exam: Exam) -> Iterator[str]:
    """What the garbage collector holds the loop for, where that counts; it is no line's fault."""
    if exam.held and exam.held.collected >= ALWAYS * exam.watched > 0:
        took = share(exam.held.collected / exam.watched)
        yield f"Garbage collections held its loop for another {took} of the time: gc.freeze() after the start spares what lives on."


def blamed(case: Case) -> Iterator[str]:
    """The guilty line."""
    worst = case.blames[0]
    what = worst.call + (f" ({worst.library})" if worst.library else "")
    by = f"{what} in {worst.function}" if what else worst.function
    yield f"{worst.file}:{worst.line} holds it {share(worst.share)} of that time: {by}, {seconds(worst.median)} or more at a time."
    if case.often is not None:
        yield f"Not always: {count(worst.holds, 'hold')} in {count(case.exam.requests, 'request')}."
    if worst.elsewhere > MOSTLY:
        yield "That is no part of a request: a task or a callback that requests set going."
    if worst.blind > BLIND:
        yield f"C code there keeps the GIL: for {share(worst.blind)} of its time not even the watchdog could look."
    if worst.is_serialising:
        yield "It is the framework that makes an answer of what the handler returned."
