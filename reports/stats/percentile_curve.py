"""The whole tail of a load: as measured, as replayed in order, and as a closed-loop tool would have told it.

Users in a closed loop do not ask while they wait, so whoever would have come during a stall is never measured: coordinated
omission. How much that hides follows from the run's own requests. Pure numpy; seconds everywhere.
"""

import heapq
import math

import numpy as np

from reports.stats.model import Curve, Replayed, Sends, Spectrum
from reports.stats.quantiles import BEYOND, Array, Flags, Latency
from reports.stats.queueing import replay

STEPS = 30  # points per decade of a curve


def as_closed(sends: Sends, users: int) -> Flags:
    """Which requests `users` in a closed loop would have sent: one of them had its last answer before the planned moment.

    The answers are those of the whole load, so what such users would have seen by themselves is quicker still.
    """
    free, taken = [-math.inf] * users, np.zeros(len(sends.planned), dtype=bool)
    order = np.argsort(sends.planned, kind="stable")
    ends = np.where(sends.finished, sends.done, np.inf)[order].tolist()
    for i, moment, end in zip(order.tolist(), sends.planned[order].tolist(), ends, strict=True):
        if free[0] <= moment:
            heapq.heapreplace(free, end)
            taken[i] = True
    return taken


def spectrum(sends: Sends, seconds: float, found: Replayed | None) -> Spectrum | None:
    """The spectrum of a window of so many `seconds`. The closed loop has as many users as were in flight on average."""
    latency, inside, answered = sends.done - sends.planned, sends.inside, sends.inside & sends.finished
    if not inside.any():
        return None
    users = max(1, round(float(latency[inside].sum()) / seconds))
    ideal = np.array([])
    if found and found.follows:
        ideal = (replay(sends.sent, found.d, found.places) + found.way + sends.sent - sends.planned)[inside]
    heard = latency[answered & as_closed(sends, users)]
    return Spectrum(
        measured=curve(latency[inside]),
        most=tuple(point for point in curve(np.where(sends.finished, latency, np.inf)[inside]) if point[1] < math.inf),
        replayed=curve(ideal),
        closed=curve(heard),
        users=users,
        own=Latency.of(latency[inside], sends.finished[inside]),
        told=Latency.of(heard, np.ones(len(heard), dtype=bool)),
    )


def curve(latencies: Array) -> Curve:
    """Quantiles at even steps of 1 / (1 - q), up to where ten samples lie beyond."""
    n, end = len(latencies), len(latencies) / BEYOND
    if end < 1:
        return ()
    steps = np.geomspace(1, end, 2 + int(STEPS * math.log10(end)))
    ranks = np.maximum(np.ceil(n * (1 - 1 / steps) - 1e-9).astype(int), 1) - 1
    return tuple(zip(steps.tolist(), np.sort(latencies)[ranks].tolist(), strict=True))
