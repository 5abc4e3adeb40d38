"""What a burst saw: the steps of a staircase, or all answers at the same moment."""

import dataclasses
import math
from pathlib import Path

import pytest

from reports.metrics.burst import BurstMetrics
from reports.model import Report
from reports.render.charts import staircase
from reports.render.summary import build_summary
from reports.report import build_report
from reports.verdicts.load_sentences import describe_burst, load_sentences
from results.schema import Scenario, Variant
from tests.reports.test_report import BROKEN
from tests.support import simulate_loads
from tests.support import simulate_run as simulate


def burst_of(done: list[float]) -> BurstMetrics:
    """Return a burst of which only the answers are known."""
    unknown = [math.nan] * len(done)
    return BurstMetrics(
        "burst/GET /x/0", len(done), [0.0] * len(done), unknown, unknown, done, unknown, None
    )


@pytest.mark.parametrize(
    ("done", "service", "steps", "words"),
    [
        ([0.055 + 0.0505 * k for k in range(10)], None, 10, "one after another"),
        ([0.055 + 0.0505 * k for k in range(10)], 0.051, 10, "one after another"),
        (
            [*[0.055 + 0.0505 * k for k in range(5)], *[0.6 + 0.0505 * k for k in range(5)]],
            0.051,
            10,
            "one after another",
        ),
        ([0.516 + 0.0002 * k for k in range(10)], 0.051, 1, "all at one moment"),  # daphne
        ([0.516 + 0.0002 * k for k in range(10)], None, 1, "all at one moment"),
        ([0.214] * 4 + [0.52] * 6, 0.051, 2, "at 2 moments"),  # daphne, another time
        (
            [0.101 + 0.0003 * k for k in range(40)] + [0.204 + 0.0003 * k for k in range(20)],
            0.1,
            2,
            "at 2 moments",
        ),
        ([0.101 + 0.0003 * k for k in range(20)], 0.1, 1, "all at one moment"),
        ([0.1, math.nan, math.nan], 0.1, 1, "as far as they were, at one moment"),
        ([math.nan, math.nan], 0.1, 0, "not at all"),
        ([0.1], None, 1, "all at one moment"),
    ],
)
def test_a_burst_counts_the_moments_of_its_answers(
    done: list[float], service: float | None, steps: int, words: str
) -> None:
    """Half a service time separates two moments; if unknown, half the time of the first answer."""
    assert burst_of(done).count_answer_steps(service) == steps
    assert describe_burst(burst_of(done), service) == words


@pytest.fixture(scope="module")
def held_back(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Handlers that run in turn, with answers that all leave with the last."""
    return build_report(
        simulate.write(
            tmp_path_factory.mktemp("held"), simulate.World(plan=BROKEN, hold_answers=True)
        )
    )


def test_a_burst_that_is_answered_at_its_end_is_said_so_wherever_it_stands(
    held_back: Report,
) -> None:
    """Chart, table, summary and claim; what the handlers did stays what it was."""
    assert staircase.CHART.title(held_back.run_metrics) == (
        "Blocking inside async def serves requests one after another, "
        "and answers them all at one moment"
    )
    figure = staircase.CHART.draw(held_back.run_metrics)
    assert not isinstance(figure, str)
    assert "answered all at one moment" in figure.axes[0].texts[0].get_text().replace("\n", " ")
    table = staircase.CHART.table(held_back.run_metrics)
    assert table.rows[0][table.head.index("answered")] == "all at one moment"
    assert build_summary(held_back)["routes"][0]["burst"]["answer_moments"] == 1
    claim = next(
        evaluated for evaluated in held_back.claims if evaluated.claim.id == "serial-queue"
    )
    assert claim.result.measured.endswith("; answered all at one moment")


def test_a_staircase_is_said_as_before(honest: Report) -> None:
    """Twenty steps; the words of a stored run do not change."""
    assert (
        staircase.CHART.title(honest.run_metrics)
        == "Blocking inside async def serves requests one after another"
    )
    steps = {
        route.variant: route.first_burst.count_answer_steps(route.unloaded_mean)
        for route in honest.run_metrics.routes
        if route.first_burst
    }
    assert steps == {
        Variant.BROKEN_ASYNC: 20,
        Variant.TO_THREAD: 4,
        Variant.SYNC: 2,
        Variant.ASYNC: 1,
    }
    claim = next(evaluated for evaluated in honest.claims if evaluated.claim.id == "serial-queue")
    assert "moment" not in claim.result.measured


def test_a_burst_on_somebodys_own_server_is_said_as_it_came(tmp_path: Path) -> None:
    """No probe there: only the answers are known."""
    cell = simulate_loads.cell("burst/GET /x/20", Scenario.BURST, 20, 2.0)
    report = build_report(
        simulate_loads.write(tmp_path, [cell], simulate_loads.Server(), scenario="burst")
    )
    (route,) = report.run_metrics.routes
    assert "came after 2.00 s: one after another." in " ".join(load_sentences(route))
    assert route.first_burst is not None
    together = dataclasses.replace(route.first_burst, done=[2.0] * 20)
    assert "after 2.00 s: all at one moment." in " ".join(
        load_sentences(dataclasses.replace(route, bursts=(together,)))
    )
