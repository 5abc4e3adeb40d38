"""The unloaded latency: a mean whose interval allows for slow requests that one user missed."""

import random
from collections.abc import Callable

import pytest

from results.unloaded import added_wait, estimate_unloaded, latency_quartiles, relative_deviation

Draw = Callable[[random.Random], float]
LAWS: dict[str, tuple[Draw, float]] = {
    "80 ms, 1.2 s in 3 %": (lambda dice: 1.2 if dice.random() < 0.03 else 0.08, 0.1136),
    "80 ms, 400 ms in 10 %": (lambda dice: 0.4 if dice.random() < 0.1 else 0.08, 0.112),
    "exponential": (lambda dice: dice.expovariate(10), 0.1),
    "lognormal": (lambda dice: dice.lognormvariate(-2.5, 0.5), 0.0821 * 1.1331),
}
TRIES = 400


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("alone", [8, 13, 40])
def test_the_mean_is_seldom_above_what_so_few_requests_allow(name: str, alone: int) -> None:
    """Nominally in 39 of 40 runs; skewed distributions cost some of that, as the module says."""
    draw, truth = LAWS[name]
    dice = random.Random(f"{name}/{alone}")  # noqa: S311 - no secret
    above = below = 0
    for _ in range(TRIES):
        estimate = estimate_unloaded(
            [draw(dice) for _ in range(alone)], [draw(dice) for _ in range(130)]
        )
        assert estimate is not None
        above += truth > estimate.worst_case
        below += truth < estimate.low
    assert above <= 0.09 * TRIES
    assert below <= 0.09 * TRIES


def test_students_interval_alone_would_miss_the_rare_slow_ones() -> None:
    """Most dozens of requests hold no slow request and look certain: hence the rule of three."""
    draw, truth = LAWS["80 ms, 1.2 s in 3 %"]
    dice = random.Random(1)  # noqa: S311 - no secret
    estimates = [
        estimate_unloaded([draw(dice) + 0.001 * dice.random() for _ in range(13)])
        for _ in range(TRIES)
    ]
    assert (
        sum(estimate is not None and truth > estimate.worst_case for estimate in estimates)
        > 0.5 * TRIES
    )


def test_few_users_who_all_wait_add_nothing() -> None:
    """Behind a lock of one, eight users wait for eight: the lone user missed no slow request."""
    estimate = estimate_unloaded([0.1, 0.101] * 6, [0.8, 0.801] * 8)
    assert estimate is not None
    assert estimate.is_precise
    assert estimate.worst_case == pytest.approx(0.1005, rel=0.01)


def test_a_single_request_is_as_sure_as_the_few_users_let_it_be() -> None:
    """No interval of its own; nothing at all is known where no request ran alone."""
    calm, wild = estimate_unloaded([0.1], [0.1] * 8), estimate_unloaded([0.1], [0.1] * 7 + [1.0])
    assert calm is not None
    assert calm.worst_case == calm.low == 0.1
    assert wild is not None
    assert wild.worst_case == pytest.approx(1.0)
    assert estimate_unloaded([]) is None


def test_a_queue_moves_the_quartiles_and_slow_requests_do_not() -> None:
    """Most wait behind a pool; a slow request in ten moves no other, even in a mixture's middle."""
    few = latency_quartiles([0.08] * 9 + [0.4])
    assert few is not None
    assert added_wait(few, latency_quartiles([0.08] * 18 + [0.4] * 2) or few) == 0.0
    assert added_wait(few, latency_quartiles([0.28] * 9 + [0.6]) or few) == pytest.approx(0.2)
    half = latency_quartiles([0.08] * 10 + [0.4] * 10) or few
    shifted = latency_quartiles([0.08] * 9 + [0.4] * 11) or few
    assert added_wait(half, shifted) == 0.0  # its median alone jumps by 0.32 s
    assert latency_quartiles([0.1] * 7) is None


def test_the_spread_is_the_deviation_over_the_mean() -> None:
    """0 where there is nothing to deviate from."""
    assert relative_deviation([0.1, 0.3]) == pytest.approx(0.7071, abs=1e-4)
    assert (
        relative_deviation([0.1]) == relative_deviation([]) == relative_deviation([0.0, 0.0]) == 0.0
    )
