"""Loads of any route, open and closed, with known truth: offered, queued, and how it is shown."""

import dataclasses
import json
import re
from io import StringIO
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from msgspec import structs
from rich.console import Console

from reports.checks.model import CheckStatus, TrustLevel
from reports.checks.trust import assess_trust
from reports.metrics.model import OpenLoadMetrics
from reports.metrics.steady_state import LittleDeviation
from reports.model import Report
from reports.render.charts import knee
from reports.render.page import render_page
from reports.render.summary import build_summary
from reports.render.terminal import print_report
from reports.report import build_report
from reports.stats.quantiles import estimate_quantile
from reports.verdicts.load_sentences import load_sentences
from results.errors import ExitCode
from results.schema import ArrivalDistribution, Cell, Scenario, Status
from tests.reports.test_page import Elements
from tests.reports.test_report import SCHEMA, statuses
from tests.support.simulate_loads import HOST, ROUTE, Server, cell, crowd, steady, write


def only(report: Report) -> OpenLoadMetrics:
    """Return the only open load of a run."""
    return report.run_metrics.routes[0].open_loads[0]


def printed_report(report: Report, width: int = 160) -> str:
    """Return what the terminal shows."""
    out = StringIO()
    print_report(report, Console(file=out, width=width))
    return out.getvalue()


def unwrap_lines(text: str) -> str:
    """Return a printed text on one line; table columns keep their gap of two spaces."""
    return re.sub(r"\s*\n\s*", " ", text)


def test_overload_is_counted_to_the_last_request(tmp_path: Path) -> None:
    """30/s at constant gaps on 1 place of 50 ms for 60 s : nothing is random."""
    metrics = only(
        build_report(
            write(
                tmp_path, [steady(30, 60, law=ArrivalDistribution.CONSTANT)], Server(service=0.05)
            )
        )
    )
    assert metrics.latency is not None
    # planned after the warm-up of 6 s: R rises from 3.05 s to 30.03 s
    wanted = {"mean": 16.55, "p95": 28.68, "longest": 30.03}
    measured = {
        "mean": metrics.latency.mean,
        "p95": metrics.latency.quantiles["p95"],
        "longest": metrics.latency.longest,
    }
    assert wanted == pytest.approx(
        {name: value.exact for name, value in measured.items() if value}, rel=0.01
    )
    assert (metrics.planned, metrics.sent, metrics.refused, metrics.unfinished) == (
        1800,
        1800,
        0,
        0,
    )
    assert pytest.approx((metrics.backlog, metrics.completed), rel=0.01) == (600, 1200)
    assert pytest.approx((metrics.sent_rate, metrics.throughput, metrics.growth), rel=0.01) == (
        30,
        20,
        10,
    )
    assert pytest.approx((metrics.busy_service_time, metrics.predicted_growth), rel=0.01) == (
        0.05,
        10,
    )
    assert metrics.overloaded


def test_a_cut_overload_prints_bounds_and_warns(tmp_path: Path) -> None:
    """Without a drain a third is unanswered: ">= ..." instead of an exact number; V7 warns."""
    report = build_report(
        write(
            tmp_path,
            [steady(30, 60, law=ArrivalDistribution.CONSTANT)],
            Server(service=0.05, drain=0),
        )
    )
    metrics = only(report)
    assert (metrics.unfinished, report.trust.trust_level) == (600, TrustLevel.SUSPECT)
    assert statuses(report, "V7") == {CheckStatus.WARN}
    assert ">= 19.1 s" in printed_report(report)
    entry = build_summary(report)["routes"][0]["offered"][0]
    assert entry["p95_s"] is None
    assert entry["p95_at_least_s"] == pytest.approx(19.1, rel=0.01)
    assert (
        "latency grows by 500 ms per second of test. "
        "No percentile describes that; capacity is about 20.0 req/s."
        in unwrap_lines(printed_report(report))
    )


@pytest.mark.parametrize(
    ("load", "server", "overloaded"),
    [
        (steady(15, 20), Server(), True),  # rho 1.5
        (steady(15, 20, law=ArrivalDistribution.CONSTANT), Server(), True),
        (steady(15, 20), Server(drain=0), True),
        # short, but nothing is random
        (steady(13, 10, law=ArrivalDistribution.CONSTANT), Server(), True),
        (steady(12, 10), Server(), True),  # short and random: the pace of the answers shows it
        (steady(12, 15), Server(), True),
        (steady(9.5, 10, law=ArrivalDistribution.CONSTANT), Server(), False),
        (steady(100, 20), Server(cap=900), True),  # the cap is reached
        (steady(9, 20), Server(), False),  # rho .9
        (steady(9, 60), Server(), False),
        (steady(100, 20), Server(10, 0.09), False),
        (steady(100, 60), Server(1, 0.009), False),
        (steady(20, 20), Server(10_000, 5.0), False),  # slow, but no request waits
        # the sender's limit, not the server's
        (steady(400, 20), Server(10_000, 5.0, cap=900), False),
    ],
)
def test_overload_is_separated_from_a_queue_and_from_slowness(
    tmp_path: Path, load: Cell, server: Server, *, overloaded: bool
) -> None:
    """Growth without end is overload; a long queue or a long answer is not."""
    assert overloaded == only(build_report(write(tmp_path, [load], server))).overloaded


def test_a_full_but_bearable_route_is_hardly_ever_called_overloaded(tmp_path: Path) -> None:
    """Rho .9, forty schedules: none."""
    loads = [dataclasses.replace(steady(9, 20), name=f"steady/{ROUTE}/{i}") for i in range(40)]
    offered = build_report(write(tmp_path, loads, Server())).run_metrics.routes[0].open_loads
    assert [load.cell for load in offered if load.overloaded] == []


def test_a_bound_needs_fewer_samples_than_a_value() -> None:
    """p99 of 300 requests: too few for a value, enough for ">= ..."."""
    times = np.arange(300, dtype=float)
    assert estimate_quantile(times, np.ones(300, dtype=bool), 0.99) is None
    bound = estimate_quantile(times, times < 290, 0.99)
    assert bound is not None
    assert (bound.low, bound.exact) == (296.0, None)
    assert estimate_quantile(times[:199], times[:199] < 190, 0.99) is None


def test_poisson_is_confirmed_and_a_metronome_is_found_out(tmp_path: Path) -> None:
    """CV 1 and KS for Poisson arrivals; constant gaps that are labelled Poisson fail."""
    honest = build_report(write(tmp_path / "a", [steady(50, 20)], Server(1000)))
    assert statuses(honest, "V6") == {CheckStatus.PASS}
    assert pytest.approx(
        [variation for _, variation, _ in only(honest).arrival_tests], abs=0.1
    ) == [1.0, 1.0]
    false = build_report(write(tmp_path / "b", [steady(50, 20)], Server(1000, metronome=True)))
    assert CheckStatus.FAIL in statuses(false, "V6")
    assert (
        statuses(
            build_report(
                write(
                    tmp_path / "c", [steady(50, 20, law=ArrivalDistribution.CONSTANT)], Server(1000)
                )
            ),
            "V6",
        )
        == set()
    )


def test_a_late_sender_is_seen(tmp_path: Path) -> None:
    """20 ms late on a route of 100 ms: not the load that was stated."""
    path = write(tmp_path, [steady(50, 20)], Server(1000))
    assert statuses(build_report(path), "V3") == {CheckStatus.PASS}
    samples = pd.read_parquet(path / "samples.parquet")
    samples.assign(sent=samples.sent + 0.02).to_parquet(path / "samples.parquet")
    assert statuses(build_report(path), "V3") == {CheckStatus.FAIL}


@pytest.mark.parametrize("load", [steady(50, 20), crowd(20, 10)])
def test_two_workers_make_one_load_and_littles_identity_is_exact(
    tmp_path: Path, load: Cell
) -> None:
    """Each has its own begin and end; the window is what they share. Lost rows still show."""
    path = write(tmp_path, [load], Server(4, workers=2), command="locust")
    report = build_report(path)
    [tally] = report.run_metrics.cell_counts
    assert tally.little is not None
    assert tally.little.identity == pytest.approx(0, abs=1e-9)
    samples = pd.read_parquet(path / "samples.parquet")
    samples[(samples.worker == "worker-0") | (samples.index % 10 > 0)].to_parquet(
        path / "samples.parquet"
    )
    assert CheckStatus.FAIL in statuses(build_report(path), "V11")


def test_plain_locusts_window_may_be_as_long_as_it_was(tmp_path: Path) -> None:
    """The user stops the test; a user number that two workers share is two users."""
    load = dataclasses.replace(crowd(20, 10), window=9.0)
    path = write(tmp_path, [load], Server(4, workers=2), command="locust")
    facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
    facts["plan"]["cells"][0]["window"] = 0.0
    (path / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    samples = pd.read_parquet(path / "samples.parquet")
    samples.assign(connection=samples.connection // 2).to_parquet(path / "samples.parquet")
    report = build_report(path)
    [level] = report.run_metrics.routes[0].levels
    assert (level.seconds, level.throughput) == pytest.approx((8.98, 40), rel=0.02)
    assert level.starved_users == 0
    assert (report.exit_code(), report.claims) == (ExitCode.FINE, ())


@pytest.fixture(scope="module")
def kneeling(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Return a route of ten places, its capacity measured twice, then seven rates."""
    crowds = [crowd(1, 6), crowd(64, 10), crowd(64, 10, repeat=2)]
    rates = [steady(99 * share, 20, share=share) for share in (0.2, 0.4, 0.6, 0.8, 0.9, 1.2)]
    return build_report(
        write(tmp_path_factory.mktemp("knee"), [*crowds, *rates], Server(10), scenario="knee")
    )


def test_the_knee_is_drawn_with_its_finding(kneeling: Report) -> None:
    """A figure, a sentence with numbers, a row per rate; and no complaint of matplotlib."""
    assert not isinstance(knee.CHART.draw(kneeling.run_metrics), str)
    assert knee.CHART.title(kneeling.run_metrics).startswith("At 9")
    assert len(knee.CHART.table(kneeling.run_metrics).rows) == 6
    assert [load.overloaded for load in kneeling.run_metrics.routes[0].open_loads] == [
        False
    ] * 5 + [True]
    assert kneeling.run_metrics.routes[0].open_loads[-1].busy_service_time == pytest.approx(
        0.1, rel=0.01
    )


def test_every_load_has_its_row(kneeling: Report) -> None:
    """Closed and open, with share and repeat, in words of the plan; what they mean in sentences."""
    text = printed_report(kneeling)
    for words in (
        "64 users, 2nd",
        "79.2/s poisson, 80 %",
        "overloaded",
        "serves 10 at once",
        "2 repeats with 64 users: ",
    ):
        assert words in text
    assert "not possible here: V22" in text  # the origin of a target that was not started by us
    assert "not say why" not in text
    assert kneeling.trust.trust_level is TrustLevel.TRUSTED


def test_users_that_the_mean_leaves_out_make_a_run_suspect(kneeling: Report) -> None:
    """Little's law explains 40 % of them: a warning, and a sentence."""
    (route,) = kneeling.run_metrics.routes
    unequal = dataclasses.replace(
        route, levels=(dataclasses.replace(route.levels[-1], little=LittleDeviation(0.6, 0.0)),)
    )
    study = dataclasses.replace(kneeling.run_metrics, routes=(unequal,))
    assert assess_trust(study).trust_level is TrustLevel.SUSPECT
    assert "explains only 25.6 of 64 users" in " ".join(load_sentences(unequal))


@pytest.mark.parametrize("width", [50, 70, 100, 140])
def test_a_narrow_terminal_keeps_route_load_and_p99(kneeling: Report, width: int) -> None:
    """No row is wider than the terminal."""
    head, *lines = [
        line.rstrip() for line in printed_report(kneeling, width).partition("\n- ")[0].splitlines()
    ]
    assert max(map(len, [head, *lines])) <= width
    assert {"route", "load", "p99"} <= set(head.split())
    assert sum(line.startswith("GET /") for line in lines) == 9


def test_the_page_of_such_a_run_is_as_strict_as_any(kneeling: Report) -> None:
    """Loads and charts that have something to show; no script, style, or word about the lesson."""
    text = render_page(kneeling)
    elements = Elements(text).elements
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in elements}
    assert not [attributes for _, attributes in elements if "style" in attributes]
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"chart-served", "chart-latency", "chart-knee", "chart-percentile"} == {
        anchor for anchor in ids if anchor and anchor.startswith("chart-")
    }
    assert HOST in text
    for words in ("No chart", "statement by statement", "the work is a wait", "None"):
        assert words not in text
    hostile = dataclasses.replace(
        kneeling,
        run_metrics=dataclasses.replace(
            kneeling.run_metrics, run=structs.replace(kneeling.run_metrics.run, host="<script>")
        ),
    )
    assert "<script>" not in render_page(hostile)


def test_a_routes_name_is_text_wherever_it_stands(kneeling: Report) -> None:
    """Dollars are no formula, and brackets no element, in table, page and charts."""
    name = "GET /x?$a=<b>&$c"
    routes = tuple(
        dataclasses.replace(route, route=name, variant=name)
        for route in kneeling.run_metrics.routes
    )
    hostile = dataclasses.replace(
        kneeling, run_metrics=dataclasses.replace(kneeling.run_metrics, routes=routes)
    )
    text = render_page(hostile)
    assert "<b>" not in text
    assert text.count("$a=&lt;b&gt;&amp;$c") > 3
    assert name in printed_report(hostile)


def test_the_summary_keeps_its_promise_for_loads_too(kneeling: Report) -> None:
    """Against the published schema."""
    data = json.loads(json.dumps(build_summary(kneeling), allow_nan=False))
    jsonschema.validate(data, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (data["environment"]["host"], data["routes"][0]["offered"][3]["share"]) == (HOST, 0.8)


@pytest.mark.parametrize(
    "load", [steady(15, 20), crowd(5, 20), cell("burst/GET /x/20", Scenario.BURST, 20, 2.0)]
)
def test_a_run_that_was_killed_is_explained(tmp_path: Path, load: Cell) -> None:
    """Its spools end in the middle of a cell, or before it."""
    path = write(
        tmp_path,
        [load, dataclasses.replace(load, name="later")],
        Server(drain=0),
        status=Status.RUNNING,
    )
    for spool in (path / "load").glob("*.jsonl"):
        lines = spool.read_text(encoding="utf-8").splitlines(keepends=True)
        spool.write_text("".join(lines[:1]), encoding="utf-8")
    for spool in (path / "samples").glob("*.jsonl"):
        lines = [
            line
            for line in spool.read_text(encoding="utf-8").splitlines(keepends=True)
            if '"later"' not in line
        ]
        answers = [line for line in lines if line.startswith('["done"')]
        spool.write_text(
            "".join(line for line in lines if line not in answers[5:]), encoding="utf-8"
        )
    report = build_report(path)
    assert report.exit_code() is ExitCode.UNTRUSTED
    assert [unfinished.cell for unfinished in report.run_metrics.unfinished_cells] == [
        load.name,
        "later",
    ]
    first = report.run_metrics.unfinished_cells[0]
    assert 0 < first.answered < first.sent
    text = printed_report(report)
    assert (
        f"{first.sent} sent, {first.answered} answered, "
        f"{first.sent - first.answered} still in flight" in text
    )
    assert "later: it was never started" in text
    assert "never closed" in text
    assert "never closed" in render_page(report)
    data = json.loads(json.dumps(build_summary(report), allow_nan=False))
    jsonschema.validate(data, json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_a_burst_has_its_row_too(tmp_path: Path) -> None:
    """Twenty at once on 1 place of 100 ms."""
    bursts = [
        cell(f"burst/GET /x/{size}{again}", Scenario.BURST, size, 2.0)
        for size in (20, 30)
        for again in ("", "~2")
    ]
    text = printed_report(build_report(write(tmp_path, bursts, Server(), scenario="burst")))
    for words in (
        "burst of 20 ",
        "burst of 20, 2nd",
        "burst of 30, 2nd",
        "the last answer of a burst of 30 came after 3.0",
    ):
        assert words in unwrap_lines(text)
    assert "not measured far enough" not in text
