"""Whether intervals keep their promise: 90 to 98 % of the printed 95 % intervals hold the truth.

The truth is the exact M/D/c queue. Everything is conditional on "an interval was printed", over
runs of all lengths, because a rule that prints after looking may favour the runs that were lucky.
"""

import math
from collections import defaultdict

import numpy as np
import pytest

from reports.stats.quantiles import (
    SUMMARY_QUANTILES,
    Array,
    Estimate,
    LatencyStats,
    quantile,
    quantile_interval,
    restart_interval,
    wilson_ranks,
)
from reports.stats.queueing import MdcQueue, correlation_length, mdc_queue, replay_latencies

QUEUES = [(c, rho) for c in (1, 6) for rho in (0.5, 0.7, 0.8)]
RUNS, RARE = 300, 30
# of D: the answer R = D is an atom, next to which a quantile jumps
ATOM, NEXT_TO_ATOM = 0.03, 1.2


def waits(rng: np.random.Generator, c: int, rho: float, n: int) -> Array:
    """Response times, in units of D, of n requests in the steady state."""
    burn = int(10 * correlation_length(rho)) + 300
    return replay_latencies(np.cumsum(rng.exponential(1 / (rho * c), n + burn)), 1.0, c)[burn:]


def truths(queue: MdcQueue) -> dict[str, float]:
    """Return what the intervals should contain."""
    return {
        "mean": queue.mean(),
        **{name: queue.quantile(q) for name, q in SUMMARY_QUANTILES.items()},
    }


def holds(interval: tuple[float, float], truth: float, name: str) -> bool:
    """Whether the truth lies inside, but for the jump at the atom."""
    slack = ATOM if name != "mean" and truth < NEXT_TO_ATOM else 0.0
    return interval[0] - slack <= truth <= interval[1] + slack


def intervals(stats: LatencyStats) -> dict[str, Estimate]:
    """Everything that carries an interval."""
    named = {"mean": stats.mean, **stats.quantiles}
    return {name: estimate for name, estimate in named.items() if estimate and estimate.interval}


def kept(c: int, rho: float) -> dict[str, list[bool]]:
    """Per quantity, whether each printed interval contains the truth; 300 to 15,000 requests."""
    rng, queue = np.random.default_rng(20260101), mdc_queue(rho * c, 1.0, c)
    truth, seen = truths(queue), defaultdict[str, list[bool]](list)
    for n in np.geomspace(300, 15_000, RUNS).astype(int):
        stats = LatencyStats.from_samples(
            waits(rng, c, rho, n), np.ones(n, dtype=bool), correlated=True
        )
        assert stats is not None
        for name, estimate in intervals(stats).items():
            assert estimate.interval is not None
            assert not estimate.is_grey
            assert estimate.interval[0] <= estimate.low <= estimate.interval[1]
            seen[name].append(holds(estimate.interval, truth[name], name))
    return seen


def test_nine_in_ten_printed_intervals_hold_the_truth() -> None:
    """90 to 98 % over all queues, for each quantity.

    No single queue is below 90 % if more than a tenth of its runs print an interval; if fewer do,
    those are the lucky runs. On the atom R = D an interval cannot miss: it is left out of
    the 98 %.
    """
    everything = defaultdict[str, list[bool]](list)
    for c, rho in QUEUES:
        truth = truths(mdc_queue(rho * c, 1.0, c))
        for name, hits in kept(c, rho).items():
            chance = 2 * math.sqrt(0.1 * 0.9 / len(hits))  # what it takes from 90 % of so many
            assert len(hits) < RARE or np.mean(hits) >= 0.9 - chance, (c, rho, name)
            if name == "mean" or truth[name] > NEXT_TO_ATOM:
                everything[name] += hits
    shares = {name: float(np.mean(hits)) for name, hits in everything.items()}
    assert {name for name, share in shares.items() if not 0.90 <= share <= 0.98} == set(), shares
    assert min(len(hits) for hits in everything.values()) > 250


@pytest.mark.parametrize(("c", "rho", "n"), [(1, 0.5, 1500), (1, 0.7, 3000), (6, 0.7, 3000)])
def test_intervals_over_five_restarts_hold_the_truth(c: int, rho: float, n: int) -> None:
    """Take p99 of five runs each, where n (1 - q) / tau is at least 2."""
    rng, truth = np.random.default_rng(20260102), mdc_queue(rho * c, 1.0, c).quantile(0.99)
    covered = []
    for _ in range(150):
        interval = restart_interval(
            np.array([quantile(waits(rng, c, rho, n), 0.99) for _ in range(5)])
        )
        assert interval is not None
        covered.append(interval[0] <= truth <= interval[1])
    assert 0.87 <= np.mean(covered) <= 0.98  # theory says 91 %; of 150, chance takes four


def test_restarts_that_cannot_tell_get_no_interval() -> None:
    """Four runs are too few; five with hardly any sample beyond p99 share the same bias."""
    assert restart_interval(np.array([1.0, 1.1, 0.9, 1.0])) is None
    five = np.array([1.0, 1.1, 0.9, 1.0, 1.05])
    assert restart_interval(five, np.array([1.0, 2.0, 3.0, 9.0, 9.0])) is None
    interval = restart_interval(five, np.full(5, 10.0))
    assert interval == pytest.approx(
        np.exp(
            np.log(five).mean()
            + np.array([-1, 1]) * 2.776 * np.log(five).std(ddof=1) / math.sqrt(5)
        )
    )


def test_an_open_load_prints_what_it_can_support() -> None:
    """Beyond 10: black with an interval; 2 to 10: grey without; below: only a bound."""
    rng = np.random.default_rng(20260103)
    times = waits(rng, 1, 0.5, 2000)
    stats = LatencyStats.from_samples(times, np.ones(2000, dtype=bool), correlated=True)
    assert stats is not None
    assert stats.effective_count is not None
    assert 300 < stats.effective_count < 1200  # 2,000 / 2.6 by the queue's correlation length
    p50, p95, p99 = (stats.quantiles[name] for name in ("p50", "p95", "p99"))
    assert p50 is not None
    assert p95 is not None
    assert p99 is not None
    assert (p50.is_grey, p95.is_grey, p99.is_grey) == (False, False, True)
    assert (p95.interval is not None, p99.interval) == (True, None)
    assert p99.beyond == pytest.approx(stats.effective_count * 0.01)
    short = LatencyStats.from_samples(times[:200], np.ones(200, dtype=bool), correlated=True)
    assert short is not None
    assert short.quantiles["p99"] is None
    cut = LatencyStats.from_samples(
        times[:200], times[:200] < quantile(times[:200], 0.97), correlated=True
    )
    assert cut is not None
    bound = cut.quantiles["p99"]
    assert bound is not None
    assert (bound.exact, bound.interval, bound.is_grey) == (None, None, True)
    assert (cut.mean.interval, cut.mean.exact) == (None, None)


def test_an_end_beyond_the_sample_is_infinite() -> None:
    """Never the maximum: 200 samples cannot bound p99 from above, nor two bound p50 from below."""
    assert wilson_ranks(200, 0.99, 200)[1] == 201
    assert wilson_ranks(6, 0.5, 2)[0] == 0
    times = np.random.default_rng(20260104).exponential(1, 50)
    assert quantile_interval(times, np.ones(50, dtype=bool), 0.99)[1] == math.inf
