"""The plan: what is sent, when, and whether it fits the time."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from results.errors import AtonceError, ExitCode
from results.schema import ArrivalDistribution, Scenario, Variant, base_variant, is_experiment
from scenarios.generator.arrivals import arrival_times
from scenarios.plans.model import (
    CROWD_LEVELS,
    REPORT_TIME,
    TIME_BUDGET,
    Plan,
    Session,
    expected_concurrency,
    outline_plan,
    quick_plan,
)
from scenarios.plans.reproduce import expand_plan
from scenarios.runner import preflight
from scenarios.runner.supervise import describe_cell, session_progress


def levels(plan: Plan, variant: str) -> list[int]:
    """The crowds of one variant."""
    return [
        cell.users
        for cell in plan.cells
        if cell.variant == variant and cell.scenario is Scenario.CROWD
    ]


def test_the_quick_plan_has_the_promised_levels_and_fits() -> None:
    """1, 8, 16, 32 on the broken route, up to 64 elsewhere, in less than two minutes."""
    plan = quick_plan(0.1)
    assert {variant: list(sizes) for variant, sizes in CROWD_LEVELS.items()} == {
        variant: levels(plan, variant) for variant in CROWD_LEVELS
    }
    assert plan.estimate() <= TIME_BUDGET
    assert plan.notes == ()


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.3, 0.5])
def test_other_waits_shrink_the_crowds_that_queue_until_they_fit(seconds: float) -> None:
    """Only those: a crowd without a queue costs no time. Each shrunk crowd is named."""
    plan = quick_plan(seconds)
    assert plan.estimate() <= TIME_BUDGET
    assert levels(plan, Variant.BROKEN_ASYNC)[0] == 1
    for variant in CROWD_LEVELS:
        assert levels(plan, variant) == sorted(set(levels(plan, variant)))
        shrunk = levels(plan, variant)[-1] < CROWD_LEVELS[variant][-1]
        assert shrunk == any(note.startswith(f"{variant}:") for note in plan.notes)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "out of range"),
        (-1.0, "out of range"),
        (float("nan"), "out of range"),
        (6.0, "out of range"),
        (0.01, "too short"),
        (3.0, "about .* s, and the limit is 120 s"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(seconds: float, words: str) -> None:
    """A usage error with the estimate, before anything starts."""
    with pytest.raises(AtonceError, match=words) as caught:
        quick_plan(seconds)
    assert caught.value.code == ExitCode.USAGE


def test_neighbours_are_asked_often_enough_for_a_p90() -> None:
    """At least 100 pings each, idle and at the top level, by the schedule of the default seed."""
    cells = [cell for cell in quick_plan(0.1).cells if cell.neighbours]
    assert 1 + len(CROWD_LEVELS) == len(cells)
    for cell in cells:
        for ping in cell.neighbours:
            profile = ((cell.warm_up + cell.window, ping.rate, ping.rate),)
            times = arrival_times(profile, ArrivalDistribution.POISSON, f"1/{ping.kind}")
            assert len([t for t in times if t > cell.warm_up]) >= 100
            assert 20 <= ping.rate <= 40


def test_repeats_take_turns_and_nothing_of_them_collides() -> None:
    """Broken, to-thread, sync, async, and again, each with its own server, spool, cells, budget."""
    once, plan = quick_plan(0.1), expand_plan(quick_plan(0.1), 3, full=False)
    assert [act.variant for act in plan.sessions] == [act.variant for act in once.sessions] * 3
    assert [act.name for act in plan.sessions[3:6]] == ["async", "broken-async~2", "to-thread~2"]
    names = [cell.name for cell in plan.cells] + [
        cell.neighbour_cell_name for cell in plan.cells if cell.neighbours and cell.users
    ]
    assert len(names) == len(set(names))
    assert "crowd/broken-async/32~2" in names
    assert plan.estimate() - REPORT_TIME == pytest.approx(3 * (once.estimate() - REPORT_TIME))
    assert {
        cell.server for act in plan.sessions for cell in act.cells if cell.variant == act.variant
    } == {act.name for act in plan.sessions}
    assert "all of it 3 times" in "\n".join(outline_plan(plan))


def test_the_full_plan_adds_open_loads_and_the_frozen_route_on_both_loops() -> None:
    """7/10 of each capacity; four experiments, each on its loop; in 25 minutes, said before."""
    plan = expand_plan(quick_plan(0.1), 1, full=True)
    open_ = {cell.variant: cell.arrivals.profile[0][1] for cell in plan.cells if cell.arrivals}
    assert open_ == {
        "broken-async": 7.0,
        "to-thread": pytest.approx(7.0 * expected_concurrency("to-thread")),
        "sync": 280.0,
        "async": 50.0,
    }
    experiments = {act.variant: (act.loop, act.cells[-1].cold) for act in plan.sessions if act.loop}
    assert experiments == {
        "broken-async asyncio warm": ("asyncio", False),
        "broken-async asyncio cold": ("asyncio", True),
        "broken-async uvloop warm": ("uvloop", False),
        "broken-async uvloop cold": ("uvloop", True),
    }
    assert all(
        is_experiment(name) and base_variant(name) == Variant.BROKEN_ASYNC for name in experiments
    )
    assert not any(map(is_experiment, [*Variant, "GET /x", "GET /broken-async"]))
    assert {(cell.route, cell.path) for act in plan.sessions if act.loop for cell in act.cells} == {
        ("GET /broken-async", "/broken-async?seconds=0.05")
    }
    assert TIME_BUDGET < plan.estimate() < 1500


def test_a_plan_of_questions_alone_has_an_outline() -> None:
    """No cell, so nothing that could go on for longer than planned."""
    lines = list(
        outline_plan(Plan(0.0, (Session("pitfalls", 0.0, (), extra_requests=("/pitfall",)),), ()))
    )
    assert lines[1] == "requests of pitfalls: /pitfall"
    assert "round" not in " ".join(lines)


def test_progress_never_goes_back_and_names_the_cell() -> None:
    """Planned seconds of the cells before, plus the running cell's, at most its plan."""
    act = quick_plan(0.1).sessions[0]
    names = [cell.name for cell in act.cells]
    starts = [session_progress(act, name, 0.0)[1] for name in names]
    assert starts == sorted(starts)
    assert session_progress(act, names[1], 1e9)[1] == pytest.approx(starts[2])
    assert (
        session_progress(act, "crowd/broken-async/8", 0.0)[0]
        == "GET /broken-async: a crowd of 8 users"
    )
    assert "with both neighbours" in describe_cell(act.cells[-3])


@contextmanager
def answering(body: str) -> Iterator[str]:
    """A server that waits 0.1 s and gives every client the same answer; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.1)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        # As the base class names it
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_variants_must_answer_alike() -> None:
    """Different bodies are different work: nothing fair can be compared, and nothing is loaded."""
    cells = [
        replace(cell, expects="") for cell in quick_plan(0.1).sessions[0].cells if cell.users == 1
    ]
    with answering('{"waited":0.1}') as url:
        assert preflight.verify_routes(url, cells, None) == '{"waited":0.1}'
        assert preflight.verify_routes(url, cells, '{"waited":0.1}') == '{"waited":0.1}'
        with pytest.raises(AtonceError, match="variants do not answer alike") as trouble:
            preflight.verify_routes(url, cells, '{"waited":0.10}')
    assert trouble.value.code is ExitCode.TARGET


def test_a_route_that_never_answers_is_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """One polite request, a bounded wait, a sentence, exit code 4; nothing is loaded."""
    monkeypatch.setattr(preflight, "TIMEOUT", 0.2)
    cell = next(cell for cell in quick_plan(0.1).cells if cell.users)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(AtonceError, match="did not answer a single request") as trouble,
    ):
        preflight.verify_routes(f"http://127.0.0.1:{silent.getsockname()[1]}", [cell], None)
    assert trouble.value.code is ExitCode.TARGET
