"""Gates on where requests wait."""

import pytest

from reports.gates.evaluate import evaluate_gate
from results.errors import UsageError
from results.gate_expression import parse_gate
from results.wait_names import WAIT_CLASSES, WAIT_KINDS
from targets.agent import wait_objects
from tests.support.summary_factory import route, run

WAITS = [
    {"what": "running", "name": "", "count": 60.0},
    {"what": "pool", "name": "asyncpg.Pool", "count": 50.0},
    {"what": "socket", "name": "", "count": 9.0},
]


@pytest.mark.parametrize(
    ("gate", "holds"),
    [
        ("waits_in(GET /x) != asyncpg.Pool", False),
        ("waits_in(GET /x) == asyncpg.Pool", True),
        ("waits_in(GET /x) != pool", False),
        ("waits_in(GET /x) != socket", False),
        ("waits_in(GET /x) == socket", False),
        ("waits_in(GET /x) != lock", True),
    ],
)
def test_a_place_is_judged_by_what_waits_there(gate: str, *, holds: bool) -> None:
    """`==` is about most of them, `!=` about any."""
    data = run({**route("GET /x", verdict="pool-limited"), "waits": WAITS})
    result = evaluate_gate(parse_gate(gate), data)
    assert result.holds is holds
    assert (result.actual, result.route) == ("asyncpg.Pool", "GET /x")


def test_a_route_without_a_queue_waits_nowhere_and_one_not_looked_at_may() -> None:
    """Nothing queues where it scales; else it must have been looked at."""
    gate = parse_gate("waits_in(GET /x) != asyncpg.Pool")
    assert evaluate_gate(gate, run(route("GET /x", verdict="scales"))).holds is True
    unseen = evaluate_gate(gate, run(route("GET /x", verdict="loop-blocked")))
    assert unseen.holds is None
    assert "where its requests wait was not measured" in unseen.words


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("waits_in(GET /x) != asyncpg.pool", "perhaps you mean asyncpg.Pool"),
        ("waits_in(GET /x) != xyzzy", "there are event, executor"),
        ("waits_in(GET /x) < 3", "compared with == or !="),
        ("waits_in(GET /x) @ 8u != lock", "leave the level out"),
    ],
)
def test_an_unknown_place_gets_the_nearest(gate: str, words: str) -> None:
    """And every other mistake its own words."""
    with pytest.raises(UsageError, match=words):
        parse_gate(gate)


def test_gates_know_all_that_the_agent_can_name() -> None:
    """And name nothing else."""
    places, threads = wait_objects._PLACES, wait_objects._THREAD_FUNCTIONS.values()  # noqa: SLF001
    classes = {f"{it.module.partition('.')[0]}.{name}" for it in places for name in it.classes}
    classes |= {it.name for it in threads if it.name} | {"sqlalchemy.AsyncAdaptedQueuePool"}
    assert classes == set(WAIT_CLASSES)
    functions = wait_objects._FUNCTIONS.values()  # noqa: SLF001
    kinds = {it.what for it in places} | {it.what for it in threads} | {*functions}
    assert kinds | {"executor", "thread", "future"} == set(WAIT_KINDS)
