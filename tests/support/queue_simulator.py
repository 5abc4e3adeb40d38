"""A small queue simulator with known truth: c places in any order, or a loop in gated batches."""

import heapq
from collections.abc import Iterable

import numpy as np

from reports.stats.quantiles import Array

ORDERS = ("first", "last", "random")


def arrivals(rng: np.random.Generator, rate: float, count: int) -> Array:
    """Poisson arrivals."""
    return np.cumsum(rng.exponential(1 / rate, count))


def serve(
    sent: Array,
    service: Iterable[float],
    c: int = 1,
    order: str = "first",
    rng: np.random.Generator | None = None,
) -> Array:
    """When each of the `sent` (ascending) is done.

    No place idles or is interrupted; the kth request to begin takes `service[k]` seconds.
    """
    rng = rng or np.random.default_rng(0)
    arriving, free, waiting, done, came, now = (
        sent.tolist(),
        [0.0] * c,
        list[int](),
        np.empty(len(sent)),
        0,
        0.0,
    )
    for takes in service:
        now = max(now, heapq.heappop(free))  # a place may have been free for long
        if not waiting:
            now = max(now, arriving[came])
        while came < len(arriving) and arriving[came] <= now:
            waiting.append(came)
            came += 1
        place = (
            {"first": 0, "last": -1}.get(order)
            if order != "random"
            else int(rng.integers(len(waiting)))
        )
        assert place is not None
        served = waiting.pop(place)
        done[served] = now + takes
        heapq.heappush(free, now + takes)
    return done


def constant(sent: Array, d: float) -> list[float]:
    """The same service time for every request."""
    return [d] * len(sent)


def gated(sent: Array, d: float) -> Array:
    """Response times of one place that ends all that came in the previous batch at one moment."""
    latencies, now, i = np.empty(len(sent)), 0.0, 0
    while i < len(sent):
        now = max(now, float(sent[i]))
        last = int(np.searchsorted(sent, now, side="right"))
        now += d * (last - i)
        latencies[i:last] = now - sent[i:last]
        i = last
    return latencies


def crowd(users: int, c: int, d: float, think: float, count: int) -> tuple[Array, Array]:
    """(sent, done) of `count` closed-loop requests, first come first served, in sending order."""
    asking, free, rows = [(0.0, i) for i in range(users)], [0.0] * c, list[tuple[float, float]]()
    while len(rows) < count:
        sent, user = heapq.heappop(asking)
        done = max(sent, heapq.heappop(free)) + d
        heapq.heappush(free, done)
        heapq.heappush(asking, (done + think, user))
        rows.append((sent, done))
    table = np.array(rows)
    return table[:, 0], table[:, 1]


def serve_thinkers(
    rng: np.random.Generator, users: int, c: int, seconds: tuple[float, float], *, exponential: bool
) -> float:
    """Throughput of `users` with pauses; `seconds`: service and pause, on average."""
    (d, think), count = seconds, 20_000
    works = rng.exponential(d, count + users) if exponential else np.full(count + users, d)
    rests = rng.exponential(think, count + users) if think else np.zeros(count + users)
    asking, free, done = [(float(rests[i]), i) for i in range(users)], [0.0] * c, list[float]()
    heapq.heapify(asking)
    while len(done) < count:
        sent, user = heapq.heappop(asking)
        ends = max(sent, heapq.heappop(free)) + float(works[len(done)])
        heapq.heappush(free, ends)
        heapq.heappush(asking, (ends + float(rests[users + len(done)]), user))
        done.append(ends)
    ends_in_order = np.sort(done)
    tail = ends_in_order[count // 5 : -users]
    return float((len(tail) - 1) / (tail[-1] - tail[0]))
