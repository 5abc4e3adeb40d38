"""The judgement: what the rules still need, what follows once it is known, and known truths."""

from dataclasses import replace
from typing import Any

import pytest

from results.judgement.culprit import LoopHolds
from results.judgement.model import LevelEvidence, Measurement, RouteEvidence
from results.judgement.rules import evaluate_rules
from results.run_info import RouteRecord
from results.unloaded import UnloadedLatency
from results.verdicts import Verdict
from scenarios.doctor.adaptive_plan import AdaptivePlan
from tests.support.evidence_factory import (
    LINE,
    NOBODY,
    ROUTE,
    SimulatedRoute,
    bedside,
    exact,
    exam,
    look,
    neighbours,
    silent,
)

HOLDER_SEEN = LoopHolds(1.0, 0.0, (LINE,))
CRASHED = RouteRecord(route=ROUTE, unmeasured="the app crashed")


def simulate(service: float, *levels: LevelEvidence, **more: Any) -> SimulatedRoute:
    """A route with levels of known truth."""
    return SimulatedRoute(service, {level.users: level for level in levels}, **more)


COMPUTES = look(8, 33, cpu=1.0, loop=0.24, loop_cpu=0.98)
FEW, MANY = look(8, 80, cpu=0.16), look(64, 99, cpu=1.0, loop=0.018)  # 2 ms each, and 10 ms
VAGUE = UnloadedLatency(0.1, 0.05, 0.15, 0.15)
# what misses last, of what is asked; the truth's verdict
TRUTHS: list[tuple[str, Verdict, Measurement, SimulatedRoute]] = [
    ("holds it and waits", Verdict.LOOP_BLOCKED, Measurement.WATCH,
     simulate(0.1, look(8, 9.9, loop=0.78), holds=HOLDER_SEEN)),
    ("holds it and computes", Verdict.LOOP_BUSY, Measurement.WATCH,
     simulate(0.03, COMPUTES, half=0.045, holds=HOLDER_SEEN)),
    ("fills the core", Verdict.CPU_BOUND, Measurement.HALF, simulate(0.03, COMPUTES, half=0.018)),
    ("computes in threads", Verdict.GIL_BOUND, Measurement.FEW,
     simulate(0.03, look(8, 33, cpu=1.0, loop=0.05, loop_cpu=0.02))),
    ("silent, and the loop is free", Verdict.DEADLOCK, Measurement.MANY,
     simulate(0.1, look(8, 80), silent(64))),
    ("waits for threads", Verdict.THREAD_POOL, Measurement.MANY,
     simulate(0.1, look(8, 80, threads=8.0), look(64, 398, threads=40.0, threads_waiting=24.0))),
    ("waits for the executor", Verdict.EXECUTOR_POOL, Measurement.MANY,
     simulate(0.1, look(8, 60), look(64, 60, executor_waiting=58.0))),
    ("a semaphore of ten", Verdict.POOL_LIMITED, Measurement.MIDDLE,
     simulate(0.1, look(8, 80), look(16, 100), look(64, 100))),
    ("ten connections, and a queue for them that fills the core", Verdict.POOL_LIMITED,
     Measurement.MIDDLE, simulate(0.1, FEW, look(16, 100, cpu=0.3), MANY)),
    ("awaits, and its lone requests vary", Verdict.SCALES, Measurement.LONGER_LONE,
     simulate(0.1, look(8, 80), look(64, 620), unloaded=(VAGUE, exact(0.1)))),
    ("holds it now and then", Verdict.LOOP_BLOCKED, Measurement.WATCH,
     simulate(0.1, replace(look(8, 80), neighbours=neighbours(0.002, 0.06)), look(64, 620),
              holds=HOLDER_SEEN)),
]  # fmt: skip
MISSING = ("is missing", "was not measured", "there was no time to see")
IDS = [row[0] for row in TRUTHS]


@pytest.mark.parametrize(("verdict", "last", "truth"), [row[1:] for row in TRUTHS], ids=IDS)
def test_the_rules_ask_until_the_verdict_is_clear(
    verdict: Verdict, last: Measurement, truth: SimulatedRoute
) -> None:
    """Without the last measurement it is named as missing; with it the verdict is the truth."""
    asked = truth.examine()
    known = evaluate_rules(truth.observe())
    assert (verdict, None) == (known.verdict, known.needs), known.reason
    assert len(set(asked)) == len(asked) or last is Measurement.LONGER_LONE
    truth.cells.pop()
    before = evaluate_rules(truth.observe())
    assert before.needs is last, before.reason
    if last in (Measurement.FEW, Measurement.MANY):
        assert before.reason == f"{last} is missing"


@pytest.mark.parametrize(("verdict", "last", "truth"), [row[1:] for row in TRUTHS], ids=IDS)
def test_where_the_budget_ends_the_verdict_says_what_was_missing(
    verdict: Verdict, last: Measurement, truth: SimulatedRoute
) -> None:
    """No measurement is asked for again that did not fit, and an unknown verdict tells of it."""
    whole = replace(truth, cells=[]).examine()
    refused = []

    def fits(_: object, is_needed: bool) -> bool:  # noqa: FBT001
        refused.append(is_needed)
        return len(refused) < len(whole)

    short = replace(truth, cells=[])
    assert short.examine(fits) == whole[:-1]
    result = evaluate_rules(short.observe())
    assert result.needs is last
    assert refused[-1] is (result.verdict is Verdict.UNKNOWN)
    if result.verdict is Verdict.UNKNOWN:
        assert any(words in result.reason for words in MISSING), result.reason
    else:  # what was asked last only adds the line, or the figure, or what comes seldom
        assert result.verdict in {verdict, Verdict.SCALES}


PAUSED = replace(look(8, 80), neighbours=neighbours(0.002, longest=0.06))
UNSEEN: dict[str, Any] = {"loop_holds": None, "watched_seconds": 0.0}
IN_VAIN = [
    (Measurement.LONE, 1, replace(exam(0.1), levels={})),
    (Measurement.FEW, 1, exam(0.1)),
    (Measurement.MANY, 1, exam(0.1, look(8, 80))),
    (Measurement.HALF, 1, exam(0.03, COMPUTES)),
    (Measurement.MIDDLE, 1, exam(0.1, look(8, 80), look(64, 100))),
    (Measurement.LONGER_LONE, 2, exam(0.1, look(8, 60), look(64, 60, executor_waiting=58.0),
                                      unloaded=VAGUE)),
    (Measurement.WATCH, 4, exam(0.1, look(8, 9.9, loop=0.78), **UNSEEN)),
]  # fmt: skip


@pytest.mark.parametrize(("need", "times", "seen"), IN_VAIN, ids=[row[0] for row in IN_VAIN])
def test_what_shows_nothing_is_not_asked_for_again_and_again(
    need: Measurement, times: int, seen: RouteEvidence
) -> None:
    """A level may end before its window, whatever is tried: each of its tries has its own name."""
    assert evaluate_rules(seen).needs is need
    plan = AdaptivePlan(lambda: seen, bedside(0.1), (), lambda *_: True)
    names = [cell.name for cells in plan.levels() for cell in cells]
    assert len(names) == len(set(names)) == times


DEAF = silent(8, loop=2.0)  # the neighbours are silent, too
SILENCE = [
    ("all are silent", Verdict.LOOP_BLOCKED, Measurement.WATCH,
     "with 8 users it stopped answering altogether: 8 requests waited in vain",
     exam(0.1, DEAF, **UNSEEN)),
    ("all are silent, and the line is known", Verdict.LOOP_BLOCKED, None, "stopped answering",
     exam(0.1, DEAF, loop_holds=HOLDER_SEEN)),
    ("all are silent, and nothing holds the loop", Verdict.UNKNOWN, None,
     "the watchdog saw nothing hold the loop", exam(0.1, DEAF, loop_holds=NOBODY)),
    ("all are silent, and nobody can watch", Verdict.LOOP_BLOCKED, None, "stopped answering",
     exam(0.1, DEAF, has_agent=False, **UNSEEN)),
    ("the loop is free", Verdict.DEADLOCK, None,
     "64 requests waited in vain, while the loop still answered, 40 of AnyIO's threads were taken",
     exam(0.1, look(8, 80), silent(64, threads=40.0), **UNSEEN)),
    ("the loop is free, though it paused before", Verdict.DEADLOCK, None, "the loop still answered",
     exam(0.1, PAUSED, silent(64), **UNSEEN)),
    ("the few already, and the loop is free", Verdict.DEADLOCK, None, "with 8 users",
     exam(0.1, silent(8), **UNSEEN)),
    ("it computes", Verdict.UNKNOWN, None, "none of the known mechanisms",
     exam(0.1, look(8, 80), silent(64, cpu=1.0))),
    ("it computes on the loop", Verdict.UNKNOWN, Measurement.HALF, "half of the load",
     exam(0.1, silent(8, loop=2.0, cpu=1.0, loop_cpu=1.0))),
    ("it computes in threads that let the GIL go", Verdict.CPU_BOUND, None, "computes for 303 ms",
     exam(0.3, look(8, 3.3, cpu=1.0), silent(64, cpu=1.0))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "need", "words", "seen"), [row[1:] for row in SILENCE], ids=[x[0] for x in SILENCE]
)
def test_who_is_silent_decides_what_silence_means(
    verdict: Verdict, need: Measurement | None, words: str, seen: RouteEvidence
) -> None:
    """A silent loop is held; one that answers is not; an app that computes may answer yet."""
    result = evaluate_rules(seen)
    assert (verdict, need) == (result.verdict, result.needs), result.reason
    assert words in result.reason


def test_a_silent_route_that_computes_can_be_asked_at_half() -> None:
    """No rate is known: half of nothing is no load."""
    truth = simulate(0.1, silent(8, loop=2.0, cpu=1.0, loop_cpu=1.0), half=0.3, holds=HOLDER_SEEN)
    truth.examine()
    assert evaluate_rules(truth.observe()).verdict in {Verdict.LOOP_BUSY, Verdict.UNKNOWN}


def test_a_level_without_any_answer_has_no_figures() -> None:
    """It divides by nothing: neither a mean nor a rate is known."""
    few, many = silent(8, cpu=0.6, threads=8.0), look(64, 10, threads=40.0, threads_waiting=24.0)
    assert evaluate_rules(exam(0.1, few, many)).verdict is Verdict.THREAD_POOL


@pytest.mark.parametrize("users", [8, 64])
def test_answers_of_another_kind_under_load_say_nothing_of_the_route(users: int) -> None:
    """`200 []` at once where ten are in work: no accusation and no figure; 1 % is chance."""
    levels = {level.users: level for level in (look(8, 80), look(64, 620))}
    answers = len(levels[users].latencies)

    def with_odd(share: float) -> RouteEvidence:
        odd = replace(levels[users], odd_answers=round(share * answers))
        return exam(0.1, *{**levels, users: odd}.values())

    result = evaluate_rules(with_odd(0.9))
    assert (result.verdict, result.needs) == (Verdict.UNKNOWN, None)
    assert (result.concurrency, result.is_lower_bound) == (None, False)
    assert result.reason.startswith(f"{round(0.9 * answers)} of {answers} answers with {users} ")
    assert evaluate_rules(with_odd(0.01)) == evaluate_rules(with_odd(0.0))


FULL = look(64, 33, cpu=1.0, loop=0.05, loop_cpu=0.02)
BOUND = exam(
    0.03, look(8, 33, cpu=1.0, loop_cpu=0.02), FULL, half_neighbours=neighbours(0.018)
)  # 30 ms of CPU each; 64 users wait for 1.9 s


@pytest.mark.parametrize(
    ("missing", "seen"),
    [
        ("calm neighbours at half", replace(BOUND, half_neighbours=neighbours(0.3))),
        ("a full core", exam(0.03, look(8, 25, cpu=0.75), look(64, 25, cpu=0.75))),
        ("requests that wait", exam(0.03, look(8, 30, cpu=0.9), look(64, 33, cpu=1.0, think=1.9))),
        ("10 ms of CPU", exam(0.009, look(8, 110, cpu=1.0), look(64, 110, cpu=1.0))),
    ],
)
def test_a_bound_of_the_cpu_takes_all_of_four(missing: str, seen: RouteEvidence) -> None:
    """Each one missing, it is something else."""
    assert evaluate_rules(BOUND).verdict is Verdict.CPU_BOUND
    assert evaluate_rules(seen).verdict is not Verdict.CPU_BOUND, missing


@pytest.mark.parametrize(
    ("middle", "verdict", "places"),
    [
        (look(16, 100, cpu=0.3), Verdict.POOL_LIMITED, 10),
        (look(16, 150, cpu=0.3), Verdict.SCALES, None),  # more than the many: no plateau
        (look(16, 100, cpu=0.95), Verdict.SCALES, None),  # full already
    ],
)
def test_a_queue_that_fills_the_core_does_not_hide_the_pool(
    middle: LevelEvidence, verdict: Verdict, places: int | None
) -> None:
    """A few users cost 2 ms each, many 10 ms: those who wait for a connection compute."""
    open_result = evaluate_rules(exam(0.1, FEW, MANY))
    assert (open_result.verdict, open_result.needs) == (Verdict.UNKNOWN, Measurement.MIDDLE)
    result = evaluate_rules(exam(0.1, FEW, middle, MANY))
    assert (verdict, places, None) == (result.verdict, result.concurrency, result.needs)


def test_threads_that_are_kept_after_the_answer_are_a_pool() -> None:
    """A `def` background task of 250 ms: 40 threads keep up with 160 requests per second."""
    busy: dict[str, float] = {"threads": 40.0, "threads_waiting": 24.0}
    result = evaluate_rules(exam(0.002, look(8, 160, **busy), look(64, 160, **busy)))
    assert (result.verdict, result.concurrency) == (Verdict.THREAD_POOL, 40)
    assert "each request keeps for 250 ms, most of it after its answer" in result.reason
    assert "160 requests/s are all that they keep up with" in result.reason


QUARTILES = (0.1, 0.1, 0.1)
AWAITS = tuple(replace(look(n, rate), quartiles=QUARTILES) for n, rate in ((8, 80), (64, 620)))


@pytest.mark.parametrize(
    ("unloaded", "levels", "extra"),
    [
        (exact(0.1), AWAITS, []),
        (UnloadedLatency(0.1, 0.09, 0.11, 0.114), AWAITS, []),  # within 15 %
        (UnloadedLatency(0.1, 0.05, 0.15, 0.15), AWAITS, []),  # 620 x 0.15 reach 64 users
        (UnloadedLatency(0.1, 0.05, 0.102, 0.102), AWAITS, ["1", "1"]),  # 620 x 0.102 do not
        (VAGUE, (look(8, 60), look(64, 60, executor_waiting=58.0)), ["1", "1"]),
        (VAGUE, (look(8, 9.9, loop=0.78),), ["8 watched"]),  # a held loop needs no figure
    ],
)
def test_a_lone_user_is_asked_for_longer_where_the_figure_is_open(
    unloaded: UnloadedLatency, levels: tuple[LevelEvidence, ...], extra: list[str]
) -> None:
    """Where it is known to within 15 %, or reaches the number of users, nothing more; twice."""
    truth = simulate(0.1, *levels, unloaded=(unloaded,), holds=HOLDER_SEEN)
    first = ["1", *(str(level.users) for level in levels)]
    assert [*first, *extra] == truth.examine()
    assert evaluate_rules(truth.observe()).needs is None


def test_what_comes_seldom_is_watched_for_eight_seconds() -> None:
    """A pause was seen; 3 s without a hold do not mean that there is none."""
    seen = exam(0.1, PAUSED, look(64, 620), loop_holds=NOBODY, watched_seconds=3.0)
    short = evaluate_rules(seen)
    assert (short.verdict, short.needs) == (Verdict.SCALES, Measurement.WATCH)
    long = evaluate_rules(replace(seen, watched_seconds=8.0))
    assert (long.verdict, long.needs) == (Verdict.SCALES, None)
    truth = simulate(0.1, PAUSED, look(64, 620))
    assert truth.examine() == ["1", "8", "64", "8 watched", "8 watched"]
    assert truth.observe().watched_seconds == 8.0
    unseen = replace(seen, has_agent=False, loop_holds=None)
    assert evaluate_rules(unseen).needs is None  # nobody can watch
