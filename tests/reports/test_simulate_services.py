"""Simulated servers with random service times: rates, waits, samples of the probe."""

import math
import statistics
from pathlib import Path

import pytest

from results.thresholds import FEW_USERS, MANY_USERS
from tests.support import simulate_services
from tests.support.simulate_services import SERVICES, Server, crowd, examine, rate_between, seeded

SECONDS = 400.0


@pytest.mark.parametrize("law", SERVICES)
def test_a_law_has_the_mean_that_it_says(law: str) -> None:
    """Within four standard errors."""
    service, dice = SERVICES[law], seeded(law)
    drawn = [service.draw(dice) for _ in range(20_000)]
    error = statistics.stdev(drawn) / math.sqrt(len(drawn))
    assert abs(statistics.fmean(drawn) - service.mean) <= 4 * error + 1e-12


@pytest.mark.parametrize("law", SERVICES)
@pytest.mark.parametrize("limit", [{"places": 5}, {"threads": 12}, {"threads": 40, "places": 12}])
def test_full_places_answer_as_their_mean_time_allows(law: str, limit: dict[str, int]) -> None:
    """Whatever the law: c / mean requests per second."""
    server = Server(SERVICES[law], **limit)
    requests = crowd(server, 64, SECONDS, seeded(law))
    means = server.served / statistics.fmean(request.end - request.begin for request in requests)
    assert rate_between(requests, 10, SECONDS) == pytest.approx(means, rel=0.02)
    busy = (
        sum(
            min(request.end, SECONDS) - request.begin
            for request in requests
            if request.begin < SECONDS
        )
        / SECONDS
    )
    assert busy == pytest.approx(server.served, rel=0.02)


def test_who_thinks_asks_as_often_as_littles_law_says() -> None:
    """N / (S + Z), and no request waits where there are places for all."""
    requests = crowd(Server(simulate_services.exponential(0.08)), 8, SECONDS, seeded(1), think=0.12)
    assert rate_between(requests, 10, SECONDS) == pytest.approx(8 / 0.201, rel=0.03)
    assert max(request.begin - request.sent for request in requests) < 0.001


def test_an_examination_has_the_doctors_own_levels_and_the_probes_samples(tmp_path: Path) -> None:
    """Full threads and a queue for them with many users only; equal seeds give equal results."""
    server = Server(SERVICES["80 ms, 400 ms in 10 %"], threads=40)
    exam = examine(tmp_path / "a", server, 1)
    assert {1, FEW_USERS, MANY_USERS} <= set(exam.levels)
    assert exam.thread_tokens == 40
    few, many = exam.levels[FEW_USERS].server_stats, exam.levels[MANY_USERS].server_stats
    assert few.threads == pytest.approx(8, abs=0.5)
    assert (few.threads_waiting, many.threads) == (0, 40)
    assert many.threads_waiting == pytest.approx(24, abs=2)
    assert exam.levels[MANY_USERS].rate == pytest.approx(40 / 0.112, rel=0.15)
    assert examine(tmp_path / "b", server, 1).levels == exam.levels
