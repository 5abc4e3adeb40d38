"""Where the time went: parts that add up, on rows of known truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec import structs

from reports.metrics.breakdown import TIMESTAMP_COLUMNS, break_down_latency
from reports.metrics.model import CrowdMetrics
from reports.model import Report
from reports.render.charts import split as chart
from reports.report import build_report
from results.records import Done, RequestLine, Sent
from results.schema import Variant
from tests.support.simulate_run import OVERHEAD, World, write


def rows(count: int) -> pd.DataFrame:
    """Return requests that pass 1, 2, 3, 4 and 5 ms between their moments; the timer covers 8 ms."""
    steps = np.cumsum([0.0, 0.001, 0.002, 0.003, 0.004, 0.005])
    frame = pd.DataFrame(
        {name: np.arange(count) + step for name, step in zip(TIMESTAMP_COLUMNS, steps, strict=True)}
    )
    return frame.assign(app_end=frame.app_start + 0.008, censored=False)


def test_the_parts_are_what_lies_between_the_moments() -> None:
    """In order, and together the mean latency."""
    breakdown = break_down_latency(rows(10))
    assert breakdown is not None
    assert breakdown.parts == pytest.approx((0.001, 0.002, 0.003, 0.004, 0.005))
    assert [breakdown.total, breakdown.timer] == pytest.approx([0.015, 0.008])
    assert (breakdown.known, breakdown.count) == (10, 10)


def test_what_is_not_known_whole_is_counted_and_left_out() -> None:
    """No handler, no answer, another clock; a timer that was not read for all is not drawn."""
    frame = rows(11)
    frame.loc[10, "app_start"] = 5000.0
    frame.loc[0, "handler_start"] = np.nan
    frame.loc[1, "censored"] = True
    frame.loc[2, "app_end"] = np.nan
    breakdown = break_down_latency(frame)
    assert breakdown is not None
    assert (breakdown.known, breakdown.count, breakdown.timer) == (8, 11, None)
    assert breakdown.total == pytest.approx(0.015)


@pytest.mark.parametrize("name", TIMESTAMP_COLUMNS)
def test_without_a_moment_there_is_no_split(name: str) -> None:
    """Each of them is needed."""
    assert break_down_latency(rows(5).assign(**{name: np.nan})) is None


def level(report: Report, variant: Variant, users: int) -> CrowdMetrics:
    """Return the level with that many users."""
    route = report.run_metrics.find_route(variant)
    assert route
    return next(metrics for metrics in route.levels if metrics.users == users)


def test_the_simulated_queue_is_found_where_it_was_put(honest: Report) -> None:
    """31 of 32 service times before the app, a service time in the handler; the sum is the mean."""
    top = level(honest, Variant.BROKEN_ASYNC, 32)
    assert top.breakdown
    assert top.breakdown.total == pytest.approx(top.mean.low)
    assert top.breakdown.served == pytest.approx(0.1)
    assert top.breakdown.before_app == pytest.approx(top.mean.low - 0.1 - 1.5 * OVERHEAD)
    assert [top.breakdown.for_thread, top.breakdown.to_be_sent] == pytest.approx(
        [OVERHEAD / 2, OVERHEAD]
    )
    assert top.breakdown.timer == pytest.approx(0.1 + 0.75 * OVERHEAD)


def inside(cell: str, lines: list[RequestLine]) -> list[RequestLine]:
    """Handlers of the executor's crowds begin at once and wait for their thread inside."""
    if not cell.startswith("crowd/to-thread"):
        return lines
    sent = 0.0
    edited = list[RequestLine]()
    for line in lines:
        if isinstance(line, Sent):
            sent = line.sent
        edited.append(
            structs.replace(line, app_start=sent + OVERHEAD / 2, handler_start=sent + OVERHEAD)
            if isinstance(line, Done)
            else line
        )
    return edited


def test_a_wait_inside_the_handler_is_separated_from_work_by_the_unloaded_handler(
    tmp_path: Path,
) -> None:
    """64 users on 6 places: a tenth is work, the unloaded handler time; the rest is waiting."""
    report = build_report(write(tmp_path, World(edit=inside)))
    bar = next(
        bar
        for bar in chart.breakdown_bars(report.run_metrics)[-1]
        if bar.route.variant == Variant.TO_THREAD
    )
    lag, before_app, for_thread, work, waiting, _ = bar.segments.values()
    assert [lag + before_app + for_thread, work] == pytest.approx([OVERHEAD, 0.1])
    assert waiting == pytest.approx(bar.breakdown.total - 0.1 - 2 * OVERHEAD)
    assert bar.work_share == pytest.approx(0.1 / bar.breakdown.total)


def test_three_levels_are_drawn_and_all_are_listed(honest: Report) -> None:
    """1 user, the crowd that most variants share, the largest; a row per variant, same order."""
    columns = chart.breakdown_bars(honest.run_metrics)
    assert [{bar.level.users for bar in column} for column in columns] == [{1}, {16}, {32, 64}]
    assert len({tuple(bar.route.variant for bar in column) for column in columns}) == 1
    assert len(chart.CHART.table(honest.run_metrics).rows) == 16


def texts(report: Report) -> list[str]:
    """Everything that the chart says inside its panels."""
    figure = chart.CHART.draw(report.run_metrics)
    assert not isinstance(figure, str)
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_bracket_is_drawn_from_measured_moments_only(honest: Report) -> None:
    """No departure known, no bracket; the segments stay."""
    assert sum(text.startswith("server's timer") for text in texts(honest)) == 12
    routes = tuple(
        replace(
            route,
            levels=tuple(
                replace(level, breakdown=replace(level.breakdown, timer=None))
                for level in route.levels
                if level.breakdown
            ),
        )
        for route in honest.run_metrics.routes
    )
    blind = replace(honest, run_metrics=replace(honest.run_metrics, routes=routes))
    shown = texts(blind)
    assert not any(text.startswith("server's timer") for text in shown)
    assert sum("served" in text for text in shown) == 12


def test_the_title_tells_the_share_of_the_run(honest: Report) -> None:
    """97 % = 1 - 100 ms / (32 x 101 ms)."""
    assert "97 %" in chart.CHART.title(honest.run_metrics)


def test_a_route_with_fewer_levels_keeps_its_row_and_is_not_repeated(honest: Report) -> None:
    """A run cut short: the first variant has a single level, the second has two, two are whole."""
    routes = tuple(
        replace(route, levels=route.levels[:size])
        for route, size in zip(honest.run_metrics.routes, (1, 2, 4, 4), strict=True)
    )
    columns = chart.breakdown_bars(replace(honest.run_metrics, routes=routes))
    assert [[(bar.row, bar.level.users) for bar in column] for column in columns] == [
        [(0, 1), (1, 1), (2, 1), (3, 1)],
        [(2, 16), (3, 16)],
        [(1, 8), (2, 64), (3, 64)],
    ]
    assert not isinstance(chart.CHART.draw(replace(honest.run_metrics, routes=routes)), str)
