"""How often intervals contain the truth, and fits find c: `python -m benchmarks.theory`.

Prints expected values next to measured ones (docs/method.md). Intervals: what nominal 95 % ones of
p99 cover, for one run (independent ranks; Wilson on the effective size; what atonce prints) and
over five restarts. Fits: whether an open minute gives c, in random order, with uneven service,
stalls and overhead.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np

from reports.stats.quantiles import (
    LatencyStats,
    effective_sample_size,
    quantile,
    quantile_rank,
    restart_interval,
    wilson_ranks,
)
from reports.stats.queueing import (
    QueueFit,
    correlation_length,
    fit_open_load,
    mdc_queue,
    replay_latencies,
)
from tests.support.queue_simulator import arrivals, serve

RUNS, FITS = 400, 20
# c, rho, n, and what independent ranks and Wilson's interval on the effective size cover
ONE_RUN = [
    (1, 0.5, 1000, 0.66, 0.85),
    (1, 0.5, 4800, 0.57, 0.93),
    (1, 0.5, 20000, 0.60, 0.94),
    (1, 0.8, 4800, 0.21, 0.78),
    (1, 0.8, 20000, 0.25, 0.84),
    (6, 0.8, 4800, 0.19, 0.73),
    (40, 0.9, 4800, 0.10, 0.48),
]
# c, rho, n, bias, coverage
RESTARTS = [
    (1, 0.5, 1500, -0.01, 0.91),
    (1, 0.5, 6000, 0.0, 0.95),
    (1, 0.7, 3000, -0.01, 0.91),
    (1, 0.8, 1000, -0.12, 0.77),
    (1, 0.8, 3000, -0.04, 0.86),
    (1, 0.8, 6000, -0.02, 0.91),
    (6, 0.8, 6000, -0.01, 0.93),
]


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the fits: the truth, and the least number of won blocks of ten."""

    c: int
    rho: float
    wins: int


CASES = [
    Case(1, 0.5, 10),
    *(Case(c, 0.7, 10) for c in (1, 2, 4, 6, 8)),
    Case(6, 0.5, 9),
    Case(16, 0.7, 9),
    Case(16, 0.85, 10),
]
CASES += [Case(40, 0.85, 9), Case(40, 0.95, 9), Case(40, 0.7, 0)]


def fitted(case: Case, seed: int) -> QueueFit:
    """The fit to a minute of D = 100 ms in random order.

    With 2 % noise, a stall of 20 ms in a thousand requests, and 2 ms of overhead.
    """
    rng, d = np.random.default_rng(seed), 0.1
    count = int(rng.poisson(60 * case.rho * case.c / d))
    sent = np.sort(rng.uniform(0, 60, count))
    service = d * (1 + 0.02 * rng.standard_normal(count)) + 0.02 * (rng.random(count) < 0.001)
    done = serve(sent, service, case.c, "random", rng) + 0.002
    return fit_open_load(sent, done, quantile(done - sent, 0.05) if case.rho < 0.95 else d + 0.002)


def one_run(c: int, rho: float, n: int) -> tuple[float, float, str]:
    """Coverage of p99 by independent ranks, by effective size, and as printed, with how often."""
    rng, queue, burn = (
        np.random.default_rng(1),
        mdc_queue(rho * c, 1.0, c),
        int(10 * correlation_length(rho)) + 300,
    )
    truth, plain, effective, printed = queue.quantile(0.99), 0, 0, list[bool]()
    for _ in range(RUNS):
        times = replay_latencies(arrivals(rng, rho * c, n + burn), 1.0, c)[burn:]
        ordered = np.append(np.sort(times), np.inf)
        size = max(
            effective_sample_size((times >= ordered[quantile_rank(n, 0.99) - 1]).astype(float)), 2
        )
        for method in ("plain", "effective"):
            i, j = wilson_ranks(n, 0.99, n if method == "plain" else size)
            inside = bool((ordered[i - 1] if i else -math.inf) <= truth <= ordered[j - 1])
            plain, effective = (
                plain + (method == "plain" and inside),
                effective + (method == "effective" and inside),
            )
        latency = LatencyStats.from_samples(times, np.ones(n, dtype=bool), correlated=True)
        p99 = latency.quantiles["p99"] if latency else None
        if p99 and p99.interval:
            printed.append(p99.interval[0] <= truth <= p99.interval[1])
    return (
        plain / RUNS,
        effective / RUNS,
        f"{np.mean(printed):.2f} of {len(printed) / RUNS:.0%}" if printed else "never printed",
    )


def restarts(c: int, rho: float, n: int) -> tuple[float, float]:
    """Bias of p99, and coverage of the interval over five runs."""
    rng, queue, burn = (
        np.random.default_rng(2),
        mdc_queue(rho * c, 1.0, c),
        int(10 * correlation_length(rho)) + 300,
    )
    truth, covered, seen = queue.quantile(0.99), 0, list[float]()
    for _ in range(RUNS):
        values = np.array(
            [
                quantile(replay_latencies(arrivals(rng, rho * c, n + burn), 1.0, c)[burn:], 0.99)
                for _ in range(5)
            ]
        )
        low, high = restart_interval(values) or (math.nan, math.nan)
        covered += low <= truth <= high
        seen += values.tolist()
    return float(np.exp(np.mean(np.log(seen))) / truth - 1), covered / RUNS


def main() -> None:
    """Print all tables; measured values after the expected ones."""
    print("one run        c  rho      n   iid ranks    effective   printed by atonce")
    for c, rho, n, plain, effective in ONE_RUN:
        ours = one_run(c, rho, n)
        print(
            f"              {c:2d}  {rho:.1f}  {n:5d}   {plain:.2f} {ours[0]:.2f}   {effective:.2f}"
            f" {ours[1]:.2f}   {ours[2]}"
        )
    print("5 restarts     c  rho      n   n(1-q)/tau   bias          covers")
    for c, rho, n, bias, covers in RESTARTS:
        error, share = restarts(c, rho, n)
        worth = n * 0.01 / correlation_length(rho)
        print(
            f"              {c:2d}  {rho:.1f}  {n:5d}   {worth:6.2f}     {bias:+.0%} {error:+.1%}  "
            f"  {covers:.2f} {share:.2f}"
        )
    print("fits           c  rho   right of 20   least wins   D found      wrong and sure")
    for case in CASES:
        fits = [fitted(case, seed) for seed in range(FITS)]
        right, off = (
            sum(fit.concurrency == case.c for fit in fits),
            [fit.service_time / 0.1 - 1 for fit in fits],
        )
        sure = sum(fit.is_identified and fit.concurrency != case.c for fit in fits)
        wanted, least = (
            6 if (case.c, case.rho) == (40, 0.7) else 20,
            min(fit.block_wins for fit in fits),
        )
        span = f"{min(off):+.1%}..{max(off):+.1%}"
        print(
            f"              {case.c:2d}  {case.rho:.2f}  {wanted:3d} {right:3d}      {case.wins:4d}"
            f" {least:4d}    {span}   {sure}"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
