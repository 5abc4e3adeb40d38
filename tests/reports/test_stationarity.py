"""Warm-up, drift and steps on simulated runs: steady runs pass, damaged runs are detected."""

import numpy as np
import pytest

from reports.stats.quantiles import Array
from reports.stats.queueing import busy_service_time, replay_latencies
from reports.stats.stationarity import detect_steps, detect_warm_up, relative_drift
from tests.support.queue_simulator import serve

D, LASTS = 0.05, 60.0


def run(
    rng: np.random.Generator, rho: float, c: int = 1, noise: float = 0.07, shape: str = "steady"
) -> Array:
    """Return a minute of an open load, chance removed, on places that slow down, speed up or stay."""
    sent = np.sort(rng.uniform(0, LASTS, rng.poisson(rho * c / D * LASTS)))
    share = np.arange(len(sent)) / len(sent)
    factor = {
        "steady": np.ones(len(sent)),
        "slow at first": np.where(share < 0.6, 3.0, 1.0),
        "slows down": 1 + 0.5 * share,
        "steps up": np.where(share < 0.75, 1.0, 1.5),
    }[shape]
    done = serve(sent, D * factor * (1 + noise * rng.standard_normal(len(sent))), c)
    service = busy_service_time(sent, done, c) or D
    return (done - sent) / replay_latencies(sent, service, c)


def alarms(values: Array) -> set[str]:
    """Return the checks that fail: V15 and V16 of docs/method.md."""
    fired = {
        "warm-up": detect_warm_up(values) > 0.5,
        "drift": abs(relative_drift(values)) > 0.25,
        "steps": any(at > 0.5 for at in detect_steps(values)),
    }
    return {name for name, is_so in fired.items() if is_so}


@pytest.mark.parametrize("c", [1, 6])
def test_a_steady_run_alarms_once_in_two_hundred_at_most(c: int) -> None:
    """Rho .5, .7 and .8, service uneven by 5 to 10 %: 102 runs each, and none."""
    rng = np.random.default_rng(11)
    runs = [
        run(rng, rho, c, noise)
        for rho in (0.5, 0.7, 0.8)
        for noise in (0.05, 0.1)
        for _ in range(17)
    ]
    assert [raised for raised in map(alarms, runs) if raised] == []
    assert np.mean([abs(relative_drift(series)) > 0.1 for series in runs]) < 0.03


@pytest.mark.parametrize("rho", [0.25, 0.5, 0.8])
@pytest.mark.parametrize(
    ("shape", "alarm"),
    [
        ("slow at first", "warm-up"),
        ("slow at first", "drift"),
        ("slows down", "drift"),
        ("steps up", "steps"),
    ],
)
def test_a_disturbed_run_is_caught(rho: float, shape: str, alarm: str) -> None:
    """Whatever the load, even where the fault overloads it."""
    rng = np.random.default_rng(12)
    caught = [alarm in alarms(run(rng, rho, shape=shape)) for _ in range(10)]
    assert np.mean(caught) >= 0.9


def test_positions_and_sizes_are_said() -> None:
    """Where it settled, by how much it drifts (with a sign), where it steps."""
    rng = np.random.default_rng(13)
    noise = 0.1 * rng.standard_normal(3000)
    late = np.arange(3000) >= 1800
    assert detect_warm_up(np.where(late, 1.0, 3.0) + noise) == pytest.approx(0.6, abs=0.01)
    assert relative_drift(np.linspace(2, 1, 3000) + noise) == pytest.approx(
        -20 / 19 * 0.95 / 1.5, abs=0.03
    )
    assert detect_steps(np.where(late, 1.0, 1.5) + noise) == [pytest.approx(0.6, abs=0.01)]
    assert detect_steps(
        np.select([late, np.arange(3000) >= 900], [1.0, 2.0], 1.4) + noise
    ) == pytest.approx([0.3, 0.6], abs=0.01)
    assert detect_steps(np.where(late, 1.0, 1.1) + noise) == []  # a step, but too small to matter


@pytest.mark.parametrize("count", [1, 4, 19, 29])
def test_a_short_series_never_alarms(count: int) -> None:
    """Nothing can be said of it."""
    values = np.random.default_rng(14).exponential(1, count)
    assert (detect_warm_up(values), detect_steps(values)) == (0.0, [])
    assert relative_drift(values) == 0.0 or count >= 20
