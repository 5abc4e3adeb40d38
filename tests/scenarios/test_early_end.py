"""When a window may close early: its mean latency is known, or nothing comes back any more."""

import contextlib
import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from results.schema import Cell, Neighbour, Phase
from scenarios.generator import cell_run as cell_runs
from scenarios.generator import recorder as recorders
from scenarios.generator.cell_run import CellRun, RunningMean
from scenarios.generator.recorder import Recorder, SampleKey
from scenarios.generator.silence import SilenceWatch
from scenarios.plans.cells import Target, Times

TICK = 0.01
PING = Neighbour(kind="async", route="GET /p", path="/p", expects="", rate=9.0, connections=1)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the cell run and the recorder."""
    moved = Clock()
    monkeypatch.setattr(cell_runs, "clock", moved)
    monkeypatch.setattr(recorders, "clock", moved)
    return moved


def crowd(users: int, **more: Any) -> Cell:
    """A crowd with a neighbour."""
    target = Target(variant="GET /x", route="GET /x", path="/x")
    return replace(target.closed_loop_cell(users, Times(0.1, 8.0), 0.1), neighbours=(PING,), **more)


def opened(cell: Cell) -> CellRun:
    """A run of the cell whose window has just opened, in the middle of a round."""
    cell_run = CellRun(cell, Event(), endless=False)
    for _ in range(cell.users // 2):
        cell_run.record_answer(0.1, is_right=True)
    cell_run.open_window()
    return cell_run


def seconds_to_close(cell_run: CellRun, clock: Clock, latencies: list[float]) -> float | None:
    """Answer one request after another; when the window may close, None if never."""
    begun = clock.now
    for latency in latencies:
        clock.now += latency / cell_run.cell.users
        cell_run.record_answer(latency, is_right=True)
        if cell_run.early_reason:
            assert cell_run.early_reason == "precise"
            return clock.now - begun
    return None


def test_a_running_mean_is_that_of_all_values() -> None:
    """Mean, standard error and their ratio, as from the whole list."""
    dice = random.Random(5)  # noqa: S311 - no secret
    values = [dice.lognormvariate(-3, 0.5) for _ in range(400)]
    running = RunningMean()
    for value in values:
        running.add(value)
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    assert running.mean == pytest.approx(statistics.fmean(values))
    share = half / statistics.fmean(values)
    assert running.is_within(1.001 * share)
    assert not running.is_within(0.999 * share)


def test_a_lone_user_gives_eight_answers_at_least(clock: Clock) -> None:
    """However alike they are; and as many as `least` takes."""
    assert seconds_to_close(opened(crowd(1, precision=0.1)), clock, [0.125] * 20) == pytest.approx(
        8 * 0.125
    )
    assert seconds_to_close(
        opened(crowd(1, precision=0.1, least=1.5)), clock, [0.125] * 20
    ) == pytest.approx(1.5)
    assert seconds_to_close(opened(crowd(1)), clock, [0.125] * 20) is None


def test_a_crowd_gives_two_whole_rounds_at_least(clock: Clock) -> None:
    """Six users: 12 answers, and then only with a whole round."""
    cell_run = opened(crowd(6, precision=0.1))
    assert seconds_to_close(cell_run, clock, [0.6] * 60) == pytest.approx(1.2)
    cell_run = opened(crowd(6, precision=0.1, least=1.25))
    assert seconds_to_close(cell_run, clock, [0.6] * 60) == pytest.approx(1.8)


def answer_at(cell_run: CellRun, clock: Clock, gaps: list[float]) -> int | None:
    """Answer after each of these times; how many answers until the window may close."""
    for count, gap in enumerate(gaps, 1):
        clock.now += gap
        cell_run.record_answer(4.0, is_right=True)
        if cell_run.ending_early.is_set():
            return count
    return None


def test_a_queue_that_answers_evenly_needs_no_two_rounds(clock: Clock) -> None:
    """64 users of a lock: half of the first round was before, then 16 gaps are enough."""
    dice = random.Random(7)  # noqa: S311 - no secret
    even = [0.06 * dice.uniform(0.95, 1.05) for _ in range(200)]
    assert answer_at(opened(crowd(64, precision=0.05)), clock, even) == 32 + 16
    late = opened(crowd(64, precision=0.05, least=5.0))
    assert answer_at(late, clock, even) == pytest.approx(5.0 / 0.06, abs=2)


def test_answers_in_lumps_or_at_random_need_whole_rounds(clock: Clock) -> None:
    """A lump looks even from within; its pause does not."""
    lumps = ([0.0005] * 31 + [0.8]) * 6
    assert answer_at(opened(crowd(32, precision=0.05)), clock, [*lumps[15:], *lumps]) == 64
    dice = random.Random(7)  # noqa: S311 - no secret
    chance = [dice.expovariate(20.0) for _ in range(200)]
    assert answer_at(opened(crowd(8, precision=0.05)), clock, chance) == 16


def test_what_scatters_is_asked_for_longer(clock: Clock) -> None:
    """One in five is ten times as slow: some 500 answers for 10 %, never with 50."""
    dice = random.Random(7)  # noqa: S311 - no secret
    latencies = [1.0 if dice.random() < 0.2 else 0.1 for _ in range(2000)]
    cell_run = opened(crowd(1, precision=0.1))
    assert seconds_to_close(cell_run, clock, latencies)
    assert 300 < cell_run.latencies.count < 700
    assert seconds_to_close(opened(crowd(1, precision=0.1)), clock, latencies[:50]) is None


def test_errors_and_the_warm_up_do_not_make_a_mean_known(clock: Clock) -> None:
    """They are quick, and all alike."""
    for cell_run, is_right in (
        (opened(crowd(1, precision=0.5)), False),
        (CellRun(crowd(1, precision=0.5), Event(), endless=False), True),
    ):
        for _ in range(100):
            clock.now += 0.1
            cell_run.record_answer(0.1, is_right=is_right)
        assert not cell_run.ending_early.is_set()


class Watched:
    """A cell run with a recorder whose requests a test starts and ends, tick by tick."""

    def __init__(self, folder: Path, clock: Clock, cell: Cell) -> None:
        self.clock, self.recorder = clock, Recorder(folder, "w")
        self.cell_run = CellRun(cell, Event(), endless=False)
        self.watch = SilenceWatch(self.recorder, cell)
        self.ping_cell = replace(cell, name=cell.neighbour_cell_name)

    def start(self, *, ping: bool = False) -> Any:
        """One request leaves."""
        cell = self.ping_cell if ping else self.cell_run.cell
        key = SampleKey(cell, Phase.WARM_UP, 0)
        return self.recorder.start_request(key, self.clock.now, None)

    def pass_time(self, seconds: float) -> None:
        """The ticker ticks."""
        for _ in range(round(seconds / TICK)):
            self.clock.now += TICK
            self.tick()

    def tick(self) -> None:
        """Look once, as the engine's ticker does."""
        if self.watch.is_silent(TICK, closed=self.cell_run.closed):
            self.cell_run.mark_silent()

    @property
    def is_silent(self) -> bool:
        """Whether the cell was told to end."""
        return self.cell_run.early_reason == "silent"


@pytest.fixture
def watched(tmp_path: Path, clock: Clock) -> Iterator[Watched]:
    """Of a patience of two seconds."""
    watched = Watched(tmp_path, clock, crowd(8, patience=2.0))
    with contextlib.closing(watched.recorder):
        yield watched


def test_silence_is_a_time_in_which_nothing_came_back(watched: Watched) -> None:
    """It begins anew with each answer, and only counts while something is waited for."""
    watched.pass_time(5.0)
    assert not watched.is_silent
    first, _ = watched.start(), watched.start()
    watched.pass_time(1.9)
    watched.recorder.finish_request(first)
    watched.pass_time(1.9)
    assert not watched.is_silent
    answered = watched.clock.now - 1.9
    watched.pass_time(0.2)
    assert watched.is_silent
    (own, pings) = watched.watch.marks
    assert (own.cell, pings.cell) == (watched.cell_run.cell.name, watched.ping_cell.name)
    assert answered < own.t < answered + 0.2
    assert (own.in_flight, pings.in_flight) == (1, 0)


def test_neighbours_neither_break_a_silence_nor_make_one(watched: Watched) -> None:
    """Only when the cell itself waits for nothing more, they are what the drain waits for."""
    watched.start(ping=True)
    watched.pass_time(3.0)
    assert not watched.is_silent
    own = watched.start()
    for _ in range(25):
        watched.recorder.finish_request(watched.start(ping=True))
        watched.pass_time(0.1)
    assert watched.is_silent
    watched.recorder.finish_request(own)


def test_a_drain_ends_when_only_silent_pings_are_left(watched: Watched) -> None:
    """It waits no longer than the cell is patient, and the cell's reason stays what it was."""
    watched.start(ping=True)
    watched.cell_run.close()
    waiting = gevent.spawn(
        watched.cell_run.wait_until_finished, float("inf"), watched.cell_run.silent
    )
    watched.cell_run.participant_count = 1
    watched.pass_time(1.9)
    gevent.sleep(0)
    assert not waiting.ready()
    watched.pass_time(0.3)
    gevent.sleep(0)
    gevent.sleep(0)
    assert waiting.ready()
    assert watched.cell_run.early_reason == ""


def test_a_generator_that_stood_still_heard_no_silence(watched: Watched) -> None:
    """The answers may wait in its sockets: only the time in which it listened counts."""
    watched.start()
    watched.pass_time(1.0)
    watched.clock.now += 60.0
    watched.tick()
    assert not watched.is_silent
