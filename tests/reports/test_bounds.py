"""What an examination says without full evidence: bounds, excluded verdicts, neighbours."""

from dataclasses import replace
from typing import Any

import pytest

from reports.gates.evaluate import evaluate_gate
from reports.metrics.model import CrowdMetrics, NeighbourMetrics, RouteMetrics
from reports.render.ci import step_summary
from reports.render.doctor_table import DOCTOR_COLUMNS
from reports.render.summary import route_entry
from reports.stats.quantiles import Estimate
from reports.verdicts.diagnosis import Diagnosis, Finding
from results.formatting import format_seconds
from results.gate_expression import parse_gate
from results.judgement.model import LevelEvidence, NeighbourEffect, RouteEvidence
from results.judgement.rules import evaluate_rules
from results.run_info import RouteRecord
from results.verdicts import Verdict
from tests.support.evidence_factory import (
    IDLE,
    NOBODY,
    ROUTE_HOLDS,
    SimulatedRoute,
    exam,
    lone,
    look,
    neighbours,
)
from tests.support.summary_factory import route, run

REFUSES = {8: (40, 400, "status 429")}


def shown(effects: dict[str, NeighbourEffect]) -> dict[str, NeighbourMetrics]:
    """The neighbours as the report shows them."""
    return {
        kind: NeighbourMetrics(kind, estimate(it.idle), estimate(it.loaded), 130, 130, None)
        for kind, it in effects.items()
    }


def estimate(seconds: float | None) -> Estimate | None:
    """A p90 without doubt."""
    return None if seconds is None else Estimate(seconds, seconds)


def case_of(seen: RouteEvidence) -> Diagnosis:
    """The route as its rules judge it."""
    neighbours: dict[int | None, dict[str, NeighbourMetrics]] = {
        users: shown(level.neighbours) for users, level in seen.levels.items()
    }
    if seen.half_neighbours:
        neighbours[None] = shown(seen.half_neighbours)
    return Diagnosis(
        route=metrics_of(seen),
        evidence=seen,
        rule_result=evaluate_rules(seen),
        culprits=(),
        remedy=None,
        neighbours=neighbours,
    )


def metrics_of(seen: RouteEvidence) -> RouteMetrics:
    """The numbers of the route that the report shows."""
    empty: dict[str, Any] = dict.fromkeys(
        ("unloaded_interval", "expected_concurrency", "mechanism", "executor_size")
    )
    return RouteMetrics(
        route="GET /x", variant="GET /x", unloaded_mean=seen.unloaded.mean,
        levels=tuple(map(crowd_of, seen.levels.values())), open_loads=(), bursts=(),
        neighbours={}, restarts={}, **empty,
    )  # fmt: skip


def crowd_of(level: LevelEvidence) -> CrowdMetrics:
    """The numbers of a level."""
    empty: dict[str, Any] = dict.fromkeys(
        (
            "little",
            "predicted_mean",
            "cpu",
            "threads_waiting",
            "executor_queue",
            "stationarity",
            "breakdown",
        )
    )
    mean, count = Estimate(level.mean, level.mean), level.completed
    return CrowdMetrics(
        cell=f"crowd/GET /x/{level.users}", users=level.users, repeat=1, seconds=level.seconds,
        count=count, throughput=level.rate, completed=count, unfinished=0, errors=0, mean=mean,
        quantiles={}, longest=mean, starved_users=0, app_quantiles={}, **empty,
    )  # fmt: skip


def finding_of(seen: RouteEvidence) -> Finding:
    """The finding of the route."""
    diagnosis = case_of(seen)
    return Finding(diagnosis.route, diagnosis.rule_result.verdict, "", "", diagnosis)


def doctor_cell(title: str, seen: RouteEvidence) -> str:
    """A cell of the route's row in the terminal."""
    column = next(column for column in DOCTOR_COLUMNS if column.title == title)
    return column.cell((finding_of(seen), case_of(seen)))


def entry_of(seen: RouteEvidence) -> dict[str, Any]:
    """The route's entry in the summary."""
    return route_entry(finding_of(seen))


@pytest.mark.parametrize(
    ("what", "seen", "excluded"),
    [
        ("a plateau that was seen once only", exam(0.1, look(8, 80), look(64, 100)), True),
        ("it refuses a few", exam(0.1, look(8, 80), faults=REFUSES), True),
        (
            "it refuses a few, whose neighbour suffers",
            exam(0.1, look(8, 9.9, loop=0.8), faults=REFUSES),
            False,
        ),
        (
            "harm, and nobody seen holding",
            exam(0.1, look(8, 80), look(64, 350, loop=0.06), loop_holds=NOBODY),
            False,
        ),
        (
            "no time for the many",
            exam(0.1, look(8, 80), entry=RouteRecord(route="GET /x", unmeasured="no time")),
            False,
        ),
        (
            "no time for the watchdog",
            exam(
                0.1,
                look(8, 80),
                look(64, 100),
                entry=RouteRecord(route="GET /x", unmeasured="no time"),
            ),
            False,
        ),
        ("the many were cut off", exam(0.1, look(8, 60)), False),
    ],
)
def test_calm_neighbours_exclude_that_an_unknown_route_holds_the_loop(
    what: str, seen: RouteEvidence, *, excluded: bool
) -> None:
    """Only after a complete examination; a route that delays neighbours may be anything."""
    diagnosis = case_of(seen)
    assert diagnosis.rule_result.verdict is Verdict.UNKNOWN, what
    assert diagnosis.excluded_verdicts == (
        (Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY) if excluded else ()
    ), what


def test_without_neighbours_nothing_is_excluded() -> None:
    """No neighbour could be delayed; a known verdict excludes nothing either."""
    alone: dict[str, Any] = {"neighbours": {}}
    blind = exam(0.1, *(replace(level, **alone) for level in (look(8, 80), look(64, 100))))
    assert case_of(blind).rule_result.verdict is Verdict.UNKNOWN
    assert case_of(blind).excluded_verdicts == ()
    assert (
        case_of(exam(0.1, look(8, 80), look(64, 620), loop_holds=ROUTE_HOLDS)).excluded_verdicts
        == ()
    )


PAUSES = 64 / 1500 - 0.008  # seconds, of each of 64 users: together they ask at most 1,500/s
BOUNDS = [
    ("awaits", exam(0.1, look(8, 80), look(64, 620)), ">= 62"),
    ("awaits, and its rate came out high", exam(0.1, look(8, 80), look(64, 655)), ">= 64"),
    (
        "awaits 8 ms, and its users pause",
        exam(0.008, look(8, 900), look(64, 1490, think=PAUSES)),
        ">= 11.9",
    ),
    (
        "fills the core long before its users pause",
        exam(0.027, look(8, 37, cpu=1.0), look(64, 37, cpu=1.0, think=0.015)),
        "0.999",
    ),
    (
        "computes, and its core is full",
        exam(0.0091, look(8, 107, cpu=1.0), look(64, 107, cpu=1.0)),
        "0.974",
    ),
    ("a semaphore of ten", exam(0.1, look(8, 80), look(16, 100), look(64, 100)), "10"),
    ("a plateau that was seen once only", exam(0.1, look(8, 80), look(64, 100)), "10"),
]


@pytest.mark.parametrize(("what", "seen", "served"), BOUNDS, ids=[row[0] for row in BOUNDS])
def test_what_nobody_waited_for_is_a_bound_in_summary_and_table(
    what: str, seen: RouteEvidence, served: str
) -> None:
    """`>=` where nothing queued, at most the number of users; a number where requests waited."""
    assert doctor_cell("served at once", seen) == served
    entry = entry_of(seen)
    assert entry["is_bound"] is served.startswith(">="), what
    assert entry["served_at_once"] == pytest.approx(float(served.removeprefix(">= ")), rel=0.01)


def test_levels_of_gates_beyond_the_many_are_judged_by_themselves() -> None:
    """With 64 nothing queues; that 100 fill a pool of 80 is no bound."""
    seen = exam(0.1, look(8, 80), look(64, 630), look(100, 800))
    assert case_of(seen).rule_result.is_lower_bound
    assert not case_of(seen).is_lower_bound


BCRYPT = look(64, 37, cpu=1.0, loop=0.161, loop_cpu=0.02)
AT_HALF: dict[str, Any] = {"half_neighbours": neighbours(0.018), "half_rate": 18.5}


@pytest.mark.parametrize(
    ("what", "seen", "p90", "at"),
    [
        (
            "nothing queues: beside the many",
            exam(0.1, look(8, 80), look(64, 620, loop=0.004)),
            0.004,
            {"users": 64},
        ),
        (
            "it fills the core: at half of its capacity",
            exam(0.027, look(8, 37, cpu=1.0, loop=0.009, loop_cpu=0.02), BCRYPT, **AT_HALF),
            0.018,
            {"rate_rps": 18.5},
        ),
        (
            "the few leave room",
            exam(0.002, look(8, 300, cpu=0.6, loop=0.005), look(64, 480, cpu=1.0, loop=0.161)),
            0.005,
            {"users": 8},
        ),
        (
            "half is not known, so neither is the verdict",
            exam(0.027, look(8, 30, cpu=0.6, loop=0.005), BCRYPT),
            0.161,
            {"users": 64},
        ),
        (
            "they leave none, and half was not asked",
            exam(
                0.009,
                look(8, 107, cpu=1.0, loop=0.07, loop_cpu=0.99),
                look(64, 96, cpu=1.0, loop=0.44, loop_cpu=0.99),
            ),
            0.44,
            {"users": 64},
        ),
        ("it holds the loop", exam(0.1, look(8, 9.9, loop=0.78)), 0.78, {"users": 8}),
        (
            "it computes on the loop, and harms at half as well",
            exam(
                0.03,
                look(8, 33, cpu=1.0, loop=0.24, loop_cpu=0.98),
                half_neighbours=neighbours(0.045),
                half_rate=16.5,
            ),
            0.24,
            {"users": 8},
        ),
    ],
)
def test_gate_table_and_step_summary_read_the_neighbour_that_the_verdict_reads(
    what: str, seen: RouteEvidence, p90: float, at: dict[str, float]
) -> None:
    """A healthy route that fills the core delays all neighbours: that is not its fault."""
    entry = entry_of(seen)
    assert (entry["neighbours"]["async"]["loaded_p90_s"], entry["neighbours_at"]) == (p90, at), what
    result = evaluate_gate(parse_gate("neighbour_p90 < 50ms"), run(route(**entry)))
    level = f"{at['users']}u" if "users" in at else f"{at['rate_rps']:g}/s"
    if "not asked" in what:  # it may do less harm on a core that is not full
        assert result.holds is None
        assert result.words.startswith(
            f"neighbour_p90(GET /x) @ {level} between 0 ms and {format_seconds(p90)}"
        )
    else:
        assert result.holds is (p90 < 0.05), what
        assert result.words.startswith(f"neighbour_p90(GET /x) @ {level} = {format_seconds(p90)}")
    assert seen.top
    shown = f"{format_seconds(IDLE).removesuffix(' ms')} -> {format_seconds(p90)}"
    assert doctor_cell("neighbour p90", seen) == shown + (
        "" if at == {"users": seen.top.users} else f" @ {level}"
    ), what
    rows = step_summary(run(route(**entry)))
    assert (
        f"{format_seconds(IDLE)} to {format_seconds(p90)} @ {level}".replace("@", "&#64;") in rows
    )


def test_the_neighbour_that_suffers_more_is_shown_and_named() -> None:
    """A full thread pool delays the `def` neighbour only: the gate fails, the table says why."""
    both = {
        **look(64, 398).neighbours,
        "def": NeighbourEffect(idle=IDLE, loaded=0.161),
    }
    pool = replace(look(64, 398, threads_waiting=24.0, threads=40.0), neighbours=both)
    seen = exam(0.1, look(8, 80), pool, alone=0.97)
    data = run(route(**entry_of(seen)))
    assert evaluate_gate(parse_gate("neighbour_p90 < 50ms"), data).actual == 0.161
    assert doctor_cell("neighbour p90", seen) == "1.50 -> 161 ms (def)"
    assert "1.50 ms to 161 ms &#64; 64u (def)" in step_summary(data)


@pytest.mark.parametrize(
    ("gate", "cpu", "asked"),
    [
        ("neighbour_p90 < 50ms", 0.9, ["1", "8", "64", "230/s"]),
        ("neighbour_ratio(GET /x) < 5x", 0.9, ["1", "8", "64", "230/s"]),
        ("neighbour_p90(GET /other) < 50ms", 0.9, ["1", "8", "64"]),
        ("neighbour_p90 < 50ms", 0.6, ["1", "8", "64"]),
        ("served_at_once >= 20", 0.9, ["1", "8", "64"]),
    ],
)
def test_a_gate_on_neighbours_has_them_asked_at_half_where_the_core_is_full(
    gate: str, cpu: float, asked: list[str]
) -> None:
    """The level that the gate reads is measured, and only where it is needed."""
    levels = {1: lone(0.0025, cpu=0.4), 8: look(8, 450, cpu=cpu), 64: look(64, 460, cpu=cpu)}
    assert asked == SimulatedRoute(0.0025, levels).examine(gates=(parse_gate(gate),))
