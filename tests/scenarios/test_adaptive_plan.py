"""What the doctor asks next: what the rules still need, within the budget."""

from dataclasses import replace
from typing import Any

import pytest

from results.gate_expression import Gate, parse_gate
from results.judgement.culprit import LoopHolds
from results.judgement.model import LevelEvidence
from results.judgement.rules import evaluate_rules
from results.schema import Cell
from results.unloaded import UnloadedLatency
from results.verdicts import Verdict
from scenarios.doctor.levels import MAX_ROUTE_REQUESTS, idle_neighbours_cell
from tests.support.evidence_factory import (
    LINE,
    PINGS,
    ROUTE,
    SimulatedRoute,
    bedside,
    lone,
    look,
    neighbours,
    silent,
    timed,
)

HOLDER_SEEN = LoopHolds(1.0, 0.0, (LINE,))


def route(service: float, *levels: LevelEvidence, **more: Any) -> SimulatedRoute:
    """A route with levels of known truth."""
    return SimulatedRoute(service, {level.users: level for level in levels}, **more)


STARTLED = replace(look(8, 80), neighbours=neighbours(0.002, longest=0.06))
CASES = [
    ("a pool that still works on what nobody waits for", Verdict.UNKNOWN, ["1", "8", "64"],
     route(0.1, look(8, 80), replace(look(64, 150), unanswered=9))),
    ("awaits", Verdict.SCALES, ["1", "8", "64"], route(0.1, look(8, 80), look(64, 620))),
    ("holds the loop: the few suffice", Verdict.LOOP_BLOCKED, ["1", "8", "8 watched"],
     route(0.1, look(8, 10, loop=0.7), holds=HOLDER_SEEN)),
    ("computes on it: half of its capacity as well", Verdict.LOOP_BUSY,
     ["1", "8", "16.5/s", "8 watched"],
     route(0.03, look(8, 33, loop=0.24, cpu=1.0), half=0.045, holds=HOLDER_SEEN)),
    ("computes on it, and at half harms nobody", Verdict.CPU_BOUND, ["1", "8", "16.5/s"],
     route(0.03, look(8, 33, loop=0.24, cpu=1.0), half=0.018)),
    ("computes 2 ms: many, and no accusation", Verdict.SCALES, ["1", "8", "64"],
     route(0.002, lone(0.0025, cpu=0.8), look(8, 450, loop=0.021, cpu=1.0),
           look(64, 450, loop=0.15, cpu=1.0))),
    ("holds it 2 ms and waits: many show it", Verdict.LOOP_BLOCKED,
     ["1", "8", "64", "64 watched"],
     route(0.0025, look(8, 450, loop=0.016), look(64, 450, loop=0.15), holds=HOLDER_SEEN)),
    ("waits 8 ms on the loop and computes 9", Verdict.LOOP_BLOCKED, ["1", "8", "8 watched"],
     route(0.0175, timed(lone(0.0175, cpu=0.53), 0.0175), look(8, 58, loop=0.04, cpu=0.53),
           holds=HOLDER_SEEN)),
    ("computes 1 ms on a core that it has for a part: no second look", Verdict.SCALES,
     ["1", "8", "64"],
     route(0.0015, timed(lone(0.0015, cpu=0.6), 0.0015), look(8, 650, loop=0.009, cpu=0.65),
           timed(look(64, 650, loop=0.09, cpu=0.65), 0.03, 0.068))),
    ("a pool of fifteen: once more in between", Verdict.POOL_LIMITED, ["1", "8", "64", "21"],
     route(0.1, look(8, 80), look(21, 150), look(64, 150))),
    ("a pool of as many as the few are", Verdict.POOL_LIMITED, ["1", "8", "64", "16"],
     route(0.1, look(8, 79), look(16, 80), look(64, 80))),
    ("a lock: the few have shown the plateau", Verdict.POOL_LIMITED, ["1", "8", "64"],
     route(0.1, look(8, 10), look(64, 10))),
    ("awaits for long, then computes: many show it, and half of their load", Verdict.LOOP_BUSY,
     ["1", "8", "64", "24/s", "64 watched"],
     route(1.0, look(8, 8), look(64, 48, loop=0.4, cpu=1.0, loop_cpu=0.9), half=0.3, holds=HOLDER_SEEN)),
    ("startles a neighbour now and then", Verdict.LOOP_BLOCKED,
     ["1", "8", "64", "8 watched"],
     route(0.1, STARTLED, look(64, 620), holds=HOLDER_SEEN)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "asked", "truth"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_what_is_asked_next(verdict: Verdict, asked: list[str], truth: SimulatedRoute) -> None:
    """Clear results end early; only doubt costs more."""
    assert asked == truth.examine()
    result = evaluate_rules(truth.observe())
    assert (verdict, None) == (result.verdict, result.needs), result.reason


@pytest.mark.parametrize(
    ("gate", "asked"),
    [
        ("p99(GET /x) @ 16u < 250ms", ["16"]),
        ("p99(GET /x) @ 50/s < 250ms", ["50/s"]),
        ("p50(GET /x) @ 8u < 250ms", []),  # the few were 400 already
        ("served_at_once(GET /x) >= 20", []),
        ("p99(GET /other) @ 16u < 250ms", []),
    ],
)
def test_a_gates_level_is_run_with_as_many_requests_as_it_takes(
    gate: str, asked: list[str]
) -> None:
    """1,000 requests for a p99, at the level's own rate."""
    truth = route(0.1, look(8, 80), look(64, 620))
    assert ["1", "8", "64", *asked] == truth.examine(gates=(parse_gate(gate),))
    for cell in truth.cells[3:]:
        rate = cell.arrivals.profile[0][1] if cell.arrivals else cell.users / 0.1
        assert cell.window * rate >= 1000


@pytest.mark.parametrize("service", [0.0005, 0.02, 0.1, 1.0, 5.0])
def test_the_load_is_bounded_by_users_and_requests_and_fits_one_generator(service: float) -> None:
    """Never by a rate that could be taken for a pool: the pause is think time, and reported."""
    for cell in (
        bedside(service).single_user_cell(),
        bedside(service).few_users_cell(),
        bedside(service).many_users_cell(None),
    ):
        assert cell.users <= 64
        assert 5 * cell.most <= MAX_ROUTE_REQUESTS
        assert cell.users / (service + cell.think) <= 1501
        assert cell.think == 0 or service < 0.05
        # it then goes on until the second round of all users ends
        assert cell.window >= 1.9 * (service + cell.think)
        assert cell.longest >= 2 * (service + cell.think)


def test_a_plateau_that_the_few_have_shown_gives_many_two_rounds() -> None:
    """64 users at 16 requests/s take 4 s a round; two rounds of a minute are not waited for."""
    many, slow = bedside(0.06).many_users_cell(16.0), bedside(1.0).many_users_cell(1.0)
    assert (many.window, many.warm_up, many.longest) == (7.6, 2.0, 12.0)
    assert (slow.window, slow.warm_up) == (12.0, 6.0)
    assert all(ping.rate * many.window >= 100 for ping in many.neighbours)


def test_a_plateau_is_not_silent_before_a_round_has_passed() -> None:
    """Where a request queues twice for one place, the first answer comes with the last: 4 s."""
    planner = bedside(0.06)
    assert planner.many_users_cell(None).patience == 2.0
    assert planner.many_users_cell(16.0).patience == 1.5 * 64 / 16
    assert planner.middle_cell(20, 16.0).patience == 2.0
    assert planner.middle_cell(40, 16.0).patience == 1.5 * 40 / 16
    assert planner.burst_cell(16.0).patience == 1.5 * 64 / 16
    assert planner.profile_cell(64, is_silent=False).patience == 0.0
    assert planner.profile_cell(64, is_silent=True).patience == 2.0


def test_neighbours_are_asked_often_enough_for_a_p90_unless_they_cost_the_app() -> None:
    """Two at ten a second take most of an app whose middleware holds the loop for 40 ms."""
    often, seldom = bedside(0.1).few_users_cell(), bedside(0.1, ping_cost=0.04).few_users_cell()
    assert all(ping.rate * often.window >= 100 for ping in often.neighbours)
    assert all(ping.rate <= 0.05 / 0.04 for ping in seldom.neighbours)
    assert all(
        ping.rate * idle_neighbours_cell(PINGS, 40.0).window >= 100
        for ping in idle_neighbours_cell(PINGS, 40.0).neighbours
    )


@pytest.mark.parametrize(
    ("refused", "asked"),
    [({64}, ["1", "8"]), ({16}, ["1", "8", "64"]), (set(), ["1", "8", "64", "16"])],
)
def test_what_would_end_beyond_the_budget_is_not_begun(refused: set[int], asked: list[str]) -> None:
    """A pool of eight takes 64 users and a level in between to see; each asks for leave first."""
    truth = route(0.1, look(8, 79), look(64, 80))
    assert asked == truth.examine(lambda cell, _: cell.users not in refused)


def test_answers_too_large_to_be_loaded_so_often_are_not() -> None:
    """Eight answers of 60 MB at once, with pauses; of 100 MB not even eight, nor for a gate."""
    reasons: list[str] = []

    def levels(size: int, gates: tuple[Gate, ...] = ()) -> list[Cell]:
        planner = bedside(0.05, answer_bytes=size)
        think = planner.few_users_cell().think

        def fits(cell: Cell, _: bool) -> bool:  # noqa: FBT001
            reasons.extend(filter(None, [planner.why_too_large(cell)]))
            return not planner.why_too_large(cell)

        few = look(8, 8 / (0.05 + think), think=think)
        truth = route(0.05, few, look(64, 64 / 0.05))
        truth.examine(fits, gates, answer_bytes=size)
        return truth.cells

    asked = levels(
        60_000_000, (parse_gate("p99(GET /x) @ 64u < 1s"), parse_gate("p99(GET /x) @ 4u < 1s"))
    )
    assert [cell.users for cell in asked] == [1, 8, 4]
    assert all(cell.users * 60e6 / (0.05 + cell.think) <= 500e6 for cell in asked if cell.think)
    assert reasons == [
        "its answer of 60 MB is too large to load 64 times at once: at most 8, or 512 MB"
    ]
    assert [cell.users for cell in levels(1000)] == [1, 8, 64]
    half = bedside(0.05, answer_bytes=60_000_000).half_capacity_cell(5.0)
    assert half.arrivals
    assert half.arrivals.cap == 8
    larger = bedside(0.05, answer_bytes=100_000_000)
    assert larger.why_too_large(larger.single_user_cell(), larger.few_users_cell()) is not None


def test_a_pool_is_looked_at_once_where_its_requests_wait() -> None:
    """At its largest level, or the first that fell silent; a route that scales is not."""
    pool = route(0.1, look(8, 80), look(21, 100), look(64, 100), facts={"waits": None})
    pool.examine()
    assert [(cell.users, cell.name) for cell in pool.cells if cell.profiled] == [
        (64, f"crowd/{ROUTE}/64 profiled")
    ]
    stuck = route(0.1, look(8, 80), silent(64, threads=40.0), facts={"waits": None})
    stuck.examine()
    assert [cell.users for cell in stuck.cells if cell.profiled] == [64]
    calm = route(0.1, look(8, 80), look(64, 630), facts={"waits": None})
    calm.examine()
    assert not any(cell.profiled for cell in calm.cells)


def test_no_two_cells_of_a_route_share_a_name() -> None:
    """A repeated cell name breaks the report: own levels, gates' levels, repeats, the watchdog."""
    gates = tuple(
        map(
            parse_gate,
            (
                "p99(GET /x) @ 8u < 1s",
                "p99(GET /x) < 1s",
                "errors(GET /x) @ 64u < 1%",
                "p99 @ 16u < 1s",
                "p99 @ 50/s < 1s",
            ),
        )
    )
    vague = UnloadedLatency(0.1, 0.05, 0.15, 0.15)
    truth = route(0.1, STARTLED, look(64, 80), unloaded=(vague,))
    truth.examine(gates=gates)
    names = [cell.name for cell in truth.cells]
    assert {cell.repeat for cell in truth.cells if cell.users == 1} == {1, 3, 4}
    assert sum(cell.watched for cell in truth.cells) > 1
    assert len(set(names)) == len(names)
    asides = [cell.neighbour_cell_name for cell in truth.cells if cell.neighbours]
    assert len(set(asides)) == len(asides)
