"""A finding on one route and, of an examined one, its diagnosis: evidence, culprits and remedy."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reports.metrics.model import CrowdMetrics, NeighbourMetrics, RouteMetrics
from reports.verdicts.remedy_rules import Remedy
from results.formatting import format_count, format_seconds
from results.judgement.culprit import Culprit
from results.judgement.model import RouteEvidence, RuleResult
from results.judgement.predicates import is_async_unharmed, is_core_full
from results.judgement.waits import GATES, RUNNING, Wait
from results.thresholds import FEW_USERS
from results.unloaded import served_at_once
from results.verdicts import LOOP_VERDICTS, WORST_FIRST, Verdict

NO_LIMIT_VERDICTS = (Verdict.SCALES, Verdict.UNKNOWN, Verdict.UNTRUSTED)
_NOTABLE_BLIND_SHARE = 0.3  # share of a window without a look that is worth a sentence
_NOTABLE_WAITING = 0.05  # share of the requests in flight, or of a pool's threads
_RARE_HOLDS = 0.8  # holds per request below which a route does not always hold the loop
# seconds of a first request, and times a later one, that are worth a sentence
_SLOW_FIRST, _SLOW_FIRST_RATIO = 0.05, 10.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor knows of one route in addition to its numbers."""

    route: RouteMetrics
    evidence: RouteEvidence
    rule_result: RuleResult
    culprits: tuple[Culprit, ...]
    remedy: Remedy | None
    # as they are shown, by the users of the level; None is half of the capacity
    neighbours: dict[int | None, dict[str, NeighbourMetrics]]

    @property
    def top_metrics(self) -> CrowdMetrics | None:
        """The largest of the doctor's own levels as it is shown; no gate's."""
        users = self.evidence.top.users if self.evidence.top else 0
        return next((level for level in self.route.levels if level.users == users), None)

    @property
    def hold_time(self) -> float | None:
        """Seconds that a request holds the loop, by the watchdog, else by the loop's own CPU."""
        top, requests = self.evidence.top, self.evidence.watched_requests
        if self.culprits and requests:
            return sum(culprit.hold_seconds for culprit in self.culprits) / requests
        if top is None or not top.rate:
            return None
        if self.rule_result.verdict in LOOP_VERDICTS:
            return self.evidence.workers / top.rate
        loop_cpu = top.server_stats.loop_cpu
        return None if loop_cpu is None else loop_cpu / top.rate

    @property
    def holds_per_request(self) -> float | None:
        """Holds per request, where the watchdog counted fewer of them than requests."""
        if not self.culprits or not self.evidence.watched_requests:
            return None
        holds = self.culprits[0].holds / self.evidence.watched_requests
        return holds if holds < _RARE_HOLDS else None

    @property
    def is_lower_bound(self) -> bool:
        """Whether served at once and capacity are at least the largest crowd's: no user waited."""
        top, route_top = self.evidence.top, self.route.top_level
        if self.route.capacity is None and self.rule_result.verdict in NO_LIMIT_VERDICTS:
            return True
        is_own = bool(top and route_top and top.users == route_top.users)
        return is_own and self.rule_result.is_lower_bound

    @property
    def served_at_once(self) -> float:
        """Requests of the largest crowd served at once: rate x mean unloaded time.

        At most the users who do not pause. Where nothing queues, the mean is the longest that the
        lone requests allow, or the shortest where that is not known.
        """
        top, unloaded = self.evidence.top, self.evidence.unloaded
        if top is None:
            return 0.0
        if self.rule_result.is_lower_bound:
            service = unloaded.worst_case
        else:
            service = unloaded.low if self.is_lower_bound else unloaded.mean
        return served_at_once(top.rate, service, top.users, top.think_time)

    @property
    def verdict_neighbours(self) -> tuple[dict[str, NeighbourMetrics], dict[str, float]]:
        """The neighbours behind the verdict, and at which load, for gate, table and page alike.

        The load is the largest crowd. Where a healthy route fills the core, every request waits for
        it: then half of its capacity where measured, else the few users if they leave room.
        """
        evidence, top, few = self.evidence, self.evidence.top, self.evidence.levels.get(FEW_USERS)
        if top is None:
            return {}, {}
        if self.rule_result.verdict in (Verdict.SCALES, Verdict.CPU_BOUND):
            if None in self.neighbours and evidence.half_rate:
                return self.neighbours[None], {"rate_rps": evidence.half_rate}
            if is_core_full(evidence, top) and few and not is_core_full(evidence, few):
                top = few
        return self.neighbours[top.users], {"users": top.users}

    @property
    def is_core_contended(self) -> bool:
        """Whether those neighbours wait for a core that a healthy route fills."""
        level = self.evidence.levels.get(int(self.verdict_neighbours[1].get("users", 0)))
        is_healthy = self.rule_result.verdict in (Verdict.SCALES, Verdict.CPU_BOUND)
        return is_healthy and level is not None and is_core_full(self.evidence, level)

    @property
    def excluded_verdicts(self) -> tuple[Verdict, ...]:
        """What a route of unknown verdict cannot be: a held loop slows the `async` neighbour."""
        is_unknown = self.rule_result.verdict is Verdict.UNKNOWN
        return LOOP_VERDICTS if is_unknown and is_async_unharmed(self.evidence) else ()

    @property
    def waits(self) -> tuple[Wait, ...]:
        """Where its requests wait, and what the threads do that work for them.

        What lets some in at a time comes first where that is the limit, then what most wait for.
        """
        profile = self.evidence.waits
        if profile is None:
            return ()
        both = (*profile.waits, *profile.threads)
        notable = [wait for wait in both if profile.share(wait) >= _NOTABLE_WAITING]
        is_gated = self.rule_result.verdict in (Verdict.POOL_LIMITED, Verdict.DEADLOCK)
        notable.sort(key=lambda wait: (not (is_gated and wait.what in GATES), -wait.count))
        return tuple(notable)

    @property
    def wait_shares(self) -> tuple[tuple[Wait, float], ...]:
        """The same, each with its share of the requests in flight, or of its pool's threads."""
        profile = self.evidence.waits
        return tuple((wait, profile.share(wait)) for wait in self.waits) if profile else ()

    @property
    def main_wait(self) -> Wait | None:
        """The first of these with a line."""
        return next((wait for wait in self.waits if wait.file and wait.what != RUNNING), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of the route and no part of the verdict."""
        return (*self.evidence.entry.notes, *_blind_note(self.evidence))

    @property
    def confidence(self) -> str:  # noqa: PLR0911 - one for each reason
        """How sure the verdict is, and why: the first reason that holds."""
        verdict, is_held = self.rule_result.verdict, self.rule_result.verdict in LOOP_VERDICTS
        if verdict in (Verdict.UNKNOWN, Verdict.UNTRUSTED):
            return "not sure at all"
        if verdict is Verdict.WRONG_ANSWER:
            return "sure: its own answers show it"
        if not self.evidence.has_agent:
            return "likely: seen from outside only, so pools, threads and lines are not known"
        if is_held and self.culprits:
            return "sure: neighbours, CPU and the watchdog agree"
        if is_held:
            return "likely: neighbours and CPU agree, but the watchdog caught no line"
        if self.rule_result.is_inferred:
            return "likely: by elimination; a limit of requests per second would look alike"
        if verdict is Verdict.SCALES and any(first_request_note(self.evidence)):
            return "likely: the one-time work of a first request was not examined"
        return "sure: clients, neighbours and the app's own pools agree"


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one route, in words, with its remedy."""

    route: RouteMetrics
    verdict: Verdict
    sentence: str
    remedy: str
    diagnosis: Diagnosis | None = None  # of an examined app


def examined_findings(findings: Iterable[Finding]) -> list[tuple[Finding, Diagnosis]]:
    """Return the findings that have a diagnosis, each with it, the worst last."""
    return [(item, item.diagnosis) for item in sort_worst_last(findings) if item.diagnosis]


def sort_worst_last(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings, the worst last; of those alike, the one that serves fewest last."""

    def rank(finding: Finding) -> tuple[int, float]:
        return WORST_FIRST.index(finding.verdict), finding.route.served_at_once or 0.0

    return sorted(findings, key=rank, reverse=True)


def _blind_note(evidence: RouteEvidence) -> Iterator[str]:
    """Yield for how long the agent's thread could not look, where that counts."""
    level = max(evidence.levels.values(), key=lambda x: x.server_stats.blind, default=None)
    if level and level.server_stats.blind >= _NOTABLE_BLIND_SHARE * level.seconds:
        blind, seconds = format_seconds(level.server_stats.blind), format_seconds(level.seconds)
        yield (
            f"With {format_count(level.users, 'user')} nothing inside the app could look at its"
            f" queues for {blind} of {seconds}, as C code kept the GIL: CPU and neighbours were"
            " read from outside."
        )


def first_request_note(evidence: RouteEvidence) -> Iterator[str]:
    """Yield a note on what happens once, and is not examined: a cache filled, a module imported."""
    first, *later = evidence.entry.smoke_seconds or [0.0]
    if later and first >= max(_SLOW_FIRST, _SLOW_FIRST_RATIO * min(later)):
        times = f"{format_seconds(first)}, later ones {format_seconds(min(later))}"
        yield f"Its first request took {times}: its one-time work was not examined."
