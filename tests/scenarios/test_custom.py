"""What a person wants loaded: seeded arrivals, shapes, shares of schedules, levels, hosts."""

import contextlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from reports.stats.queueing import closed_loop_mean, closed_loop_rate
from results.errors import AtonceError
from results.records import Done, Mark
from results.run_info import RunInfo
from results.schema import ArrivalDistribution, Cell, ConnectionMode, Phase, Scenario
from results.store import RunWriter
from scenarios.generator.arrivals import arrival_times
from scenarios.generator.recorder import Recorder, SampleKey
from scenarios.plans.custom import (
    CAPACITY_SHARES,
    RATE_SHAPES,
    RunOptions,
    is_loopback,
    parse_duration,
    parse_host,
    parse_rate,
    parse_route,
    rate_profile,
)
from scenarios.plans.knee import plan_from_options

FLAT = ((200.0, 100.0, 100.0),)


def test_arrivals_are_poisson_and_repeatable() -> None:
    """The same seed gives the same moments.

    Mean gap 1 / rate and a coefficient of variation of 1, each within four standard errors.
    """
    moments = list(arrival_times(FLAT, ArrivalDistribution.POISSON, "seed"))
    gaps = np.diff(moments)
    assert pytest.approx(gaps.mean(), rel=4 / len(gaps) ** 0.5) == 0.01
    assert pytest.approx(gaps.std() / gaps.mean(), rel=4 / len(gaps) ** 0.5) == 1.0
    assert moments == list(arrival_times(FLAT, ArrivalDistribution.POISSON, "seed"))
    assert moments != list(arrival_times(FLAT, ArrivalDistribution.POISSON, "other"))


def test_constant_arrivals_are_a_metronome() -> None:
    """Equal gaps, the first after half a gap."""
    assert list(
        arrival_times(((1.0, 4.0, 4.0),), ArrivalDistribution.CONSTANT, "")
    ) == pytest.approx([0.125, 0.375, 0.625, 0.875])


@pytest.mark.parametrize("law", list(ArrivalDistribution))
@pytest.mark.parametrize("parts", [2, 3])
def test_workers_share_one_schedule(law: ArrivalDistribution, parts: int) -> None:
    """The union is the schedule of a single worker; no two send at one moment."""
    shares = [list(arrival_times(FLAT, law, "seed", part, parts)) for part in range(parts)]
    assert sorted(itertools.chain.from_iterable(shares)) == list(arrival_times(FLAT, law, "seed"))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("shape", list(RATE_SHAPES))
def test_a_shape_brings_its_arrivals_where_its_rate_is_high(shape: str) -> None:
    """Counts per twentieth of the time match the planned rate's integral; a metronome's to one."""
    profile = rate_profile(shape, 100.0, 20.0)
    counts, edges = np.histogram(
        list(arrival_times(profile, ArrivalDistribution.CONSTANT, "")), bins=20, range=(0, 20)
    )
    starts = np.cumsum([0.0, *(piece[0] for piece in profile)])
    dense = np.arange(0, 20, 0.001) + 0.0005
    rates = np.zeros_like(dense)
    for (seconds, begin, end), start in zip(profile, starts[:-1], strict=True):
        inside = (dense >= start) & (dense < start + seconds)
        rates[inside] = begin + (end - begin) * (dense[inside] - start) / seconds
    wanted = [
        rates[(dense >= low) & (dense < high)].sum() * 0.001
        for low, high in itertools.pairwise(edges)
    ]
    assert np.abs(counts - wanted).max() <= 1.5
    assert max(max(piece[1:]) for piece in profile) == 100.0


def test_an_order_becomes_cells_for_each_route_level_and_repeat() -> None:
    """Named after what they load; repeats are cells of their own."""
    order = RunOptions(
        scenario="crowd", routes=("GET /a", "GET /b"), users=(1, 8), repeat=2, seconds=5.0
    )
    names = [cell.name for cell in order.cells()]
    assert names[:4] == ["crowd/GET /a/1", "crowd/GET /a/8", "crowd/GET /b/1", "crowd/GET /b/8"]
    assert names[4:] == [f"{name}~2" for name in names[:4]]
    assert {5.0} == {cell.warm_up + cell.window for cell in order.cells()}
    steady = next(
        RunOptions(scenario="steady", routes=("GET /a",), rates=(15.0,), prefix="/api").cells()
    )
    assert (steady.path, steady.users, steady.arrivals and steady.arrivals.expected_requests) == (
        "/api/a",
        0,
        150.0,
    )


def test_a_cold_order_opens_nothing_before_the_load() -> None:
    """Crowds and bursts say so by cell, arrivals by their pool; the run says it in words."""
    for scenario, cold, warm in (
        ("crowd", True, None),
        ("burst", True, None),
        ("steady", False, 0),
    ):
        order = RunOptions(scenario=scenario, routes=("GET /a",), pool=ConnectionMode.COLD)
        (cell,) = order.cells()
        assert (cell.cold, cell.arrivals.warm if cell.arrivals else None) == (cold, warm)
        assert Cell.from_dict(cell.to_dict()) == cell
        assert order.connections.startswith("cold: opened by the first request")
    assert not any(cell.cold for cell in RunOptions(scenario="crowd", routes=("GET /a",)).cells())


D, ALONE = 0.05, "crowd/GET /x/1"


def play_crowd(recorder: Recorder, cell: Cell, places: int, origin: float) -> None:
    """What a crowd on `places` of 50 ms writes, with one wrong answer, in 2 s from 1.0 on."""
    recorder.load.write(Mark(cell.name, "open", origin + 1.0, 0, 0.0))
    recorder.load.write(Mark(cell.name, "close", origin + 3.0, 0, 0.0))
    rate = closed_loop_rate(cell.users, D, places, cell.think)
    took = closed_loop_mean(cell.users, D, places, cell.think)
    for i in range(int(4 * rate)):
        place = SampleKey(cell, Phase.STEADY, 0)
        done = origin + (i + 0.5) / rate
        ticket = recorder.start_request(place, done - took, None)
        fault = "status 500" if i == int(2 * rate) else None
        recorder.record_response(Done(ticket.seq, done, 200, fault, 1, *[None] * 5))
    recorder.flush()


def followed(
    folder: Path, order: RunOptions, places: int
) -> tuple[list[str], list[Cell], list[str]]:
    """Run all sessions of a knee on a known server: the crowds' names, the rates, the notes."""
    run, plan = RunWriter.create(folder, "knee"), plan_from_options(order)
    run.open(RunInfo())
    assert plan.follow_up is not None
    crowds, rates = list[str](), list[Cell]()
    with contextlib.closing(Recorder(run.path, "load")) as recorder:
        for act in itertools.chain(plan.sessions, plan.follow_up(run)):
            rates += [cell for cell in act.cells if cell.arrivals]
            for cell in act.cells if not rates else ():
                play_crowd(recorder, cell, places, run.info.origin)
                crowds.append(cell.name)
    return crowds, rates, run.info.troubles


def test_a_knee_goes_on_at_shares_of_what_was_measured(tmp_path: Path) -> None:
    """Four users on one place: 20/s less the wrong answer, in a window of 2 s."""
    order = RunOptions(scenario="knee", routes=("GET /x",), users=(4,))
    crowds, rates, notes = followed(tmp_path, order, 1)
    assert (crowds, notes) == ([ALONE, "crowd/GET /x/4"], [])
    assert [cell.share for cell in rates] == list(CAPACITY_SHARES)
    assert rates[0].scenario is Scenario.STEADY
    assert rates[0].arrivals is not None
    assert rates[0].arrivals.expected_requests == pytest.approx(
        0.2 * 39 / 2 * order.seconds, rel=0.01
    )


@pytest.mark.parametrize(
    ("think", "places", "full"), [(1.0, 2, 40.0), (0.0, 100, 2000.0), (0.45, 16, 320.0)]
)
def test_a_knee_asks_with_more_users_until_some_of_them_wait(
    tmp_path: Path, think: float, places: int, full: float
) -> None:
    """16 users with pauses ask 15/s of a route that gives 40/s: a share of that is no overload."""
    crowds, rates, notes = followed(
        tmp_path, RunOptions(scenario="knee", routes=("GET /x",), users=(16,), think=think), places
    )
    if places == 100:  # 1,000/s is what one generator asks
        assert (crowds[-1], rates) == ("crowd/GET /x/32", [])
        assert "answered all requests of 32 users" in notes[0]
        assert "no rates were placed" in notes[0]
        return
    assert len(crowds) > 2
    assert notes == []
    assert [
        cell.arrivals.expected_requests / 10.0
        for cell in rates
        if cell.arrivals and cell.share == 0.8
    ] == [pytest.approx(0.8 * full, rel=0.05)]


def test_a_knee_needs_a_crowd_and_a_single_user(tmp_path: Path) -> None:
    """A request for one user gets two; no two cells share a name."""
    names = [
        cell.name for cell in RunOptions(scenario="knee", routes=("GET /x",), users=(1,)).cells()
    ]
    assert names == [ALONE, "crowd/GET /x/2"]
    run = RunWriter.create(tmp_path, "knee")
    run.open(RunInfo())
    then = plan_from_options(RunOptions(scenario="knee", routes=("GET /x",))).follow_up
    assert then is not None
    assert list(then(run)) == []
    assert "no right answer came inside a window" in run.info.troubles[0]


def test_words_become_numbers() -> None:
    """Rates, durations, routes and hosts, as people write them."""
    assert (parse_rate("50/s"), parse_rate("300/m")) == (50.0, 5.0)
    assert (parse_duration("1m30s"), parse_duration("1500ms"), parse_duration("0s", least=0.0)) == (
        90.0,
        1.5,
        0.0,
    )
    assert [parse_route(text) for text in ("/x", "get /x?y=1", " POST /z ")] == [
        "GET /x",
        "GET /x?y=1",
        "POST /z",
    ]
    assert parse_host(":8002", None).netloc == "127.0.0.1:8002"
    assert parse_host("https://shop.example/api", "shop.example").path == "/api"


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "127.9.9.9:80", "http://[::1]:80"])
def test_this_machine_needs_no_leave(host: str) -> None:
    """By name and by number."""
    assert is_loopback(str(parse_host(host, None).hostname))


@pytest.mark.parametrize(
    "host",
    [
        "u:hush@127.0.0.1",
        "http://:hush@127.0.0.1",
        "http://u:hush@[::1",
        "http://127.0.0.1?key=hush",
    ],
)
def test_a_secret_in_a_url_is_neither_taken_nor_repeated(host: str) -> None:
    """It would end in run.json, in a report and in a CI's log."""
    with pytest.raises(AtonceError) as caught:
        parse_host(host, None)
    assert (
        "invalid host (not repeated" in caught.value.sentence,
        "hush" in caught.value.sentence,
    ) == (
        True,
        False,
    )


@pytest.mark.parametrize(
    "host",
    [
        "8.8.8.8",
        "localhost.example.org",
        "192.168.0.1",
        "2130706433",
        "http://127.0.0.1@example.org",
    ],
)
def test_other_machines_do(host: str) -> None:
    """Also hosts that look like this machine."""
    with pytest.raises(AtonceError):
        parse_host(host, None)
