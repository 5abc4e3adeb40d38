"""The doctor's rules, signature by signature: the evidence gives the verdict, lookalikes do not."""

from dataclasses import replace

import pytest

from reports.verdicts.diagnose import gc_sentences
from results.judgement.culprit import Culprit, LoopHolds
from results.judgement.model import LevelEvidence, RouteEvidence
from results.judgement.observe import computing_share
from results.judgement.rules import Failure, evaluate_rules
from results.run_info import RouteRecord
from results.verdicts import Verdict
from tests.support.evidence_factory import LINE, NOBODY, exam, look, neighbours, timed

BUSY = look(8, 33, cpu=1.0, loop=0.24, loop_cpu=0.98)
LATE = RouteRecord(route="GET /x", unmeasured="no time")
FORKED = tuple(look(users, 16, cpu=0.1, loop=0.04, children_cpu=0.88) for users in (8, 64))
CASES: list[tuple[str, Verdict, int | None, RouteEvidence]] = [
    ("awaits", Verdict.SCALES, None, exam(0.1, look(8, 80), look(64, 620))),
    ("awaits for long", Verdict.SCALES, None, exam(2.0, look(8, 4), look(64, 31))),
    ("no-op, as often as 64 users with pauses ask", Verdict.SCALES, None,
     exam(0.001, look(8, 1400, think=0.004), look(64, 1480, cpu=0.6, think=0.041))),
    ("no-op that fills the core, neighbours late behind it", Verdict.SCALES, None,
     exam(0.001, look(8, 900, cpu=1.0, loop=0.009, loop_cpu=0.9),
          look(64, 900, cpu=1.0, loop=0.07, loop_cpu=0.9))),
    ("2 ms of CPU: its neighbours wait behind eight of them", Verdict.SCALES, None,
     exam(0.0028, look(8, 400, cpu=1.0, loop=0.021, loop_cpu=0.98),
          look(64, 400, cpu=1.0, loop=0.16, loop_cpu=0.98))),
    ("computes 12 ms, and at half of its capacity harms nobody", Verdict.CPU_BOUND, None,
     exam(0.012, look(8, 80, cpu=1.0, loop=0.09, loop_cpu=0.98),
          half_neighbours=neighbours(0.018))),
    ("holds the loop and waits", Verdict.LOOP_BLOCKED, None, exam(0.1, look(8, 9.9, loop=0.78))),
    ("holds it for a tenth of its time: ten at once", Verdict.LOOP_BLOCKED, None,
     exam(1.0, look(8, 7.5, loop=0.03), look(64, 10, loop=0.6))),
    ("holds it 2 ms at a time: only many show it", Verdict.LOOP_BLOCKED, None,
     exam(0.003, look(8, 450, loop=0.015), look(64, 460, cpu=0.3, loop=0.13))),
    ("holds it and computes", Verdict.LOOP_BUSY, None,
     exam(0.03, BUSY, half_neighbours=neighbours(0.045))),
    ("holds it and computes, half unknown", Verdict.UNKNOWN, None, exam(0.03, BUSY)),
    ("computes in threads", Verdict.GIL_BOUND, None,
     exam(0.03, look(8, 33, cpu=1.0, loop=0.05, loop_cpu=0.02))),
    ("computes in threads that let the GIL go: neighbours calm", Verdict.CPU_BOUND, None,
     exam(0.03, look(8, 33, cpu=1.0, loop_cpu=0.02),
          look(64, 33, cpu=1.0, loop_cpu=0.02, threads_waiting=24.0))),
    ("a no-op in threads that fills the core", Verdict.SCALES, None,
     exam(0.0015, look(8, 800, cpu=0.9, loop_cpu=0.3),
          look(64, 800, cpu=1.0, loop_cpu=0.3, threads_waiting=20.0))),
    ("waits for AnyIO's threads", Verdict.THREAD_POOL, 40,
     exam(0.1, look(8, 80), look(64, 398, threads_waiting=24.0, threads=40.0), alone=0.97)),
    ("takes a thread for a part of its time", Verdict.THREAD_POOL, 40,
     exam(0.2, look(8, 40), look(64, 250, threads_waiting=12.0, threads=40.0), alone=0.8)),
    ("its threads wait for 15 connections", Verdict.POOL_LIMITED, 15,
     exam(0.1, look(8, 80), look(29, 150), look(64, 150, threads_waiting=24.0, threads=40.0),
          alone=0.97)),
    ("waits for the executor", Verdict.EXECUTOR_POOL, 6,
     exam(0.1, look(8, 60), look(64, 60, executor_waiting=58.0))),
    ("waits for an executor of its own", Verdict.POOL_LIMITED, 4,
     exam(0.1, look(8, 40), look(64, 40, pool_waiting=60.0, pool_threads=4.0))),
    ("an asyncio.Lock", Verdict.POOL_LIMITED, 1, exam(0.05, look(8, 20), look(64, 20))),
    ("a lock that costs something where many wait", Verdict.POOL_LIMITED, 1,
     exam(0.0614, look(8, 15), look(64, 14))),
    ("computes 9 ms, and 10 where many ask", Verdict.SCALES, None,
     exam(0.0091, look(8, 107, cpu=1.0, loop=0.07, loop_cpu=0.99),
          look(64, 96, cpu=1.0, loop=0.44, loop_cpu=0.99))),
    ("a semaphore of ten", Verdict.POOL_LIMITED, 10,
     exam(0.1, look(8, 80), look(16, 100), look(64, 100))),
    ("a database on this machine that is full", Verdict.UNKNOWN, None,
     exam(0.02, look(8, 100), look(16, 100), look(64, 100, others=0.5))),
    ("a plateau that was seen once only", Verdict.UNKNOWN, None,
     exam(0.1, look(8, 80), look(64, 100))),
    ("a generator that could not ask for more", Verdict.SCALES, None,
     exam(0.00055, look(8, 1160, cpu=0.45, think=0.0048),
          look(64, 1190, cpu=0.5, think=0.042, loop=0.005))),
    ("a plateau below one place", Verdict.UNKNOWN, None,
     exam(0.001, look(8, 600, cpu=0.4), look(64, 600, cpu=0.4))),
    ("a neighbour that suffers, and nobody who holds the loop: the core is somebody else's",
     Verdict.UNKNOWN, None,
     exam(0.1, look(8, 80), look(64, 350, loop=0.06), loop_holds=NOBODY)),
    ("the same without a second look", Verdict.UNKNOWN, None,
     exam(0.1, look(8, 9.9, loop=0.78), loop_holds=None)),
    ("awaits for long, then computes: few fill no core", Verdict.LOOP_BUSY, None,
     exam(5.0, look(8, 1.6, cpu=0.16, loop=0.037), cpu_while_late=0.97)),
    ("awaits for long, then computes: many fill it", Verdict.LOOP_BUSY, None,
     exam(1.0, look(8, 8, cpu=0.16), look(64, 48, cpu=0.97, loop=0.4, loop_cpu=0.95),
          half_neighbours=neighbours(0.03))),
    ("computes in threads, on a machine that others use", Verdict.UNKNOWN, None,
     exam(0.03, look(8, 15, cpu=0.6, loop=0.08, loop_cpu=0.02))),
    ("processes of its own that share its core, half unknown", Verdict.UNKNOWN, None,
     exam(0.06, *FORKED)),
    ("processes of its own that share its core", Verdict.CPU_BOUND, None,
     exam(0.06, *FORKED, half_neighbours=neighbours(0.018))),
    ("processes of its own that leave no core, even at half", Verdict.SCALES, None,
     exam(0.06, *FORKED, half_neighbours=neighbours(0.03))),
    ("from outside, and its CPU unknown", Verdict.UNKNOWN, None,
     exam(0.003, look(8, 400, cpu=None, loop=0.017), look(64, 400, cpu=None, loop=0.13),
          has_agent=False, loop_holds=None)),
    ("from outside, CPU idle", Verdict.LOOP_BLOCKED, None,
     exam(0.1, look(8, 9.9, loop=0.78), has_agent=False, loop_holds=None)),
    ("from outside, on a machine that others use", Verdict.UNKNOWN, None,
     exam(0.1, look(8, 9.9, loop=0.78, others=0.6), has_agent=False, loop_holds=None)),
    ("fails under load", Verdict.WRONG_ANSWER, None,
     exam(0.1, look(8, 80), faults={8: (40, 400, "status 500")})),
    ("refuses under load", Verdict.UNKNOWN, None,
     exam(0.1, look(8, 80), faults={8: (40, 400, "status 429")})),
    ("was answered wrongly when asked politely", Verdict.WRONG_ANSWER, None,
     exam(0.1, entry=RouteRecord(route="GET /x", fault="answers text/html"))),
    ("did not fit the budget", Verdict.UNKNOWN, None, exam(0.1, look(8, 80), entry=LATE)),
    ("what did not fit the budget would change nothing", Verdict.SCALES, None,
     exam(0.1, look(8, 80), look(64, 620), entry=LATE)),
    ("two workers, each blocked", Verdict.LOOP_BLOCKED, None,
     exam(0.1, look(8, 20, loop=0.38), workers=2)),
    ("from outside: threads that take turns", Verdict.GIL_BOUND, None,
     exam(0.03, look(8, 33, cpu=1.0, loop=0.06), has_agent=False)),
    ("from outside: whole requests", Verdict.UNKNOWN, None,
     exam(0.03, look(8, 33, cpu=1.0, loop=0.2), has_agent=False)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "places", "seen"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_a_signature_has_its_verdict(
    verdict: Verdict, places: int | None, seen: RouteEvidence
) -> None:
    """Each rule, and what it must not be taken for."""
    ruling = evaluate_rules(seen)
    assert (verdict, places) == (ruling.verdict, ruling.concurrency), ruling.reason


def uneven(seen: RouteEvidence, longest: float) -> RouteEvidence:
    """The same route with a longest request of so many seconds."""
    looks = {users: replace(level, longest=longest) for users, level in seen.levels.items()}
    return replace(seen, levels=looks)


def crowded(rate: float, *, few: float = 71.4) -> tuple[LevelEvidence, ...]:
    """Uneven work in threads, 0.112 s on average: all 40 are busy, other requests wait."""
    return (
        look(8, few, threads=7.9),
        look(43, rate, threads=40.0, threads_waiting=3.0),
        look(64, rate, threads=40.0, threads_waiting=24.0),
    )


@pytest.mark.parametrize(
    ("what", "verdict", "places", "seen"),
    [
        ("the median is far below the mean", Verdict.THREAD_POOL, 40, exam(0.08, *crowded(357))),
        ("a few users met slow requests", Verdict.THREAD_POOL, 40,
         exam(0.08, *crowded(357, few=60))),
        ("a few users met no slow one", Verdict.THREAD_POOL, 40, exam(0.08, *crowded(350, few=88))),
        ("its threads wait for 15", Verdict.POOL_LIMITED, 15, exam(0.112, *crowded(134))),
        ("its threads wait for 5", Verdict.POOL_LIMITED, 5, exam(0.112, *crowded(44.6, few=44.6))),
        ("four threads", Verdict.THREAD_POOL, 4,
         exam(0.08, look(8, 50, threads=4.0, threads_waiting=4.0),
              look(64, 50, threads=4.0, threads_waiting=60.0), alone=0.97, thread_tokens=4)),
        ("four threads wait for two", Verdict.POOL_LIMITED, 2,
         exam(0.08, look(8, 25, threads=4.0, threads_waiting=4.0),
              look(64, 25, threads=4.0, threads_waiting=60.0), alone=0.97, thread_tokens=4)),
    ],
)  # fmt: skip
def test_what_was_seen_waiting_for_threads_decides(
    what: str, verdict: Verdict, places: int, seen: RouteEvidence
) -> None:
    """However uneven the work: what queues behind busy threads, not what a median suggests."""
    ruling = evaluate_rules(uneven(seen, 0.4))
    assert (verdict, places) == (ruling.verdict, ruling.concurrency), f"{what}: {ruling.reason}"


@pytest.mark.parametrize(
    ("what", "service", "alone_cpu", "few", "many", "verdict"),
    [
        ("computes 0.5 ms, on a core of which the machine gives a part", 0.0006, 0.8,
         look(8, 900, cpu=0.6), timed(look(64, 900, cpu=0.65, loop=0.07), 0.02, 0.051),
         Verdict.SCALES),
        ("a `def` no-op whose users pause: they queue in turns of the loop", 0.0007, 0.77,
         look(8, 910, cpu=0.6, think=0.004),
         timed(look(64, 907, cpu=0.69, loop=0.06, think=0.0406), 0.0205, 0.008), Verdict.SCALES),
        ("awaits 0.3 s, then computes: users come in waves", 0.3, 0.02, look(8, 26),
         timed(look(64, 175, cpu=0.62, loop=0.03), 0.35, 0.016), Verdict.SCALES),
        ("the same on an idle core", 0.3, 0.02, look(8, 26),
         timed(look(64, 175, cpu=0.3), 0.35, 0.016), Verdict.UNKNOWN),
        ("waits for four connections in a dependency", 0.01, 0.1, look(8, 390, cpu=0.55),
         timed(look(64, 390, cpu=0.6, loop=0.015), 0.16, 0.004), Verdict.POOL_LIMITED),
        ("holds the loop for 8 ms, and computes for 9", 0.017, 0.53,
         look(8, 55, cpu=0.53, loop=0.13), timed(look(64, 55, cpu=0.53, loop=1.0), 0.017, 1.15),
         Verdict.LOOP_BLOCKED),
        ("waits for a lock of one and computes, and harms nobody", 0.0055, 0.64,
         look(8, 170, cpu=0.6), timed(look(64, 170, cpu=0.62), 0.0055, 0.37), Verdict.POOL_LIMITED),
        ("holds it for 2 ms, and computes for 3.5", 0.0055, 0.64, look(8, 170, cpu=0.6),
         timed(look(64, 170, cpu=0.62, loop=0.33), 0.0055, 0.37), Verdict.LOOP_BLOCKED),
    ],
)  # fmt: skip
# A parameter per side of the signature
def test_waiting_for_the_core_is_separated_from_waiting_on_it(  # noqa: PLR0913, PLR0917
    what: str,
    service: float,
    alone_cpu: float,
    few: LevelEvidence,
    many: LevelEvidence,
    verdict: Verdict,
) -> None:
    """A core of which the machine gives only a part is never full.

    Yet requests that wait inside the app and are served singly do not wait for the core.
    """
    seen = exam(service, few, many)
    alone = timed(look(1, 1 / service, cpu=alone_cpu), service)
    ruling = evaluate_rules(replace(seen, levels={**seen.levels, 1: alone}))
    assert verdict is ruling.verdict, f"{what}: {ruling.reason}"


def test_a_failed_check_takes_the_verdict() -> None:
    """A saturated generator never yields loop-blocked."""
    full = Failure("the generator was full", "a machine of its own")
    ruling = evaluate_rules(exam(0.1, look(8, 9.9, loop=0.78)), [full])
    assert (Verdict.UNTRUSTED, *full) == (ruling.verdict, ruling.reason, ruling.would_change_if)


def test_where_nobody_could_sample_the_verdict_says_why() -> None:
    """It is no want of time."""
    entry = RouteRecord(route="GET /x", unwatched="its Python has no GIL")
    case = exam(0.1, look(8, 9.9, loop=0.78), loop_holds=None, entry=entry)
    ruling = evaluate_rules(case)
    assert (ruling.verdict, "its Python has no GIL" in ruling.reason) == (Verdict.UNKNOWN, True)


@pytest.mark.parametrize(
    ("line", "restless", "verdict"),
    [
        (LINE, False, Verdict.LOOP_BLOCKED),
        # a task that each request starts, a worker that takes batches
        (replace(LINE, outside_requests=1.0), False, Verdict.LOOP_BLOCKED),
        (replace(LINE, outside_requests=1.0), True, Verdict.UNKNOWN),  # it does so at rest, too
        # by the clock, perhaps
        (replace(LINE, outside_requests=1.0, holds=2, hold_seconds=0.3), False, Verdict.UNKNOWN),
        # most of the time, and never at rest
        (
            replace(LINE, outside_requests=1.0, holds=2, hold_seconds=1.5),
            False,
            Verdict.LOOP_BLOCKED,
        ),
    ],
)
def test_what_no_request_has_set_going_is_not_the_routes_fault(
    line: Culprit,
    restless: bool,  # noqa: FBT001 - a column
    verdict: Verdict,
) -> None:
    """A background task may hold the loop during requests; a task of a request is its own fault."""
    places = frozenset([(line.file, line.line)] if restless else [])
    blocked = replace(
        exam(0.1, look(8, 9.9, loop=0.78)),
        loop_holds=LoopHolds(1.0, 0.0, (line,)),
        idle_hold_places=places,
    )
    assert verdict is evaluate_rules(blocked).verdict


@pytest.mark.parametrize(
    ("line", "cpu_while_late", "verdict"),
    [
        (LINE, 0.1, Verdict.LOOP_BLOCKED),
        (LINE, 0.9, Verdict.LOOP_BUSY),
        # three users in turn
        (replace(LINE, longest=0.03, median=0.02), 0.1, Verdict.SCALES),
        (replace(LINE, holds=1), 0.1, Verdict.SCALES),
        (replace(LINE, outside_requests=1.0), 0.1, Verdict.SCALES),
        # a regex that keeps the GIL: no collection, however seldom
        (replace(LINE, blind=0.95, holds=3), 0.9, Verdict.LOOP_BUSY),
    ],
)
def test_what_holds_the_loop_now_and_then_is_found(
    line: Culprit, cpu_while_late: float, verdict: Verdict
) -> None:
    """The neighbours' p90 is calm, and the watchdog saw it."""
    seldom = exam(
        0.1,
        look(8, 80),
        look(64, 620),
        loop_holds=LoopHolds(1.0, 0.0, (line,)),
        cpu_while_late=cpu_while_late,
        watched_requests=200,
    )
    assert verdict is evaluate_rules(seldom).verdict


@pytest.mark.parametrize(
    ("collected", "sentences"),
    [(0.02, []), (0.2, ["Garbage collections hold its loop for another 10 % of the time"])],
)
def test_what_the_garbage_collector_takes_is_said_and_accuses_nobody(
    collected: float, sentences: list[str]
) -> None:
    """Where it is a part of the time that counts."""
    healthy = exam(0.1, look(8, 80), look(64, 620), loop_holds=LoopHolds(0.0, 0.0, (), collected))
    assert Verdict.SCALES is evaluate_rules(healthy).verdict
    assert sentences == [sentence.partition(":")[0] for sentence in gc_sentences(healthy)]


def test_the_watchdogs_own_cpu_is_not_taken_for_the_apps() -> None:
    """A route that sleeps 12 ms and computes 6 uses 0.35 of a core; with the watchdog 0.53."""
    assert computing_share(0.53, 0.35, 1.5, 1.3) == pytest.approx(0.404, abs=0.001)
    assert computing_share(0.53, None, 1.5, 1.3) == pytest.approx(0.612, abs=0.001)
    assert computing_share(None, 0.35, 1.5, 1.3) is None
    assert computing_share(0.53, 0.35, 1.5, 0.0) is None
