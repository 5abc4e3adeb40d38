"""Replay of simulated open loads: fair, overtaken, no fixed-service queue, frozen, unknown."""

import dataclasses
import json
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from reports.model import Report
from reports.render.charts import percentile, svg
from reports.render.summary import build_summary
from reports.report import build_report
from reports.stats.model import EstimateSource, ReplayFit, SendLog
from reports.stats.percentile_curve import closed_loop_mask, percentile_curves
from reports.stats.queueing import replay_latencies
from reports.stats.replay import compare_with_replay, estimate_concurrency
from reports.verdicts.load_sentences import find_omission
from results.schema import ArrivalDistribution, Cell
from tests.reports.test_open_loop import only, printed_report
from tests.reports.test_page import CHART_BUDGET
from tests.reports.test_report import SCHEMA
from tests.support.simulate_loads import ROUTE, Server, crowd, steady, write


def sentence(report: Report) -> str:
    """Return what the report says of the only route."""
    return report.findings[0].sentence


@pytest.mark.parametrize("places", [1, 6])
@pytest.mark.parametrize("rho", [0.5, 0.7, 0.8])
def test_first_come_first_served_is_replayed_exactly(
    tmp_path: Path, places: int, rho: float
) -> None:
    """Places and D from completions alone; measured equals replayed: no request is overtaken."""
    report = build_report(write(tmp_path, [steady(rho * places / 0.05, 60)], Server(places, 0.05)))
    metrics = only(report)
    assert (metrics.concurrency_estimate.source, metrics.concurrency) == (
        EstimateSource.FIT,
        places,
    )
    assert metrics.busy_service_time == pytest.approx(0.05, rel=1e-6)
    assert metrics.replay_result is not None
    assert metrics.replay_result.measured == pytest.approx(metrics.replay_result.replayed, rel=1e-6)
    assert (metrics.replay_result.model, metrics.replay_result.is_unfair) == (
        ReplayFit.HOLDS,
        False,
    )
    assert "its arrivals explain the waiting" in sentence(report)


@pytest.mark.parametrize("order", ["last", "random"])
@pytest.mark.parametrize(("places", "rho"), [(1, 0.5), (1, 0.8), (6, 0.7), (6, 0.8)])
def test_unfair_order_is_a_finding_and_no_error(
    tmp_path: Path, order: str, places: int, rho: float
) -> None:
    """c, D and mean stay; the tail shows overtaking, in words, and the run stays trusted."""
    report = build_report(
        write(tmp_path, [steady(rho * places / 0.05, 60)], Server(places, 0.05, order=order))
    )
    metrics = only(report)
    assert pytest.approx((metrics.concurrency, metrics.busy_service_time), rel=1e-6) == (
        places,
        0.05,
    )
    assert metrics.replay_result is not None
    assert metrics.replay_result.mean_ratio == pytest.approx(1, abs=1e-6)
    assert metrics.replay_result.completion_error < 1e-6
    assert metrics.replay_result.is_unfair
    assert (metrics.replay_result.unfairness("p99") or 0) > 1.1
    assert (
        metrics.replay_result.longest_wait
        > metrics.replay_result.replayed["max"] - metrics.replay_result.service_time
    )
    assert "some requests overtake others" in sentence(report)
    # the first: a foreign target is of unknown origin
    assert not report.trust.problem_checks[1:]


@pytest.mark.parametrize("places", [1, 6])
def test_service_that_varies_is_called_by_its_name(tmp_path: Path, places: int) -> None:
    """Exponential service times: no places, no unfairness; the report shows both means."""
    report = build_report(
        write(tmp_path, [steady(14 * places, 60)], Server(places, 0.05, exponential=True))
    )
    metrics = only(report)
    assert metrics.replay_result is not None
    assert (
        metrics.replay_result.model,
        metrics.concurrency,
        metrics.replay_result.unfairness("p99"),
    ) == (
        ReplayFit.BROKEN,
        None,
        None,
    )
    assert not metrics.replay_result.is_unfair
    assert "not a fixed-service queue" in sentence(report)
    assert metrics.curves is not None
    assert metrics.curves.replayed == ()


@pytest.mark.parametrize("d", [0.005, 0.05])
@pytest.mark.parametrize("rho", [0.5, 0.7])
def test_the_way_there_and_back_holds_no_place(tmp_path: Path, d: float, rho: float) -> None:
    """1.5 ms of HTTP on 5 ms of service: kept apart, or the mean would be off by a tenth."""
    metrics = only(build_report(write(tmp_path, [steady(rho / d, 60)], Server(1, d, way=0.0015))))
    assert metrics.replay_result is not None
    assert pytest.approx((metrics.concurrency, metrics.busy_service_time), rel=1e-3) == (1, d)
    assert metrics.replay_result.http_overhead == pytest.approx(0.0015, rel=0.01)
    assert metrics.replay_result.model is ReplayFit.HOLDS
    assert metrics.replay_result.measured == pytest.approx(metrics.replay_result.replayed, rel=0.01)


def test_a_mean_between_the_limits_decides_nothing() -> None:
    """Up to 3 % holds, from 10 % on it is broken; between, both numbers and no conclusion."""
    sent = np.sort(np.random.default_rng(1).uniform(0, 60, 900))
    whole = np.ones(len(sent), dtype=bool)
    models = []
    for longer in (1.0, 1.02, 1.045, 1.2):
        took = replay_latencies(sent, 0.05) * longer
        result = compare_with_replay(SendLog(sent, sent, sent + took, whole, whole), 1, 0.05)
        assert result is not None
        models.append(result.model)
    assert models == [ReplayFit.HOLDS, ReplayFit.HOLDS, ReplayFit.UNDECIDED, ReplayFit.BROKEN]


@pytest.mark.parametrize("order", ["first", "last", "random"])
def test_an_overload_is_replayed_too(tmp_path: Path, order: str) -> None:
    """Drained: the mean of the replay in any order; cut: its completions, and no ratio."""
    whole = build_report(write(tmp_path / "a", [steady(30, 60)], Server(1, 0.05, order=order)))
    metrics = only(whole)
    assert metrics.replay_result is not None
    assert (metrics.overloaded, metrics.concurrency, metrics.replay_result.model) == (
        True,
        1,
        ReplayFit.HOLDS,
    )
    assert "Its own arrivals through 1 place of 50.0 ms wait as long" in sentence(whole)
    cut = build_report(
        write(tmp_path / "b", [steady(30, 60)], Server(1, 0.05, order=order, drain=0))
    )
    metrics = only(cut)
    assert metrics.replay_result is not None
    assert (metrics.replay_result.model, metrics.replay_result.unfairness("mean")) == (
        ReplayFit.UNDECIDED,
        None,
    )
    assert metrics.replay_result.completion_error < 1e-6
    assert "Its answers came as from 1 place of 50.0 ms" in sentence(cut)


def test_c_of_a_far_overload_is_found(tmp_path: Path) -> None:
    """Ten times as many as 1 place can serve: the fit must not begin at half of what was sent."""
    assert only(build_report(write(tmp_path, [steady(100, 20)], Server(1, 0.1)))).concurrency == 1


@pytest.mark.parametrize(
    ("load", "server", "source"),
    [
        (steady(200, 30), Server(10_000), EstimateSource.IDLE),
        (steady(200, 30), Server(40), EstimateSource.IDLE),  # hardly any request waits
        (steady(340, 30), Server(40), EstimateSource.FIT),
        (steady(0.3, 20), Server(1), EstimateSource.UNKNOWN),  # six requests
        # 150 in service: a place more or less does not show
        (steady(1500, 20), Server(160), EstimateSource.UNKNOWN),
    ],
)
def test_what_is_not_known_is_not_replayed(
    tmp_path: Path, load: Cell, server: Server, source: EstimateSource
) -> None:
    """Nothing queued, or unknown: words instead of a replay."""
    report = build_report(write(tmp_path, [load], server))
    metrics = only(report)
    assert metrics.concurrency_estimate.source is source
    assert (metrics.replay_result is None) == (source is not EstimateSource.FIT)
    assert ("no replay" in printed_report(report)) == (source is EstimateSource.UNKNOWN)


def test_a_crowd_says_how_many_places_there_are(tmp_path: Path) -> None:
    """Where the run measured its capacity, c is taken from there."""
    report = build_report(
        write(tmp_path, [crowd(1, 6), crowd(64, 10), steady(80, 20)], Server(10), scenario="knee")
    )
    metrics = only(report)
    assert (metrics.concurrency_estimate.source, metrics.concurrency) == (EstimateSource.CROWD, 10)
    assert metrics.replay_result is not None
    assert metrics.replay_result.mean_ratio == pytest.approx(1, rel=0.02)


def test_a_closed_loop_hides_a_freeze(tmp_path: Path) -> None:
    """Take 100/s, constant gaps, D = 5 ms, 1 s frozen: p99 .705 s, 10x too low."""
    load = dataclasses.replace(
        steady(100, 60, law=ArrivalDistribution.CONSTANT), warm_up=0.0, window=60.0
    )
    report = build_report(write(tmp_path, [load], Server(1, 0.005, frozen=1.0)))
    omission = find_omission(only(report))
    assert omission is not None
    assert omission.name == "p99"
    assert omission.measured == pytest.approx(0.705, rel=0.01)
    assert omission.ratio > 10
    assert "times too low" in sentence(report)
    assert "ms (p99), a closed-loop client reports 5.00 ms" in percentile.CHART.title(
        report.run_metrics
    )


def test_users_in_a_closed_loop_wait_for_their_answers() -> None:
    """Two users: at the third request both wait; a user without an answer does not ask again."""
    planned = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 5.0])
    done = np.array([1.0, 9.0, 2.0, 1.05, 1.2, 5.1])
    finished = np.array([True, False, True, True, True, True])
    sends = SendLog(planned, planned, done, finished, np.ones(6, dtype=bool))
    assert closed_loop_mask(sends, 2).tolist() == [True, True, False, True, True, True]
    assert closed_loop_mask(sends, 1).tolist() == [True, False, False, True, True, True]


def test_a_hundred_thousand_requests_take_seconds() -> None:
    """The fit reads as many requests as it can afford."""
    dice = np.random.default_rng(3)
    for places, d in ((1, 0.0045), (40, 0.18)):
        sent = np.sort(dice.uniform(0, 500, 100_000))
        done = sent + replay_latencies(sent, d, places)
        whole = np.ones(len(sent), dtype=bool)
        sends = SendLog(sent, sent, done, whole, whole)
        begin = time.process_time()
        estimate = estimate_concurrency(sends, None, None)
        assert pytest.approx((estimate.count, estimate.service_time), rel=1e-3) == (places, d)
        assert percentile_curves(sends, 500.0, compare_with_replay(sends, places, d)) is not None
        assert time.process_time() - begin < 15


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[Report]:
    """Fair, overtaken, cut, and frozen."""
    loads = [
        (steady(14, 60), Server(1, 0.05)),
        (steady(14, 120), Server(1, 0.05, order="last")),
        (steady(18, 60), Server(1, 0.05, order="last", drain=0)),
        (steady(100, 60), Server(1, 0.005, frozen=1.0)),
    ]
    return [
        build_report(write(tmp_path_factory.mktemp("percentile"), [load], server))
        for load, server in loads
    ]


def test_the_tail_is_drawn_with_its_finding(four: list[Report]) -> None:
    """A figure within its budget, a sentence, three rows each; and no complaint of matplotlib."""
    titles = [percentile.CHART.title(report.run_metrics) for report in four]
    for words, title in zip(
        ("explain the waiting", "out of order", "How long", "closed-loop client"),
        titles,
        strict=True,
    ):
        assert words in title
    for report in four:
        figure = percentile.CHART.draw(report.run_metrics)
        assert not isinstance(figure, str)
        assert len(svg.render_inline(figure, "percentile", "t", "d")) < CHART_BUDGET
        assert [
            row[2].partition(",")[0] for row in percentile.CHART.table(report.run_metrics).rows
        ] == [
            "measured",
            "replayed",
            "closed loop",
        ]


def test_a_line_ends_where_ten_requests_lie_beyond(four: list[Report]) -> None:
    """With an unanswered request it is open upwards."""
    for report in four:
        metrics = only(report)
        assert metrics.curves is not None
        assert metrics.latency is not None
        assert metrics.curves.measured[-1][0] == pytest.approx(metrics.latency.count / 10)
        assert (metrics.curves.upper_bound == metrics.curves.measured) == (metrics.unfinished == 0)
    cut = only(four[2]).curves
    assert cut is not None
    assert all(
        low <= high for (_, low), (_, high) in zip(cut.measured, cut.upper_bound, strict=False)
    )


@pytest.mark.parametrize("seconds", [2, 3, 4, 6, 20])
def test_a_short_load_is_drawn_or_says_why(tmp_path: Path, seconds: int) -> None:
    """From the median on, with twenty requests; matplotlib's warnings are errors here."""
    report = build_report(write(tmp_path, [steady(7, seconds)], Server()))
    latency = only(report).latency
    assert isinstance(percentile.CHART.draw(report.run_metrics), str) == (
        latency is None or latency.count < 20
    )


def test_the_worst_four_routes_are_drawn(four: list[Report]) -> None:
    """Small multiples; an overloaded load is none of them."""
    study = four[1].run_metrics
    (route,) = study.routes
    many = dataclasses.replace(
        study, routes=tuple(dataclasses.replace(route, route=f"{ROUTE}{i}") for i in range(6))
    )
    figure = percentile.CHART.draw(many)
    assert not isinstance(figure, str)
    assert len([axes for axes in figure.axes if axes.get_visible()]) == 4
    over = dataclasses.replace(
        route, open_loads=(dataclasses.replace(route.open_loads[0], curves=None, overloaded=True),)
    )
    assert isinstance(percentile.CHART.draw(dataclasses.replace(study, routes=(over,))), str)


def test_the_summary_carries_the_replay(four: list[Report], tmp_path: Path) -> None:
    """Against the published schema, with a replay and without."""
    idle = build_report(write(tmp_path, [steady(50, 20)], Server(1000)))
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for report in (*four, idle):
        data = json.loads(json.dumps(build_summary(report), allow_nan=False))
        jsonschema.validate(data, schema)
        load = data["routes"][0]["offered"][0]
        assert load["replay"]["places_from"] == only(report).concurrency_estimate.source
        assert load["closed_loop_view"]["count"] <= load["sent"]
    unfair = build_summary(four[1])["routes"][0]["offered"][0]["replay"]
    short = build_summary(four[0])["routes"][0]["offered"][0]["replay"]
    # 736 requests are too few to print it, and enough to be compared with their own replay
    assert (short["measured"]["p99_s"], short["replayed"]["p99_s"]) == (None, None)
    assert short["unfairness"]["p99"] == pytest.approx(1)
    assert (unfair["is_unfair"], unfair["places"], unfair["unfairness"]["mean"]) == (
        True,
        1,
        pytest.approx(1),
    )
