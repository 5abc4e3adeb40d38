"""One examined route's diagnosis: its evidence, the rule that held, the guilty lines and the remedy."""

from collections.abc import Iterator
from dataclasses import dataclass

from reports.formatting import seconds
from reports.metrics.model import Bystander
from reports.stats.queueing import served_at_once
from reports.verdicts.culprit import Blame
from reports.verdicts.model import Exam, Remedy, Ruling, Verdict
from reports.verdicts.predicates import is_calm, is_full
from results.thresholds import FEW

HELD = (Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY)


QUIET = (Verdict.SCALES, Verdict.UNKNOWN, Verdict.UNTRUSTED)


SOMETIMES = 0.8  # holds per request below which a route does not always hold the loop


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


FIRST, UNLIKE = 0.05, 10.0  # seconds of a first request, and times a later one, that are worth a sentence


def at_first(exam: Exam) -> Iterator[str]:
    """What happens once is not examined, but said: a cache that is filled, a module that is imported."""
    first, *later = exam.entry.get("polite") or [0.0]
    if later and first >= FIRST and first >= UNLIKE * min(later):
        yield f"Its first request took {seconds(first)}, later ones {seconds(min(later))}: whatever happens once in a process was not examined."
