"""The plan: what is sent, when, and whether it fits the time."""

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from results.errors import Exit, Trouble
from results.schema import Law, Scenario, Variant, is_experiment, written
from scenarios.generator.arrivals import moments
from scenarios.plans.model import BUDGET, LEVELS, REPORT, Act, Plan, outline, places, reproduction
from scenarios.plans.reproduce import extended
from scenarios.runner import preflight
from scenarios.runner.supervise import describe, progress


def levels(plan: Plan, variant: str) -> list[int]:
    """The crowds of one variant."""
    return [cell.users for cell in plan.cells if cell.variant == variant and cell.scenario is Scenario.CROWD]


def test_the_quick_plan_has_the_promised_levels_and_fits() -> None:
    """1, 8, 16, 32 on the broken route, up to 64 elsewhere, in less than two minutes."""
    plan = reproduction(0.1)
    assert {variant: list(sizes) for variant, sizes in LEVELS.items()} == {variant: levels(plan, variant) for variant in LEVELS}
    assert plan.estimate() <= BUDGET
    assert plan.notes == ()


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.3, 0.5])
def test_other_waits_shrink_the_crowds_that_queue_until_they_fit(seconds: float) -> None:
    """Only those: a crowd that nobody waits in costs no time. Each shrunk crowd is named."""
    plan = reproduction(seconds)
    assert plan.estimate() <= BUDGET
    assert levels(plan, Variant.BROKEN_ASYNC)[0] == 1
    for variant in LEVELS:
        assert levels(plan, variant) == sorted(set(levels(plan, variant)))
        shrunk = levels(plan, variant)[-1] < LEVELS[variant][-1]
        assert shrunk == any(note.startswith(f"{variant}:") for note in plan.notes)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "out of range"),
        (-1.0, "out of range"),
        (float("nan"), "out of range"),
        (6.0, "out of range"),
        (0.01, "too short"),
        (3.0, "about .* s, and it is bounded"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(seconds: float, words: str) -> None:
    """A usage error with the estimate, before anything starts."""
    with pytest.raises(Trouble, match=words) as caught:
        reproduction(seconds)
    assert caught.value.code == Exit.USAGE


def test_neighbours_are_asked_often_enough_for_a_p90() -> None:
    """At least 100 pings each, idle and at the top level, by the schedule of the default seed."""
    cells = [cell for cell in reproduction(0.1).cells if cell.neighbours]
    assert 1 + len(LEVELS) == len(cells)
    for cell, ping in itertools.chain.from_iterable(itertools.product([cell], cell.neighbours) for cell in cells):
        profile = ((cell.warm_up + cell.window, ping.rate, ping.rate),)
        inside = [t for t in moments(profile, Law.POISSON, f"1/{ping.kind}") if t > cell.warm_up]
        assert len(inside) >= 100
        assert 20 <= ping.rate <= 40


def test_repeats_take_turns_and_nothing_of_them_collides() -> None:
    """Broken, to-thread, sync, async, then again; each with a server, a spool and cells of its own; a budget each."""
    once, plan = reproduction(0.1), extended(reproduction(0.1), 3, full=False)
    assert [act.variant for act in plan.acts] == [act.variant for act in once.acts] * 3
    assert [act.name for act in plan.acts[3:6]] == ["async", "broken-async~2", "to-thread~2"]
    names = [cell.name for cell in plan.cells] + [cell.aside for cell in plan.cells if cell.neighbours and cell.users]
    assert len(names) == len(set(names))
    assert "crowd/broken-async/32~2" in names
    assert plan.estimate() - REPORT == pytest.approx(3 * (once.estimate() - REPORT))
    assert {cell.server for act in plan.acts for cell in act.cells if cell.variant == act.variant} == {
        act.name for act in plan.acts
    }
    assert "all of it 3 times" in "\n".join(outline(plan))


def test_the_full_plan_adds_open_loads_and_the_frozen_route_on_both_loops() -> None:
    """Seven tenths of each capacity; four experiments, each on its loop; within 25 minutes, and told before."""
    plan = extended(reproduction(0.1), 1, full=True)
    open_ = {cell.variant: cell.arrivals.profile[0][1] for cell in plan.cells if cell.arrivals}
    assert open_ == {"broken-async": 7.0, "to-thread": pytest.approx(7.0 * places("to-thread")), "sync": 280.0, "async": 50.0}
    experiments = {act.variant: (act.loop, act.cells[-1].cold) for act in plan.acts if act.loop}
    assert experiments == {
        "broken-async asyncio warm": ("asyncio", False),
        "broken-async asyncio cold": ("asyncio", True),
        "broken-async uvloop warm": ("uvloop", False),
        "broken-async uvloop cold": ("uvloop", True),
    }
    assert all(is_experiment(name) and written(name) == Variant.BROKEN_ASYNC for name in experiments)
    assert not any(map(is_experiment, [*Variant, "GET /x", "GET /broken-async"]))
    assert {(cell.route, cell.path) for act in plan.acts if act.loop for cell in act.cells} == {
        ("GET /broken-async", "/broken-async?seconds=0.05")
    }
    assert BUDGET < plan.estimate() < 1500


def test_a_plan_of_questions_alone_has_an_outline() -> None:
    """No cell, so nothing that could go on for longer than planned."""
    lines = list(outline(Plan(0.0, (Act("pitfalls", 0.0, (), asks=("/pitfall",)),), ())))
    assert lines[1] == "asked/pitfalls: /pitfall"
    assert "round" not in " ".join(lines)


def test_progress_never_goes_back_and_names_the_cell() -> None:
    """Planned seconds of the cells before, plus the running cell's, at most its plan."""
    act = reproduction(0.1).acts[0]
    names = [cell.name for cell in act.cells]
    starts = [progress(act, name, 0.0)[1] for name in names]
    assert starts == sorted(starts)
    assert progress(act, names[1], 1e9)[1] == pytest.approx(starts[2])
    assert progress(act, "crowd/broken-async/8", 0.0)[0] == "GET /broken-async: a crowd of 8 users"
    assert "neighbours asked meanwhile" in describe(act.cells[-3])


@contextmanager
def answering(body: str) -> Iterator[str]:
    """A server that waits 0.1 s and says the same to everybody; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.1)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
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
    cells = [replace(cell, expects="") for cell in reproduction(0.1).acts[0].cells if cell.users == 1]
    with answering('{"waited":0.1}') as url:
        assert preflight.verify(url, cells, None) == '{"waited":0.1}'
        assert preflight.verify(url, cells, '{"waited":0.1}') == '{"waited":0.1}'
        with pytest.raises(Trouble, match="variants do not answer alike") as told:
            preflight.verify(url, cells, '{"waited":0.10}')
    assert told.value.code is Exit.TARGET


def test_a_route_that_never_answers_is_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """One polite request, a bounded wait, a sentence, exit code 4; nothing is loaded."""
    monkeypatch.setattr(preflight, "TIMEOUT", 0.2)
    cell = next(cell for cell in reproduction(0.1).cells if cell.users)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(Trouble, match="did not answer one polite request") as told,
    ):
        preflight.verify(f"http://127.0.0.1:{silent.getsockname()[1]}", [cell], None)
    assert told.value.code is Exit.TARGET
