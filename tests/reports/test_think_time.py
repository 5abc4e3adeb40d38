"""Users that pause: a crowd shows a capacity only if part of it waited (Denning and Buzen)."""

import math
from pathlib import Path

import numpy as np
import pytest

from reports.gates.evaluate import evaluate_gate
from reports.model import Report
from reports.render.summary import build_summary
from reports.report import build_report
from reports.stats.queueing import closed_loop_rate, crowd_capacity
from results.gate_expression import parse_gate
from tests.support.queue_simulator import serve_thinkers
from tests.support.simulate_loads import Server, crowd, write

D, THINK = 0.1, 0.9


def simulate_report(folder: Path, users: int, places: int) -> Report:
    """1 user, then a crowd, all pausing."""
    cells = [crowd(1, 20, think=THINK), crowd(users, 20, think=THINK)]
    return build_report(write(folder, cells, Server(places, D), scenario="crowd"))


def test_a_crowd_that_never_waits_shows_a_bound_and_no_capacity(tmp_path: Path) -> None:
    """50 users, 0.1 s of work, 0.9 s of pause, 1,000 places: 50/s because they ask no more."""
    report = simulate_report(tmp_path, 50, 1000)
    (route,) = report.run_metrics.routes
    assert route.top_level is not None
    assert route.top_level.throughput == pytest.approx(50, rel=0.02)
    assert route.capacity is None
    assert "serves at least 5 at once" in report.findings[0].sentence
    for gate, holds in (("served_at_once >= 4", True), ("capacity > 90/s", None)):
        assert evaluate_gate(parse_gate(gate), build_summary(report)).holds is holds, gate


def test_a_crowd_that_waits_shows_the_capacity_behind_its_pauses(tmp_path: Path) -> None:
    """130 of them on five places: 50/s is the capacity."""
    report = simulate_report(tmp_path, 130, 5)
    (route,) = report.run_metrics.routes
    assert route.capacity == pytest.approx(50, rel=0.02)
    assert "serves 5 at once" in report.findings[0].sentence
    assert evaluate_gate(parse_gate("served_at_once >= 20"), build_summary(report)).holds is False


@pytest.mark.parametrize("places", [1, 4, 40])
@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.parametrize("think", [0.0, 0.1, 1.0])
def test_what_is_called_a_capacity_is_one(places: int, think: float, *, exponential: bool) -> None:
    """From 0.2 to 5 times the kink, any service times: within a tenth of c / D, or no capacity."""
    kink = places * (D + think) / D
    known = []
    for factor in (0.2, 0.5, 0.8, 1.0, 1.25, 1.6, 2.0, 3.0, 5.0):
        users = max(2, math.ceil(factor * kink))
        rate = serve_thinkers(
            np.random.default_rng(users), users, places, (D, think), exponential=exponential
        )
        capacity = crowd_capacity(users, rate, D, think)
        known.append(capacity is not None)
        assert capacity is None or capacity == pytest.approx(places / D, rel=0.1), (users, rate)
        if users < 0.95 * kink:
            assert capacity is None, "fewer than the kink cannot show it"
            assert rate <= 1.02 * closed_loop_rate(users, D, places, think)
    assert known[-1], "five times the kink shows it"
