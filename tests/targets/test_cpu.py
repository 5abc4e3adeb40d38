"""The CPU routes: equal answers in every form, a pool as long as the app, CPU of the target."""

import os

import httpx
import pytest

from scenarios.plans.lesson import cpu
from tests.support.processes import alive, gone_within, new_mark, served


def workers(mark: str) -> list[str]:
    """The pool's processes."""
    return [command for command in alive(mark) if "spawn_main" in command]


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_every_form_does_all_of_the_same_work_and_the_pool_ends_with_the_app(end: str) -> None:
    """The answer depends on each round; a killed app says nothing to its workers, yet they end."""
    paths = {cell.path: cell.expects for session in cpu.SESSIONS for cell in session.cells}
    mark = new_mark()
    with (
        served("targets.app:app", mark) as (url, process),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        assert workers(mark) == []  # until they are needed
        assert {path: client.get(path).text for path in paths} == paths
        assert client.get("/cpu/inline?rounds=499999").text != cpu.COMPUTE_ANSWER
        assert client.get("/cpu/workers").json() == {"workers": cpu.CORES, "nice": os.nice(0) + 10}
        assert len(workers(mark)) == cpu.CORES
        getattr(process, end)()
        assert gone_within(mark, 60) == []
