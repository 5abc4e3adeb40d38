"""What a queue with Poisson arrivals should feel like: M/D/c, exact - constant service, c places, first come first served.

Greek as in the sources: Crommelin 1932 for the queue's generating function; Franx, "A simple solution for the M/D/c
waiting time distribution" (2001), for the wait, whose terms are all positive, so that it stays exact near saturation.
"""

import math
from dataclasses import dataclass

import numpy as np

from reports.percentiles import Array


@dataclass(frozen=True, slots=True)
class Queue:
    """A stationary M/D/c queue. `at_most[m]` is P(queue <= m); `decay` the root z0 > 1 of z = exp(rho (z - 1))."""

    lam: float  # arrivals per second
    d: float  # seconds of service
    c: int
    at_most: Array
    decay: float

    def wait_cdf(self, x: float) -> float:
        """P(wait <= x seconds)."""
        k = int(x / self.d + 1e-12) + 1
        mu, j = max(self.lam * (k * self.d - x), 1e-300), np.arange(k * self.c)
        log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, k * self.c)))])
        queue = self.at_most[np.minimum(k * self.c - 1 - j, len(self.at_most) - 1)]
        return float(queue @ np.exp(j * math.log(mu) - mu - log_factorial))

    def mean(self) -> float:
        """Mean response time in seconds, by Little's law over the queue."""
        return self.d + float(np.sum(1 - self.at_most)) / self.lam

    def quantile(self, q: float) -> float:
        """Response time in seconds that a share `q` of the requests does not exceed, by bisection."""
        if self.wait_cdf(0.0) >= q:
            return self.d
        low, high = 0.0, self.d
        while self.wait_cdf(high) < q:
            low, high = high, 2 * high
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.wait_cdf(middle) < q else (low, middle)
        return self.d + high


def mdc(lam: float, d: float, c: int) -> Queue:
    """The queue at `lam` requests per second on `c` places that take `d` seconds each; lam d must lie below c."""
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
    return Queue(lam, d, c, np.minimum(np.cumsum(chances), 1), decay)
