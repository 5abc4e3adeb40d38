"""The whole tail of a load: measured, replayed in order, and as a closed-loop tool would report it.

Users in a closed loop send nothing while they wait, so requests due during a stall are never
measured: coordinated omission. All times in seconds. See docs/method.md, Open and closed loads.
"""

import heapq
import math

import numpy as np

from reports.stats.model import Curve, PercentileCurves, ReplayResult, SendLog
from reports.stats.quantiles import MIN_BEYOND, Array, Flags, LatencyStats
from reports.stats.queueing import replay_latencies

_POINTS_PER_DECADE = 30  # points per decade of a curve


def closed_loop_mask(sends: SendLog, users: int) -> Flags:
    """Return which requests `users` in a closed loop would have sent: those due while one is idle.

    The answers are those of the whole load. Alone, such users would see even lower latencies.
    """
    free, mask = [-math.inf] * users, np.zeros(len(sends.planned), dtype=bool)
    order = np.argsort(sends.planned, kind="stable")
    ends = np.where(sends.finished, sends.done, np.inf)[order].tolist()
    for i, planned_at, end in zip(order.tolist(), sends.planned[order].tolist(), ends, strict=True):
        if free[0] <= planned_at:
            heapq.heapreplace(free, end)
            mask[i] = True
    return mask


def percentile_curves(
    sends: SendLog, seconds: float, replay_result: ReplayResult | None
) -> PercentileCurves | None:
    """Return the percentile curves of a window of `seconds`; None without a request."""
    latency, inside = sends.done - sends.planned, sends.in_window
    if not inside.any():
        return None
    # as many as requests were in flight on average
    users = max(1, round(float(latency[inside].sum()) / seconds))
    ideal = np.array([])
    if replay_result and replay_result.is_close_fit:
        served = replay_latencies(sends.sent, replay_result.service_time, replay_result.places)
        ideal = (served + replay_result.http_overhead + sends.sent - sends.planned)[inside]
    sampled = latency[inside & sends.finished & closed_loop_mask(sends, users)]
    upper_bound = _quantile_curve(np.where(sends.finished, latency, np.inf)[inside])
    return PercentileCurves(
        measured=_quantile_curve(latency[inside]),
        upper_bound=tuple(point for point in upper_bound if point[1] < math.inf),
        replayed=_quantile_curve(ideal),
        closed_loop=_quantile_curve(sampled),
        users=users,
        window_latency=LatencyStats.from_samples(latency[inside], sends.finished[inside]),
        closed_loop_latency=LatencyStats.from_samples(sampled, np.ones(len(sampled), dtype=bool)),
    )


def _quantile_curve(latencies: Array) -> Curve:
    """Return quantiles at even steps of 1 / (1 - q), up to where ten samples lie beyond."""
    n, end = len(latencies), len(latencies) / MIN_BEYOND
    if end < 1:
        return ()
    steps = np.geomspace(1, end, 2 + int(_POINTS_PER_DECADE * math.log10(end)))
    ranks = np.maximum(np.ceil(n * (1 - 1 / steps) - 1e-9).astype(int), 1) - 1
    return tuple(zip(steps.tolist(), np.sort(latencies)[ranks].tolist(), strict=True))
