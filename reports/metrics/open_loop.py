"""Counts one load of the open model: sent and answered requests, and whether a backlog grew.

No request may vanish: it also counts those that the cap refused, those without an answer and those
that failed. Percentiles of an overloaded route only show how long the test was, so it first decides
whether the route was overloaded.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.metrics.fairness import count_answers_per_user, count_starved_users
from reports.metrics.model import OpenLoadMetrics, RouteMetrics
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


@dataclass(frozen=True, slots=True)
class _Load:
    """The requests of one open cell: all `rows`, those `sent` by send time, from `go` on."""

    arrivals: Arrivals
    window: Window
    rows: pd.DataFrame
    sent: pd.DataFrame
    go: float

    @property
    def seconds(self) -> float:
        return self.window.end - self.go

    @property
    def refused(self) -> int:
        return int(self.rows.error[self.rows.sent.isna()].str.contains("cap").sum())

    def in_flight(self, timestamp: float, older: float = 0.0) -> int:
        """Return the requests in flight at `timestamp` for longer than `older` seconds."""
        ends = self.sent.done.where(~self.sent.censored, np.inf)
        return int(((self.sent.sent <= timestamp - older) & (ends > timestamp)).sum())

    def is_backlog_growing(self, unloaded_latency: float | None) -> bool:
        """Return whether more requests are overdue than by chance, and their number still grows.

        Constant arrivals cause no backlog. On a route that just keeps up, the queue after n Poisson
        arrivals is a random walk with deviation sqrt(n): three times that is chance once in 300
        such tests, and far rarer below capacity. A slow route without a limit has many requests in
        flight, but none for longer than an unloaded answer takes.
        """
        if unloaded_latency is None:
            return False
        is_even = self.arrivals.law is ArrivalDistribution.CONSTANT
        chance = 0.0 if is_even else _CHANCE_DEVIATIONS * math.sqrt(len(self.sent))
        early = self.in_flight(self.go + self.seconds / 3, unloaded_latency)
        overdue = self.in_flight(self.window.end, unloaded_latency)
        # Once the cap refuses requests, the queue cannot grow further.
        is_growing = self.refused > 0 or overdue - early > overdue / 3
        return overdue > max(_MIN_OBSERVATIONS, chance) and is_growing

    def arrival_tests(self) -> tuple[tuple[int, float, float], ...]:
        """Test the planned times of a Poisson load with one rate, and the sent ones if all left."""
        (_, begin, end), *others = self.arrivals.profile
        if self.arrivals.law is not ArrivalDistribution.POISSON or others or begin != end:
            return ()
        columns = [self.rows.intended] if self.refused else [self.rows.intended, self.sent.sent]
        return tuple(
            arrival_stats(np.sort(times.to_numpy()) - self.go, self.seconds)
            for times in columns
            if len(times) > _MIN_OBSERVATIONS
        )


def measure_open_load(run_data: RunData, cell: Cell, route: RouteMetrics) -> OpenLoadMetrics:
    """Measure one open cell; the capacity of `route` is what its crowds showed, if any."""
    window, arrivals = steady_window(run_data, cell, cell.name), cell.arrivals
    # Only measured open cells come here
    assert window is not None and arrivals is not None  # noqa: S101, PT018
    rows = window.all_rows
    sent = rows[rows.sent.notna()].sort_values("sent")
    load = _Load(arrivals, window, rows, sent, float(run_data.marks(cell.name)["go"].min()))
    rate, nominal_rate = len(sent) / load.seconds, arrivals.expected_requests / arrivals.duration
    in_window, valid = valid_rows(window.rows), valid_rows(sent[~sent.censored])
    floor = quantile(valid.latency.to_numpy(), FASTEST_SHARE) if len(valid) else None
    sends, crowd, capacity = build_send_log(sent, in_window), route.crowd_places, route.capacity
    estimate = estimate_concurrency(sends, route.unloaded_mean, crowd)
    count, service, replay = estimate.count, estimate.service_time, None
    if count and service:
        replay = compare_with_replay(sends, count, service, estimate.http_overhead)
    close_replay = replay if replay and replay.is_close_fit else None
    rho = rate * close_replay.service_time / close_replay.places if close_replay else 0.0
    known = count if crowd or close_replay else None
    busy = service if known else None
    # Without a known capacity, use the pace of the answers themselves.
    limit = capacity or (_OVERLOAD_RATIO * (known / busy) if known and busy else math.inf)
    backlog = load.in_flight(window.end)
    exceeds_capacity = min(nominal_rate, rate) > limit and backlog > (known or 1)
    overloaded = exceeds_capacity or load.is_backlog_growing(floor)
    return OpenLoadMetrics(
        cell=cell.name,
        nominal_rate=nominal_rate,
        peak_rate=max(max(begin, end) for _, begin, end in arrivals.profile),
        law=arrivals.law,
        share=cell.share,
        repeat=cell.repeat,
        seconds=load.seconds,
        planned=len(rows),
        sent=len(sent),
        refused=load.refused,
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
            tau=correlation_length(rho) if 0 < rho < 1 else 1.0,
        ),
        unloaded_latency=busy + estimate.http_overhead if busy else floor,
        lateness=quantile((sent.sent - sent.intended).to_numpy(), 0.99) if len(sent) else None,
        arrival_tests=load.arrival_tests(),
        capacity=capacity,
        overloaded=overloaded,
        concurrency=known,
        stationarity=None if overloaded else _load_stationarity(sends, close_replay, estimate),
        concurrency_estimate=estimate,
        replay_result=replay,
        starved_share=_starved_connection_share(valid),
        curves=None if overloaded else percentile_curves(sends, window.seconds, replay),
    )


def build_send_log(sent: pd.DataFrame, in_window: pd.DataFrame) -> SendLog:
    """Return a cell's requests as columns; `in_window` are those that its results use."""
    planned, sent_at, done = (sent[name].to_numpy() for name in ("intended", "sent", "done"))
    is_in_window = np.asarray(sent.index.isin(in_window.index))
    return SendLog(planned, sent_at, done, ~sent.censored.to_numpy(), is_in_window)


def _load_stationarity(
    sends: SendLog, close_replay: ReplayResult | None, estimate: ConcurrencyEstimate
) -> Stationarity | None:
    """Use measured over replayed latency: a queue that no replay explains wanders by itself."""
    took = (sends.done - sends.sent)[sends.finished]
    if close_replay:
        ideal = replay_latencies(sends.sent, close_replay.service_time, close_replay.places)
        return Stationarity.from_values(took / ideal[sends.finished])
    return Stationarity.from_values(took) if estimate.source is EstimateSource.IDLE else None


def _starved_connection_share(valid: pd.DataFrame) -> float | None:
    """Return the share of connections with fewer than half as many answers as the median one.

    A warm pool first takes the connection used last, so the sender causes most of this.
    """
    answers = count_answers_per_user(valid)
    return count_starved_users(answers) / len(answers) if len(answers) else None
