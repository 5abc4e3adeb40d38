"""Queueing theory against tables of known values, a simulator, and its own laws.

docs/method.md names the formulas and their sources. `python -m benchmarks.theory` prints what takes
a minute: how often intervals contain the truth, and how often the fit finds c.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.theory import Case, fitted
from reports.stats.quantiles import (
    Array,
    effective_sample_size,
    estimate_quantile,
    quantile,
    wilson_ranks,
)
from reports.stats.queueing import (
    burst_completion_time,
    busy_service_time,
    closed_loop_mean,
    closed_loop_rate,
    correlation_length,
    fit_open_load,
    fit_sweep,
    mdc_queue,
    neighbour_delays,
    replay_latencies,
)
from reports.stats.stationarity import relative_drift
from results.unloaded import served_at_once
from tests.support.queue_simulator import ORDERS, arrivals, constant, crowd, gated, serve

D = 0.05
CAME = np.array([0, 0.01, 0.02, 0.2, 0.21, 0.5])

# M/D/c with D = 50 ms: c, rho, z0, Q[0], P(wait), and mean, p50, p90, p95, p99, p99.9 of the
# response in ms
M_D_C = [
    (1, 0.5, 3.51286, 0.82436, 0.5000, (75.0, 50.0, 125.8, 152.5, 216.8, 308.4)),
    (1, 0.7, 1.96496, 0.60413, 0.7000, (108.3, 86.5, 203.9, 255.1, 374.3, 544.7)),
    (1, 0.8, 1.53855, 0.44511, 0.8000, (150.0, 113.8, 300.6, 381.0, 567.8, 835.0)),
    (1, 0.9, 1.23016, 0.24596, 0.9000, (275.0, 200.7, 589.1, 756.4, 1144.9, 1700.7)),
    (2, 0.8, 1.53855, 0.50471, 0.7019, (95.2, 77.2, 169.9, 210.1, 303.5, 437.1)),
    (4, 0.8, 1.53855, 0.58541, 0.5783, (69.3, 56.9, 106.0, 126.0, 172.7, 239.5)),
    (6, 0.5, 3.51286, 0.96179, 0.0917, (51.0, 50.0, 50.0, 57.9, 72.4, 86.7)),
    (6, 0.7, 1.96496, 0.80733, 0.3161, (55.1, 50.0, 69.5, 78.0, 97.6, 126.0)),
    (6, 0.8, 1.53855, 0.64149, 0.4957, (61.3, 50.0, 85.1, 98.6, 129.7, 174.3)),
    (6, 0.9, 1.23016, 0.38330, 0.7235, (81.5, 68.7, 133.2, 161.1, 225.9, 318.5)),
    (16, 0.8, 1.53855, 0.79198, 0.2816, (52.6, 50.0, 60.3, 65.7, 77.2, 93.9)),
    (40, 0.8, 1.53855, 0.91802, 0.1086, (50.5, 50.0, 50.4, 53.6, 59.4, 66.1)),
    (40, 0.9, 1.23016, 0.66933, 0.3825, (52.8, 50.0, 59.8, 63.9, 73.6, 87.5)),
]


@pytest.mark.parametrize(("c", "rho", "z0", "empty", "wait", "times"), M_D_C)
def test_theory_matches_the_table(  # noqa: PLR0913, PLR0917 - a row
    c: int, rho: float, z0: float, empty: float, wait: float, times: tuple[float, ...]
) -> None:
    """Every printed digit; and what the formula says is what ideal places do."""
    queue = mdc_queue(rho * c / D, D, c)
    assert (z0, empty) == pytest.approx((queue.decay, queue.queue_cdf[0]), abs=1e-5)
    assert wait == pytest.approx(1 - queue.wait_cdf(0.0), abs=1e-4)
    theory = [queue.mean(), *(queue.quantile(q) for q in (0.5, 0.9, 0.95, 0.99, 0.999))]
    assert list(times) == pytest.approx([1000 * seconds for seconds in theory], abs=0.1)
    if rho < 0.9:  # there a simulation would have to be ten times longer
        seen = 1000 * replay_latencies(
            arrivals(np.random.default_rng(3), rho * c / D, 2_000_000), D, c
        )
        assert times[0] == pytest.approx(seen.mean(), rel=0.01)
        assert times[1:5] == pytest.approx(
            [quantile(seen, q) for q in (0.5, 0.9, 0.95, 0.99)], rel=0.02
        )


def test_the_far_tail_decays_as_the_root_says() -> None:
    """2.2: P(W > t) ~ exp(-lambda (z0 - 1) t); mean wait of 1 place: rho D / (2 (1 - rho))."""
    queue = mdc_queue(16, D, 1)
    ratio = (1 - queue.wait_cdf(1.0)) / (1 - queue.wait_cdf(0.8))
    assert ratio == pytest.approx(math.exp(-16 * (queue.decay - 1) * 0.2), rel=1e-3)
    assert queue.mean() == pytest.approx(D + 0.8 * D / 2 / 0.2, rel=1e-9)


def test_replay_matches_the_table() -> None:
    """Six arrivals on one place, on two, and on a loop that answers in batches."""
    assert replay_latencies(CAME, D, 1) == pytest.approx(
        [0.05, 0.09, 0.13, 0.05, 0.09, 0.05], abs=1e-9
    )
    assert replay_latencies(CAME, D, 2) == pytest.approx(
        [0.05, 0.05, 0.08, 0.05, 0.05, 0.05], abs=1e-9
    )
    assert gated(CAME, D) == pytest.approx([0.05, 0.14, 0.13, 0.05, 0.09, 0.05], abs=1e-9)


@pytest.mark.parametrize(
    ("rho", "fair", "batched"), [(0.5, 75.0, 83.3), (0.8, 150.0, 194.4), (0.9, 275.0, 381.6)]
)
def test_a_gated_loop_is_separated_from_a_fair_one(rho: float, fair: float, batched: float) -> None:
    """Same work and rate, another mean: so a replay shows which loop it was."""
    sent = arrivals(np.random.default_rng(4), rho / D, 400_000 if rho > 0.6 else 150_000)
    assert pytest.approx((fair, batched), rel=0.03) == (
        1000 * replay_latencies(sent, D).mean(),
        1000 * gated(sent, D).mean(),
    )


# users, c, think, X, mean in ms, least and most in ms, and the share of the upper (D = 50 ms)
CLOSED = [
    (10, 1, 0, 20, 500, 500, 500, 0),
    (50, 1, 0, 20, 2500, 2500, 2500, 0),
    (10, 6, 0, 120, 83.3, 50, 100, 0.667),
    (50, 6, 0, 120, 416.7, 400, 450, 0.333),
    (60, 6, 0, 120, 500, 500, 500, 0),
    (50, 40, 0, 800, 62.5, 50, 100, 0.25),
    (60, 40, 0, 800, 75, 50, 100, 0.5),
    (80, 40, 0, 800, 100, 100, 100, 0),
    (30, 40, 0.1, 200, 50, 50, 50, None),
    (130, 40, 0.1, 800, 62.5, None, None, None),
]


@pytest.mark.parametrize(("users", "c", "think", "rate", "mean", "least", "most", "upper"), CLOSED)
def test_the_closed_loop_matches_the_table(  # noqa: PLR0913, PLR0917 - a row
    users: int,
    c: int,
    think: float,
    rate: float,
    mean: float,
    least: float | None,
    most: float | None,
    upper: float | None,
) -> None:
    """Formula and simulation."""
    assert pytest.approx((rate, mean), rel=1e-3) == (
        closed_loop_rate(users, D, c, think),
        1000 * closed_loop_mean(users, D, c, think),
    )
    sent, done = crowd(users, c, D, think, 400 * users)
    late = slice(10 * users, -users)  # past the first rounds, before the last
    times = 1000 * (done - sent)[late]
    assert mean == pytest.approx(times.mean(), rel=0.02)
    begin, end = float(done[late][0]), float(np.sort(done)[-2 * users])
    assert rate == pytest.approx(((done > begin) & (done <= end)).sum() / (end - begin), rel=0.02)
    if least is not None:
        assert (least, most) == pytest.approx((times.min(), times.max()), rel=0.02)
    if upper:
        assert upper == pytest.approx((times > (times.min() + times.max()) / 2).mean(), abs=0.01)


def test_a_burst_and_a_sweep_match_the_table() -> None:
    """Take 50 at once on 1 place of 100 ms; and c from users and throughput, for a pool of 40."""
    burst = replay_latencies(np.zeros(50), 0.1)
    assert pytest.approx((2.5, 2.55, 5.0)) == (quantile(burst, 0.5), burst.mean(), burst.max())
    assert (burst_completion_time(50, 0.1, 1), burst_completion_time(60, 0.1, 40)) == (5.0, 0.2)
    users = np.array([1, 2, 5, 10, 20, 30, 40, 50, 80, 120, 200])
    rates = np.array([closed_loop_rate(count, D, 40, 0.002) for count in users])
    assert fit_sweep(users, rates, D, 0.002) == pytest.approx(40, abs=0.6)
    noisy = rates * np.exp(np.random.default_rng(5).normal(0, 0.01, len(users)))
    assert fit_sweep(users, noisy, D, 0.002) == pytest.approx(40, abs=0.6)
    for c in (1, 6):
        assert fit_sweep(users, np.minimum(users, c) / D, D) == pytest.approx(c, rel=0.015)


def test_overload_matches_the_table() -> None:
    """Take 30/s at constant gaps on 1 place of 50 ms for 60 s, by replay, drained and cut."""
    sent = np.arange(1800) / 30
    times = replay_latencies(sent, D)
    wanted = {0.5: 15.03, 0.95: 28.53, 0.99: 29.73, 1.0: 30.03}
    assert wanted == pytest.approx({q: quantile(times, q) for q in wanted}, rel=0.01)
    assert times.mean() == pytest.approx(15.04, rel=0.01)
    assert np.polyfit(sent, times, 1)[0] == pytest.approx(0.5, rel=0.01)
    finished = sent + times <= 60
    seen = np.where(finished, times, 60 - sent)
    assert (~finished).mean() == pytest.approx(1 / 3, rel=0.01)
    dropped = {0.5: 10.03, 0.95: 19.03, 0.99: 19.83, 1.0: 20.03}
    assert dropped == pytest.approx({q: quantile(times[finished], q) for q in dropped}, rel=0.01)
    for q, low, high in ((0.5, 10.03, 15.03), (0.95, 19.03, math.inf), (0.99, 19.83, math.inf)):
        estimate = estimate_quantile(seen, finished, q)
        assert estimate is not None
        assert (low, high) == pytest.approx((estimate.low, estimate.high), rel=0.01)


def test_a_freeze_matches_the_table() -> None:
    """Take a standstill of 1 s in a minute."""
    sent, service = np.arange(6000) / 100, np.full(6000, 0.005)
    service[3000] += 1.0
    frozen = serve(sent, service) - sent
    assert pytest.approx((0.705, 0.975, 1.005), abs=0.006) == (
        quantile(frozen, 0.99),
        quantile(frozen, 0.999),
        frozen.max(),
    )


def exact_ranks(n: int, q: float) -> tuple[int, int]:
    """Ranks of a two-sided 95 % interval, by the binomial law; n + 1 is no sample."""
    k = np.arange(n + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    law = np.cumsum(
        np.exp(logs[n] - logs[k] - logs[n - k] + k * math.log(q) + (n - k) * math.log(1 - q))
    )
    return int(np.searchsorted(law, 0.025 + 1e-12)), int(np.searchsorted(law, 0.975)) + 1


@pytest.mark.parametrize(
    ("n", "q", "low", "high"),
    [
        (2000, 0.99, 1971, 1989),
        (1000, 0.95, 936, 964),
        (367, 0.99, 359, 368),
        (368, 0.99, 360, 368),
    ],
)
def test_wilsons_ranks_are_nearly_the_exact_ones(n: int, q: float, low: int, high: int) -> None:
    """Exact ranks of the table are binomial; ours differ by 2 at most, and by 1 on the inside."""
    assert exact_ranks(n, q) == (low, high)
    i, j = wilson_ranks(n, q, n)
    assert (low - 2 <= i <= low + 1, high - 1 <= j <= high + 2) == (True, True)


def test_small_constants_match_the_table() -> None:
    """Correlation length, effective size of an autoregressive series, drift of a ramp."""
    taus = [correlation_length(rho) for rho in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)]
    assert taus == pytest.approx([2.59, 5.41, 12.35, 34.6, 167.9, 734.6], rel=2e-3)
    shock, series = np.random.default_rng(8).normal(size=200_000), np.empty(200_000)
    level = 0.0
    for i, value in enumerate(shock):
        series[i] = level = 0.8 * level + value
    assert effective_sample_size(series) / len(series) == pytest.approx(0.111, abs=0.01)
    assert effective_sample_size(shock) / len(shock) == pytest.approx(1, abs=0.03)
    assert (effective_sample_size(np.ones(50)), effective_sample_size(np.array([1.0, 2.0]))) == (
        50,
        2,
    )
    assert relative_drift(np.linspace(0.1, 0.2, 2000)) == pytest.approx(0.667, abs=0.02)


# blocking requests per second, and delayed share, mean, p90, p95, p99 of a ping's extra delay in ms
# (D = 50 ms)
PINGS = [
    (2, 0.10, 2.8, 0, 27.0, 47.7),
    (5, 0.25, 8.3, 36.5, 47.3, 83.3),
    (10, 0.50, 25.0, 75.8, 102.5, 166.8),
    (16, 0.80, 100.0, 250.6, 331.0, 517.8),
    (18, 0.90, 225.0, 539.1, 706.4, 1094.9),
]


@pytest.mark.parametrize(("rate", "delayed", "mean", "p90", "p95", "p99"), PINGS)
def test_a_neighbour_matches_the_table(  # noqa: PLR0913, PLR0917 - a row
    rate: float, delayed: float, mean: float, p90: float, p95: float, p99: float
) -> None:
    """The stationary wait, and pings under simulated load."""
    queue = mdc_queue(rate, D, 1)
    theory = [queue.mean() - D, *(queue.quantile(q) - D for q in (0.9, 0.95, 0.99))]
    assert pytest.approx([1000 * seconds for seconds in theory], abs=0.1) == [mean, p90, p95, p99]
    rng = np.random.default_rng(9)
    sent = arrivals(rng, rate, 3_000_000)
    pings = np.sort(rng.uniform(1, sent[-1], 400_000))
    delays = 1000 * neighbour_delays(pings, sent, replay_latencies(sent, D))
    assert (delays > 1e-9).mean() == pytest.approx(delayed, rel=0.02)
    seen = [delays.mean(), *(quantile(delays, q) for q in (0.9, 0.95, 0.99))]
    assert seen[:1] + seen[2:] == pytest.approx([mean, p95, p99], rel=0.02)
    # at rho .1 it lies on the edge of the atom
    assert seen[1] == pytest.approx(p90, rel=0.02, abs=0.5)
    assert neighbour_delays(
        np.array([0.5, 1.02, 2.0]), np.array([1.0]), np.array([D])
    ) == pytest.approx([0, 0.03, 0])


@pytest.mark.parametrize(
    "case",
    [
        Case(1, 0.5, 10),
        Case(1, 0.7, 10),
        Case(2, 0.7, 10),
        Case(6, 0.7, 10),
        Case(16, 0.7, 9),
        Case(40, 0.95, 9),
    ],
    ids=str,
)
def test_the_number_of_places_is_found_in_one_open_run(case: Case) -> None:
    """Three runs: random order, uneven service, stalls, overhead."""
    for seed in range(3):
        fit = fitted(case, seed)
        assert (fit.concurrency, fit.is_identified, fit.block_wins >= case.wins) == (
            case.c,
            True,
            True,
        )
        assert fit.at_least <= case.c
        # the 2 ms on the way are no service
        assert fit.service_time == pytest.approx(0.1, rel=0.01)


def test_what_one_run_cannot_tell_is_not_said() -> None:
    """40 places at rho .5 are rarely all busy. Never sure and wrong; "at least" is true."""
    fits = [fitted(Case(40, 0.5, 0), seed) for seed in range(5)]
    assert [fit for fit in fits if fit.is_identified and fit.concurrency != 40] == []
    assert [fit for fit in fits if fit.at_least > 40] == []
    assert not any(fit.is_identified for fit in fits)


def test_an_idle_server_names_no_number() -> None:
    """No request ever waits: any number of places explains it."""
    sent = np.arange(100) / 10
    fit = fit_open_load(sent, sent + 0.01, 0.01)
    assert (fit.is_identified, fit.at_least) == (False, 1)


@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_service_in_place_needs_no_order(rho: float) -> None:
    """2.7: within 1 % for any order of service, however uneven; too few waits say nothing."""
    rng = np.random.default_rng(10)
    for c, order, noise in itertools.product((1, 6), ORDERS, (0.0, 0.02, 0.1)):
        sent = arrivals(rng, rho * c / D, 4000)
        service = busy_service_time(
            sent, serve(sent, D * (1 + noise * rng.standard_normal(4000)), c, order, rng), c
        )
        assert service == pytest.approx(D, rel=0.01)
    assert busy_service_time(np.arange(5.0), np.arange(5.0) + D, 1) is None


def test_no_more_are_served_at_once_than_ask() -> None:
    """What is above is chance; long pauses make no number negative."""
    assert served_at_once(631, 0.102, 64) == pytest.approx(64)
    assert served_at_once(100, 0.1, 64) == pytest.approx(10)
    assert served_at_once(1530, 0.0005, 64, 0.0422) == pytest.approx(64 / 0.0427 * 0.0005)
    assert served_at_once(100, 0.0, 64) == 0.0


SENDS = st.lists(st.floats(0, 20), min_size=1, max_size=60).map(sorted).map(np.array)
PLACES, TAKES = st.integers(1, 8), st.floats(0.01, 3)


@given(SENDS, PLACES, TAKES, st.sampled_from(ORDERS))
def test_work_is_conserved(sent: Array, c: int, d: float, order: str) -> None:
    """2.4: completions, so rate and mean, do not depend on the order; first come is the replay."""
    done, ideal = serve(sent, constant(sent, d), c, order), sent + replay_latencies(sent, d, c)
    assert np.sort(done) == pytest.approx(np.sort(ideal), abs=1e-9)
    assert (done - sent).mean() == pytest.approx(replay_latencies(sent, d, c).mean(), abs=1e-9)
    if order == "first":
        assert done == pytest.approx(ideal, abs=1e-9)


@given(SENDS, PLACES, TAKES)
def test_waiting_grows_with_load_and_falls_with_places(sent: Array, c: int, d: float) -> None:
    """An extra place, a shorter service or longer gaps never make a request later."""
    times = replay_latencies(sent, d, c)
    assert (times >= d - 1e-9).all()
    assert (replay_latencies(sent, d, c + 1) <= times + 1e-9).all()
    assert (replay_latencies(sent, 0.9 * d, c) <= times + 1e-9).all()
    assert (replay_latencies(1.1 * sent, d, c) <= times + 1e-9).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.floats(0.05, 0.9))
def test_the_stationary_queue_is_as_monotone(c: int, rho: float) -> None:
    """More load: longer; more places, same load each: shorter; quantiles rise; Little holds."""
    queue, fuller, wider = (
        mdc_queue(rho * c, 1.0, c),
        mdc_queue((rho + 0.05) * c, 1.0, c),
        mdc_queue(rho * (c + 1), 1.0, c + 1),
    )
    assert fuller.mean() > queue.mean() >= wider.mean() - 1e-12
    times = [queue.quantile(q) for q in (0.1, 0.5, 0.9, 0.99)]
    assert [1.0, *times] == sorted([1.0, *times])
    waiting = float(np.sum(1 - queue.queue_cdf))  # mean queue length
    assert queue.mean() - 1 == pytest.approx(waiting / queue.lam)
    assert all(
        queue.wait_cdf(response - 1) >= q - 1e-6
        for response, q in zip(times, (0.1, 0.5, 0.9, 0.99), strict=True)
    )


@given(SENDS, PLACES, TAKES, st.sampled_from(ORDERS))
def test_little_holds(sent: Array, c: int, d: float, order: str) -> None:
    """The integral of the requests in flight is the sum of the response times."""
    done = serve(sent, constant(sent, d), c, order)
    moments = np.concatenate([sent, done])
    turns = np.argsort(moments, kind="stable")
    inside = np.cumsum(np.concatenate([np.ones(len(sent)), -np.ones(len(sent))])[turns])
    assert float(np.sum(inside[:-1] * np.diff(moments[turns]))) == pytest.approx(
        (done - sent).sum(), abs=1e-6
    )
