"""Counts one load of the open model: sent and answered requests, and whether a backlog grew.

No request may vanish: those that the cap refused, those without an answer and those that failed are
each counted. Percentiles of an overloaded route only show how long the test was, so whether it was
overloaded is decided here, first.
"""

import math

import numpy as np
import pandas as pd

from reports.metrics.model import OpenLoadMetrics
from reports.metrics.run_data import RunData
from reports.metrics.steady_state import Window, steady_window, valid_rows
from reports.stats.model import ConcurrencyEstimate, EstimateSource, ReplayResult, SendLog
from reports.stats.percentile_curve import percentile_curves
from reports.stats.poisson_test import arrival_stats
from reports.stats.quantiles import LatencyStats, quantile
from reports.stats.queueing import correlation_length, replay_latencies
from reports.stats.replay import FASTEST_SHARE, compare_with_replay, estimate_concurrency
from reports.stats.stationarity import Stationarity
from results.schema import ArrivalDistribution, Arrivals, Cell

# standard deviations: the backlog of Poisson arrivals by chance on a route that just keeps up
_CHANCE_DEVIATIONS = 3.0
_MIN_OBSERVATIONS = 10  # gaps, or overdue requests; fewer show nothing
_OVERLOAD_RATIO = 1.02  # times the capacity that the answers' own pace gives


def measure_open_load(
    run_data: RunData, cell: Cell, capacity: float | None, crowd: int | None, service: float | None
) -> OpenLoadMetrics:
    """All numbers of one open cell.

    `capacity` (requests/s), `crowd` (places) and unloaded `service` are what crowds showed, if any.
    """
    window, arrivals = steady_window(run_data, cell, cell.name), cell.arrivals
    # Only measured open cells come here
    assert window is not None and arrivals is not None  # noqa: S101, PT018
    go = float(run_data.marks(cell.name)["go"].min())
    rows, lasts = window.all_rows, window.end - go
    sent, in_window = rows[rows.sent.notna()].sort_values("sent"), valid_rows(window.rows)
    valid = valid_rows(sent[~sent.censored])
    floor = quantile(valid.latency.to_numpy(), FASTEST_SHARE) if len(valid) else None
    nominal, rate = arrivals.expected_requests / arrivals.duration, len(sent) / lasts
    refused = int(rows.error[rows.sent.isna()].str.contains("cap").sum())
    backlog = int(_count_in_flight(sent, window.end))
    sends = build_send_log(sent, in_window)
    estimate = estimate_concurrency(sends, service, crowd)
    replay_result = (
        compare_with_replay(sends, estimate.count, estimate.service_time, estimate.http_overhead)
        if estimate.count and estimate.service_time
        else None
    )
    known = estimate.count if crowd or (replay_result and replay_result.is_close_fit) else None
    busy = estimate.service_time if known else None
    # Without a known capacity, use the pace of the answers themselves.
    full = capacity or (known / busy if known and busy else None)
    above = full is not None and min(nominal, rate) > (capacity or _OVERLOAD_RATIO * full)
    overloaded = (above and backlog > (known or 1)) or _is_backlog_growing(
        sent,
        floor,
        go,
        window,
        refused=refused > 0,
        chance=0 if arrivals.law is ArrivalDistribution.CONSTANT else _CHANCE_DEVIATIONS,
    )
    return OpenLoadMetrics(
        cell=cell.name,
        nominal_rate=nominal,
        peak_rate=max(max(begin, end) for _, begin, end in arrivals.profile),
        law=arrivals.law,
        share=cell.share,
        repeat=cell.repeat,
        seconds=lasts,
        planned=len(rows),
        sent=len(sent),
        refused=refused,
        sent_rate=rate,
        completed=int((valid.done <= window.end).sum()),
        throughput=window.throughput,
        backlog=backlog,
        unfinished=int(sent.censored.sum()),
        errors=int(sent.error.notna().sum()),
        latency=LatencyStats.from_samples(
            in_window.latency.to_numpy(),
            ~in_window.censored.to_numpy(),
            correlated=not overloaded,
            tau=_load_correlation_length(rate, replay_result),
        ),
        unloaded_latency=busy + estimate.http_overhead if busy else floor,
        lateness=quantile((sent.sent - sent.intended).to_numpy(), 0.99) if len(sent) else None,
        arrival_tests=_test_arrivals(arrivals, rows, sent, (go, lasts), refused),
        growth=backlog / lasts,
        capacity=capacity,
        overloaded=overloaded,
        concurrency=known,
        busy_service_time=busy,
        stationarity=None if overloaded else _load_stationarity(sends, replay_result, estimate),
        concurrency_estimate=estimate,
        replay_result=replay_result,
        starved_share=_starved_connection_share(valid),
        curves=None if overloaded else percentile_curves(sends, window.seconds, replay_result),
    )


def _test_arrivals(
    arrivals: Arrivals,
    rows: pd.DataFrame,
    sent: pd.DataFrame,
    span: tuple[float, float],
    refused: int,
) -> tuple[tuple[int, float, float], ...]:
    """Tests of planned and sent times, where a Poisson load had one rate; else none.

    Refused requests were planned and not sent, so only the plan is tested then.
    """
    is_flat = len(arrivals.profile) == 1 and arrivals.profile[0][1] == arrivals.profile[0][2]
    if arrivals.law is not ArrivalDistribution.POISSON or not is_flat:
        return ()
    go, lasts = span
    columns = (rows.intended,) if refused else (rows.intended, sent.sent)
    return tuple(
        arrival_stats(np.sort(timestamps.to_numpy()) - go, lasts)
        for timestamps in columns
        if len(timestamps) > _MIN_OBSERVATIONS
    )


def build_send_log(sent: pd.DataFrame, in_window: pd.DataFrame) -> SendLog:
    """A cell's requests as columns; `in_window` are those that its results use."""
    planned, sent_at, done = (sent[name].to_numpy() for name in ("intended", "sent", "done"))
    return SendLog(
        planned,
        sent_at,
        done,
        ~sent.censored.to_numpy(),
        np.asarray(sent.index.isin(in_window.index)),
    )


def _load_correlation_length(rate: float, replay_result: ReplayResult | None) -> float:
    """How many requests in a row are worth one independent request.

    1, which claims nothing, where no replay gives the utilization.
    """
    rho = (
        rate * replay_result.service_time / replay_result.places
        if replay_result and replay_result.is_close_fit
        else 0.0
    )
    return correlation_length(rho) if 0 < rho < 1 else 1.0


def _load_stationarity(
    sends: SendLog, replay_result: ReplayResult | None, estimate: ConcurrencyEstimate
) -> Stationarity | None:
    """Whether a load stayed steady: measured latency over replayed latency, to remove chance.

    A queue that no replay explains wanders by itself, which looks like a drift.
    """
    took = (sends.done - sends.sent)[sends.finished]
    if replay_result and replay_result.is_close_fit:
        service_time, places = replay_result.service_time, replay_result.places
        ideal = replay_latencies(sends.sent, service_time, places)[sends.finished]
        return Stationarity.from_values(took / ideal)
    return Stationarity.from_values(took) if estimate.source is EstimateSource.IDLE else None


def _starved_connection_share(valid: pd.DataFrame) -> float | None:
    """Share of the connections with fewer than half as many answers as the median one.

    A warm pool takes the connection used last first, so in the open model the sender causes most of
    this.
    """
    answers = valid.groupby(["worker", "connection"]).size().to_numpy()
    return float((answers < np.median(answers) / 2).mean()) if len(answers) else None


def _count_in_flight(sent: pd.DataFrame, timestamp: float, older: float = 0.0) -> int:
    """Requests in flight at `timestamp` for longer than `older` seconds."""
    ends = sent.done.where(~sent.censored, np.inf)
    return int(((sent.sent <= timestamp - older) & (ends > timestamp)).sum())


def _is_backlog_growing(  # noqa: PLR0913 - a queue, a floor, and the limits of chance
    sent: pd.DataFrame,
    unloaded_latency: float | None,
    go: float,
    window: Window,
    *,
    refused: bool,
    chance: float,
) -> bool:
    """Whether more requests are overdue at the close than by chance, and their number still grows.

    Constant arrivals cause no backlog. On a route that just keeps up, the queue after n Poisson
    arrivals is a random walk with deviation sqrt(n): three times that is chance once in 300 such
    tests, and far rarer below capacity. A slow route without a limit has many requests in flight,
    but none for longer than an unloaded answer takes. Once the cap refuses requests, the queue
    cannot grow further.
    """
    if unloaded_latency is None:
        return False
    early = _count_in_flight(sent, go + (window.end - go) / 3, unloaded_latency)
    overdue = _count_in_flight(sent, window.end, unloaded_latency)
    return overdue > max(_MIN_OBSERVATIONS, chance * math.sqrt(len(sent))) and (
        refused or overdue - early > overdue / 3
    )
