"""What the doctor asks next, given what it has seen; how it reads a level's interim stats."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.gate_expression import Gate, parse_gate
from results.run_info import RouteRecord
from results.schema import Cell, Neighbour, Scenario
from results.store import RunWriter
from scenarios.doctor import adaptive_plan
from scenarios.doctor.interim import InterimStats, read_interim_stats
from scenarios.doctor.levels import MAX_ROUTE_REQUESTS, LevelPlanner, idle_neighbours_cell

IDLE = {"async": 0.0015, "def": 0.002}
PINGS = tuple(
    Neighbour(
        kind=kind,
        route=f"GET /_atonce/{kind}",
        path=f"/_atonce-x/{kind}",
        expects="",
        rate=0.0,
        connections=0,
    )
    for kind in ("async", "def")
)


def bedside(service: float, patience: float = 0.0) -> LevelPlanner:
    """A route that takes so many seconds when asked politely."""
    return LevelPlanner(
        session="route-01",
        route="GET /x",
        path="/x",
        service_time=service,
        neighbours=PINGS,
        ping_cost=patience,
    )


def seen(  # noqa: PLR0913 - what a level may show
    cell: Cell,
    rate: float,
    *,
    cpu: float = 0.1,
    ping: float = 0.0015,
    median: float | None = None,
    left: int = 0,
    latencies: Sequence[float] = (),
) -> InterimStats:
    """Interim stats of a cell: by default what a closed loop of that rate must feel."""
    median = median or cell.users / rate - cell.think
    pings = {"async": [ping] * 100, "def": [ping] * 100}
    return InterimStats(
        users=cell.users,
        think_time=cell.think,
        rate=rate,
        latencies=latencies or [median] * 100,
        cpu_cores=cpu,
        pings=pings,
        failures=0,
        successes=round(rate),
        requests_sent=round(rate),
        abandoned=left,
    )


def planned(planner: LevelPlanner, *more: Any) -> adaptive_plan.AdaptivePlan:
    """The plan of an app that is not ours, so that nothing is watched."""
    run, record = RunWriter(Path(), "doctor"), RouteRecord(route=planner.route)
    return adaptive_plan.AdaptivePlan(run, record, planner, *more)


@pytest.mark.parametrize(
    ("name", "service", "levels", "asked", "holding"),
    [
        ("a pool that still works on what nobody waits for", 0.1,
         {1: (10, {}), 8: (80, {}), 64: (150, {"left": 9})}, ["1", "8", "64"], []),
        ("awaits", 0.1, {1: (10, {}), 8: (80, {}), 64: (620, {})}, ["1", "8", "64"], []),
        ("holds the loop: the few suffice", 0.1,
         {1: (10, {}), 8: (10, {"ping": 0.7})}, ["1", "8"], [0.1]),
        ("computes on it: half of its capacity as well", 0.03,
         {1: (33, {"median": 0.03}), 8: (33, {"ping": 0.24, "cpu": 1.0})},
         ["1", "8", "16.5/s"], [0.0303]),
        ("computes 2 ms: many, and no accusation", 0.002,
         {1: (400, {"median": 0.002}), 8: (450, {"ping": 0.021, "cpu": 1.0}),
          64: (450, {"ping": 0.15, "cpu": 1.0})}, ["1", "8", "64"], []),
        ("holds it 2 ms and waits: many show it", 0.002,
         {1: (400, {"median": 0.002}), 8: (450, {"ping": 0.016}), 64: (450, {"ping": 0.15})},
         ["1", "8", "64"], [0.0022]),
        ("waits 8 ms on the loop and computes 9", 0.017,
         {1: (59, {"median": 0.0175, "cpu": 0.53}), 8: (58, {"ping": 0.04, "cpu": 0.53}),
          64: (58, {"ping": 1.0, "cpu": 0.53})}, ["1", "8", "64"], [0.0175]),
        ("computes 1 ms on a core that it has for a part: no second look", 0.0015,
         {1: (600, {"median": 0.0015, "cpu": 0.6}), 8: (650, {"ping": 0.009, "cpu": 0.65}),
          64: (650, {"ping": 0.09, "cpu": 0.65})}, ["1", "8", "64"], []),
        ("a pool of fifteen: once more in between", 0.1,
         {1: (10, {}), 8: (80, {}), 64: (150, {})}, ["1", "8", "64", "21"], []),
        ("a pool of as many as the few are", 0.1,
         {1: (10, {}), 8: (79, {}), 64: (80, {})}, ["1", "8", "64", "16"], []),
        ("a lock: the few have shown the plateau", 0.1,
         {1: (10, {}), 8: (10, {}), 64: (10, {})}, ["1", "8", "64"], []),
        ("awaits for long, then computes: many show it, and half of their load", 1.0,
         {1: (1, {"median": 1.0}), 8: (8, {}), 64: (48, {"ping": 0.4, "cpu": 1.0})},
         ["1", "8", "64", "24/s"], [0.0208]),
        ("startles a neighbour now and then", 0.1,
         {1: (10, {}), 8: (80, {"ping": 0.06}), 64: (620, {})}, ["1", "8", "64"], [0.1]),
    ],
)  # fmt: skip
def test_what_is_asked_next(  # noqa: PLR0913, PLR0917 - a row of the table
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    service: float,
    levels: dict[int, tuple[float, dict[str, Any]]],
    asked: list[str],
    holding: list[float],
) -> None:
    """Clear results end early; only doubt costs more."""
    # Startled, its p90 is still calm for its idle value
    idle_ = {**IDLE, "async": 0.02} if "startles" in name else IDLE

    def read_level(_folder: Path, _act: str, cell: Cell) -> InterimStats:
        rate, more = levels[cell.users if cell.users in levels else 64]
        return seen(cell, rate, **more)

    monkeypatch.setattr(adaptive_plan, "read_interim_stats", read_level)
    plan = planned(bedside(service), idle_, (), lambda *_: True)
    cells = list(itertools.chain.from_iterable(plan.levels()))
    actual = [
        f"{cell.arrivals.profile[0][1]:g}/s" if cell.arrivals else str(cell.users) for cell in cells
    ]
    assert (asked, [round(seconds, 4) for seconds in holding]) == (
        actual,
        [] if plan.hold_time is None else [round(plan.hold_time, 4)],
    ), name


@pytest.mark.parametrize(
    ("gate", "asked"),
    [
        ("p99(GET /x) @ 16u < 250ms", [(16, None)]),
        ("p99(GET /x) @ 50/s < 250ms", [(0, 50.0)]),
        ("p50(GET /x) @ 8u < 250ms", []),  # the few were 80 already
        ("served_at_once(GET /x) >= 20", []),
        ("p99(GET /other) @ 16u < 250ms", []),
    ],
)
def test_a_gates_level_is_run_with_as_many_requests_as_it_takes(
    monkeypatch: pytest.MonkeyPatch, gate: str, asked: list[tuple[int, float | None]]
) -> None:
    """1,000 requests for a p99, at the level's own rate."""
    rates = {1: 10.0, 8: 80.0, 64: 620.0}
    monkeypatch.setattr(
        adaptive_plan,
        "read_interim_stats",
        lambda _folder, _act, cell: seen(cell, rates[cell.users]),
    )
    plan = planned(bedside(0.1), IDLE, (parse_gate(gate),), lambda *_: True)
    cells = list(itertools.chain.from_iterable(plan.levels()))[3:]
    assert asked == [
        (cell.users, cell.arrivals.profile[0][1] if cell.arrivals else None) for cell in cells
    ]
    for cell in cells:
        assert (
            cell.window * (cell.arrivals.profile[0][1] if cell.arrivals else cell.users / 0.1)
            >= 1000
        )


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
        assert cell.window >= 2 * (service + cell.think)


def test_a_plateau_that_the_few_have_shown_gives_many_two_rounds() -> None:
    """64 users at 16 requests/s take 4 s a round; two rounds of a minute are not waited for."""
    many, slow = bedside(0.06).many_users_cell(16.0), bedside(1.0).many_users_cell(1.0)
    assert (many.window, many.warm_up, many.longest) == (7.6, 4.0, 12.0)
    assert (slow.window, slow.warm_up) == (12.0, 6.0)
    assert all(ping.rate * many.window >= 100 for ping in many.neighbours)


def test_neighbours_are_asked_often_enough_for_a_p90_unless_they_cost_the_app() -> None:
    """Two at ten a second take most of an app whose middleware holds the loop for 40 ms."""
    often, seldom = bedside(0.1).few_users_cell(), bedside(0.1, patience=0.04).few_users_cell()
    assert all(ping.rate * often.window >= 100 for ping in often.neighbours)
    assert all(ping.rate <= 0.05 / 0.04 for ping in seldom.neighbours)
    assert all(
        ping.rate * idle_neighbours_cell(PINGS, 40.0).window >= 100
        for ping in idle_neighbours_cell(PINGS, 40.0).neighbours
    )


def test_a_sample_reads_the_spools_of_its_own_session(tmp_path: Path) -> None:
    """Rate, median, pings and CPU of one window; another session's lines are not read."""
    cell = bedside(0.1).few_users_cell()
    for folder in ("samples", "load", "probe"):
        (tmp_path / folder).mkdir()
    write(
        tmp_path / "load" / "route-01-2.jsonl",
        [["mark", cell.name, "open", 10.0, 0, 0.0], ["mark", cell.name, "close", 12.0, 0, 0.0]],
    )
    lines: list[list[Any]] = []
    for i in range(30):
        lines += [
            ["sent", i, cell.name, "steady", "GET /x", "GET /x", 0, 10.05 + i / 20, 10.05 + i / 20]
        ]
        lines += [
            [
                "done",
                i,
                10.15 + i / 20,
                200,
                "status 500" if i == 7 else None,
                2,
                *[None] * 5,
            ]
        ]
    lines += [
        [
            "sent",
            90,
            cell.neighbour_cell_name,
            "steady",
            "GET /_atonce/async",
            "GET /x",
            0,
            11.0,
            11.0,
        ],
        ["given-up", 90, 11.5],
    ]
    write(tmp_path / "samples" / "route-01-2.jsonl", lines)
    write(tmp_path / "samples" / "route-01-1.jsonl", lines[:9])
    cell = replace(cell, on="app-1")
    for name, spent in (("app-1-11.system", 0.5), ("app-12-11.system", 9.0), ("app-1-11", 99.0)):
        looks = [["sample", 10.1, 0, 0, 0, 0, 1.0, 0], ["sample", 11.1, 0, 0, 0, 0, 1.0 + spent, 0]]
        write(tmp_path / "probe" / f"{name}.jsonl", looks)
    stats = read_interim_stats(tmp_path, "route-01", cell)
    assert stats is not None
    assert (stats.rate, stats.failures, stats.cpu_cores) == (14.5, 1, 0.5)
    assert (round(stats.median, 6), stats.neighbour_p90("async")) == (0.1, 0.5)
    assert stats.is_neighbour_slowed("async", IDLE)
    assert read_interim_stats(tmp_path, "route-01", bedside(0.1).many_users_cell(None)) is None
    assert Scenario.CROWD is cell.scenario


def test_a_sample_at_the_idle_app_sees_its_neighbours(tmp_path: Path) -> None:
    """The cell there holds only pings: without them the idle value is unknown."""
    cell = idle_neighbours_cell(PINGS, 40.0)
    for folder in ("samples", "load"):
        (tmp_path / folder).mkdir()
    write(
        tmp_path / "load" / "idle.jsonl",
        [["mark", cell.name, mark, t, 0, 0.0] for mark, t in (("open", 1.0), ("close", 3.0))],
    )
    sent = ["sent", 1, cell.name, "steady", "GET /_atonce/async", "idle", 0, 2.0, 2.0]
    write(
        tmp_path / "samples" / "idle.jsonl",
        [sent, ["done", 1, 2.25, 200, None, 2, None, None, None, None, None]],
    )
    stats = read_interim_stats(tmp_path, "idle", cell)
    assert stats is not None
    assert (stats.neighbour_p90("async"), stats.neighbour_p90("def")) == (0.25, None)


@pytest.mark.parametrize(
    ("refused", "asked"),
    [({64}, ["1", "8"]), ({16}, ["1", "8", "64"]), (set(), ["1", "8", "64", "16"])],
)
def test_what_would_end_beyond_the_budget_is_not_begun(
    monkeypatch: pytest.MonkeyPatch, refused: set[int], asked: list[str]
) -> None:
    """A pool of eight takes 64 users and a level in between to see; each asks for leave first."""
    monkeypatch.setattr(
        adaptive_plan,
        "read_interim_stats",
        lambda _folder, _act, cell: seen(cell, {1: 10.0, 8: 79.0}.get(cell.users, 80.0)),
    )
    plan = planned(bedside(0.1), IDLE, (), lambda cell, _: cell.users not in refused)
    assert asked == [str(cell.users) for cell in itertools.chain.from_iterable(plan.levels())]


def test_answers_too_large_to_be_loaded_so_often_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight answers of 60 MB at once, with pauses; of 100 MB not even eight, nor for a gate."""
    reasons: list[str] = []

    def levels(size: int, gates: tuple[Gate, ...] = ()) -> list[Cell]:
        route = replace(bedside(0.05), answer_bytes=size)

        def fits(cell: Cell, _: bool) -> bool:  # noqa: FBT001
            reasons.extend(filter(None, [route.why_too_large(cell)]))
            return not route.why_too_large(cell)

        plan = planned(route, IDLE, gates, fits)
        return list(itertools.chain.from_iterable(plan.levels()))

    monkeypatch.setattr(
        adaptive_plan,
        "read_interim_stats",
        lambda _folder, _act, cell: seen(cell, cell.users / (0.05 + cell.think)),
    )
    asked = levels(
        60_000_000, (parse_gate("p99(GET /x) @ 64u < 1s"), parse_gate("p99(GET /x) @ 4u < 1s"))
    )
    assert [cell.users for cell in asked] == [1, 8, 4]
    assert all(cell.users * 60e6 / (0.05 + cell.think) <= 500e6 for cell in asked if cell.think)
    assert reasons == [
        "its answer of 60 MB is too large to load 64 times at once: at most 8, or 512 MB"
    ]
    assert [cell.users for cell in levels(1000)] == [1, 8, 64]
    half = replace(bedside(0.05), answer_bytes=60_000_000).half_capacity_cell(5.0)
    assert half.arrivals
    assert half.arrivals.cap == 8
    larger = replace(bedside(0.05), answer_bytes=100_000_000)
    assert larger.why_too_large(larger.single_user_cell(), larger.few_users_cell()) is not None


def write(path: Path, lines: list[list[Any]]) -> None:
    """A spool."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_no_two_cells_of_a_route_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated cell name breaks the report: own levels, gates' levels and the watchdog run."""
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
    monkeypatch.setattr(
        adaptive_plan,
        "read_interim_stats",
        lambda _folder, _act, cell: seen(cell, {1: 10.0, 8: 80.0}.get(cell.users, 80.0)),
    )
    plan = planned(bedside(0.1), IDLE, gates, lambda *_: True)
    cells = list(itertools.chain.from_iterable(plan.levels()))
    names = [cell.name for cell in (*cells, bedside(0.1).watchdog_cell(0.1))]
    assert len(set(names)) == len(names)
    asides = [cell.neighbour_cell_name for cell in cells if cell.neighbours]
    assert len(set(asides)) == len(asides)
