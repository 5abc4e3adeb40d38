"""Queueing theory in numpy alone: exact formulas, replays and fits; seconds, requests per second.

The server is c places that take D seconds each, first come first served. Sources: Crommelin 1932
for the queue; Franx 2001 for the wait, whose terms are all positive, so that it stays exact near
saturation; Denning and Buzen for the closed loop. See docs/method.md, Replay and theory.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reports.stats.quantiles import Array
from results.thresholds import is_saturated

MIN_GAPS = 10  # gaps between completions; fewer say nothing
_MIN_BLOCK_WINS = 9  # blocks of ten that c must win against both its neighbours
_ERROR_TOLERANCE, _CLOCK_TICK = 1.1, 1e-6  # times the best error, plus 1 us: counts as equal
_MAX_HTTP_OVERHEAD = 0.005  # seconds; HTTP on one host costs 1 to 3 ms, more has another cause


@dataclass(frozen=True, slots=True)
class MdcQueue:
    """A stationary M/D/c queue."""

    lam: float  # arrivals per second
    d: float  # seconds of service
    c: int
    queue_cdf: Array  # [m] is P(queue <= m)
    decay: float  # the root z0 > 1 of z = exp(rho (z - 1))

    def wait_cdf(self, x: float) -> float:
        """Return P(wait <= x seconds)."""
        k = int(x / self.d + 1e-12) + 1
        mu, j = max(self.lam * (k * self.d - x), 1e-300), np.arange(k * self.c)
        log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, k * self.c)))])
        queue = self.queue_cdf[np.minimum(k * self.c - 1 - j, len(self.queue_cdf) - 1)]
        return float(queue @ np.exp(j * math.log(mu) - mu - log_factorial))

    def mean(self) -> float:
        """Return the mean response time in seconds, by Little's law over the queue."""
        return self.d + float(np.sum(1 - self.queue_cdf)) / self.lam

    def quantile(self, q: float) -> float:
        """Return the `q` quantile of the response time in seconds, by bisection."""
        if self.wait_cdf(0.0) >= q:
            return self.d
        low, high = 0.0, self.d
        while self.wait_cdf(high) < q:
            low, high = high, 2 * high
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.wait_cdf(middle) < q else (low, middle)
        return self.d + high


def mdc_queue(lam: float, d: float, c: int) -> MdcQueue:
    """Return the queue of `lam` requests/s on `c` places of `d` seconds each; needs lam d < c."""
    a, rho = lam * d, lam * d / c
    decay = 1 + 4 * (1 - math.log(rho)) / rho  # right of its root: Newton then cannot fall onto 1
    turns = np.exp(2j * np.pi * np.arange(1, c) / c)
    roots = np.zeros(c - 1, complex)
    for _ in range(100):
        e = math.exp(rho * (decay - 1))
        decay -= (decay - e) / (1 - rho * e)
        f = turns * np.exp(rho * (roots - 1))
        roots -= (roots - f) / (1 - rho * f)
    points = 1 << (int(30 / math.log(decay)) + 4 * c + 64).bit_length()
    z = np.exp(2j * np.pi * np.arange(points) / points)
    g = np.ones(points, complex)
    g[1:] = (c - a) * (z[1:] - 1) / (z[1:] ** c - np.exp(a * (z[1:] - 1)))
    for root in roots:
        g[1:] *= (z[1:] - root) / (1 - root)
    chances = np.clip(np.fft.fft(g).real / points, 0, None)
    return MdcQueue(lam, d, c, np.minimum(np.cumsum(chances), 1), decay)


def correlation_length(rho: float) -> float:
    """Return how many requests are worth one independent request at utilization `rho`."""
    return rho / (rho - 1 - math.log(rho))


def closed_loop_mean(
    users: int, service: float, concurrency: float, think_time: float = 0.0
) -> float:
    """Return the mean latency of a closed loop on c servers: max(D, N D / c - Z) seconds."""
    return max(service, users * service / concurrency - think_time)


def closed_loop_rate(
    users: float, service: float, concurrency: float, think_time: float = 0.0
) -> float:
    """Return the throughput of the same closed loop: min(N / (D + Z), c / D) requests/s."""
    return min(users / (service + think_time), concurrency / service)


def burst_completion_time(size: int, service: float, concurrency: float) -> float:
    """Return the seconds until the last of a burst is answered: ceil(N / c) D."""
    return math.ceil(size / concurrency) * service


def replay_latencies(sent: Array, d: float, c: int = 1) -> Array:
    """Return each request's response time if `c` ideal places had served the same ascending sends.

    Request n starts when it has arrived and request n - c has left: c lanes, each a running maximum
    after subtracting k D.
    """
    n, rows = len(sent), -(-len(sent) // c)
    lanes = np.full(rows * c, np.inf)
    lanes[:n] = sent
    slope = np.arange(rows)[:, None] * d
    begins = np.maximum.accumulate(lanes.reshape(rows, c) - slope, axis=0) + slope
    latencies: Array = begins.reshape(-1)[:n] + d - sent
    return latencies


def neighbour_delays(timestamps: Array, sent: Array, response: Array) -> Array:
    """Return how long a neighbour's requests wait for the requests that hold the event loop."""
    last = np.searchsorted(sent, timestamps, side="right") - 1
    leaves = np.append(sent + response, -np.inf)[last]  # index -1: no earlier request
    return np.maximum(leaves - timestamps, 0.0)


def busy_service_time(sent: Array, done: Array, c: int, min_latency: float = 0.0) -> float | None:
    """Return D in place: the median gap between completions i - c and i; None below ten gaps.

    Counts only gaps where request i was sent before completion i - c: then its place was never
    idle, whatever the order of service. (The usual condition, a latency above D, gives up to 80 %
    too much when service is uneven.) Leaves out requests quicker than `min_latency`.
    """
    order = np.argsort(done)
    ends, took = done[order], (done - sent)[order]
    gaps = (ends[c:] - ends[:-c])[(sent[order][c:] < ends[:-c]) & (took[c:] > min_latency)]
    return float(np.median(gaps)) if len(gaps) >= MIN_GAPS else None


def _grid_minimise(
    error: Callable[[float], float], low: float, high: float, points: int
) -> tuple[float, float]:
    """Return the smallest error on a grid, refined twice around its best point, and that point."""
    for _ in range(3):
        grid = np.linspace(low, high, points)
        errors = [error(float(point)) for point in grid]
        best = int(np.argmin(errors))
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, points - 1)])
    return float(errors[best]), float(grid[best])


def fit_sweep(users: Array, rates: Array, d: float, think_time: float = 0.0) -> float:
    """Estimate c of a drained closed sweep by fitting X = min(N / (D + Z), c / D), on a log scale.

    At least two levels of `users` must exceed c.
    """

    def error(log_c: float) -> float:
        predicted = np.minimum(users / (d + think_time), math.exp(log_c) / d)
        return float((np.log(rates / predicted) ** 2).sum())

    return math.exp(_grid_minimise(error, math.log(0.5), math.log(2 * float(users.max())), 200)[1])


@dataclass(frozen=True, slots=True)
class QueueFit:
    """c and D that fit an open run's completions best."""

    concurrency: int
    service_time: float
    block_wins: int  # in how many of ten blocks of time c fits better than c - 1 and c + 1
    at_least: int  # the smallest c whose error is within a tenth of the best

    @property
    def is_identified(self) -> bool:
        """Whether c is known; otherwise say "at least `at_least`"."""
        return self.block_wins >= _MIN_BLOCK_WINS


def completion_errors(
    sent: Array, done: Array, d: float, c: int, http_overhead: float | None = 0.0
) -> Array:
    """Return how far each completion (finished only) lies from the replay's, in any order.

    `http_overhead`: seconds of every answer outside its place; None takes the median delay.
    """
    # The replay's completions ascend as the sends do: first come, first served.
    late = np.sort(done) - (sent + replay_latencies(sent, d, c))[: len(done)]
    if http_overhead is None:
        http_overhead = float(np.clip(np.median(late), 0, _MAX_HTTP_OVERHEAD))
    return np.abs(late - http_overhead)


def fit_open_load(sent: Array, done: Array, top: float) -> QueueFit:
    """Fit c and D to one open run; `sent` ascends, `top` is the unloaded latency in seconds.

    D is the time in a place, without HTTP: with it, c could not be identified where nearly all
    places are busy. The candidates for c rise from half the mean number in service until more
    places change nothing or fit no better.
    """
    ends = np.sort(done)
    # The rate of the answers: more than c / D may be sent, but not answered.
    lam = len(ends) / (ends[-1] - sent[0])
    c, best, is_idle = max(1, int(0.5 * lam * top)), 0, False
    fits: dict[int, tuple[float, float]] = {}

    def fit_service_time(c: int) -> tuple[float, float]:
        def mean_error(d: float) -> float:
            return float(completion_errors(sent, ends, d, c, None).mean())

        return _grid_minimise(mean_error, 0.85 * top, 1.02 * top, 13)

    while not fits or c <= best + 1 or not (is_idle or c > 1.25 * best + 3):
        fits[c] = fit_service_time(c)
        best = min(fits, key=lambda candidate: fits[candidate][0])
        is_idle = replay_latencies(sent, fits[c][1], c).max() <= fits[c][1] * (1 + 1e-9)
        c += 1
    if best > 1 and best - 1 not in fits:
        fits[best - 1] = fit_service_time(best - 1)
    least, d = fits[best]
    errors, wins = completion_errors(sent, ends, d, best, None), [10]
    for other in {best - 1, best + 1} & set(fits):
        gain = completion_errors(sent, ends, fits[other][1], other, None) - errors
        blocks = np.array_split(gain, 10)
        wins.append(sum(float(block.sum()) > _CLOCK_TICK for block in blocks))
    limit = _ERROR_TOLERANCE * least + _CLOCK_TICK
    return QueueFit(best, d, min(wins), min(c for c, (error, _) in fits.items() if error <= limit))


def crowd_capacity(
    users: int, rate: float, service: float | None, think_time: float = 0.0
) -> float | None:
    """Return a crowd's throughput as capacity in requests/s; None unless part of it waited."""
    return rate if service and is_saturated(users, rate, service, think_time) else None
