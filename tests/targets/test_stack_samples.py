"""What the watchdog concludes from its samples, on a made-up clock and loop."""

import gc
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import pytest

from results.judgement.culprit import LoopHolds, read_holds, summarise_holds
from targets.agent.loop_thread import (
    STACK_SAMPLE_INTERVAL,
    GilAccess,
    LoopThread,
    ThreadTime,
    classify_access,
    read_stack,
)
from targets.agent.stack_frames import RawFrame
from targets.agent.watchdog import Watchdog

HERE = Path(__file__)


def line() -> None:
    """What is seen on the stack."""
    time.sleep(0)


def other() -> None:
    """Another line, of the same user."""
    time.sleep(0)


class Task:
    """One that keeps the loop."""


class Scene:
    """A watchdog that has just asked its question, and the loop's thread as the system shows it."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.now, self.own_share, self.code = 100.0, 1.0, line.__code__
        self.slept_share = 0.0
        self.clock = 1  # of the loop's thread: its CPU is known
        self.task: Any = None
        self.watch, self.file, self.folder = Watchdog(path, HERE.parent), file, path.parent
        made_up: Any = self
        self.watch.loop_thread = self.watch.loop = made_up
        self.watch.head = 0.0
        self.watch.accounted_until, self.watch.sample_due = (
            self.now,
            self.now + STACK_SAMPLE_INTERVAL,
        )

    def own_time(self, gap: float) -> ThreadTime:
        """Seconds of the loop's own."""
        ran = self.own_share * gap * (1 - self.slept_share)
        return ThreadTime(ran, self.own_share * gap - ran, is_asleep=self.slept_share > 0)

    def stack(self) -> list[RawFrame]:
        """One line."""
        return [(self.code, 2 * len(list(self.code.co_positions())) - 2)]

    def looks(self, *gaps: float) -> None:
        """Take samples after so many seconds each."""
        for gap in gaps:
            self.now += gap
            self.watch.sample_stack(self.file)

    def collects(self, seconds: float) -> None:
        """A garbage collection of so many seconds."""
        self.watch.gc_timer("start", None)
        self.now += seconds
        self.watch.gc_timer("stop", None)

    def ends(self, rest: float = 0.0) -> LoopHolds:
        """Answer so late after the last sample; return what is said of it all."""
        self.now += rest
        assert self.watch.hold
        self.watch.finish_hold(self.file, self.watch.hold, self.now)
        return self.written_holds()

    def written_holds(self) -> LoopHolds:
        """What is written so far, rounded."""
        holds = summarise_holds(read_holds(self.folder, "a", 0.0), [(0, 1000)], [HERE.parent])
        return LoopHolds(
            round(holds.seconds, 5),
            round(holds.unattributed, 5),
            holds.culprits,
            round(holds.gc_seconds, 5),
        )


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The watchdog's clock is the scene's; each collection is one that is due."""
    path = tmp_path / "a-1.jsonl"
    with path.open("a") as file:
        made = Scene(path, file)
        monkeypatch.setattr("targets.agent.watchdog.clock_seconds", lambda: made.now)
        monkeypatch.setattr("asyncio.current_task", lambda _: made.task)
        monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
        monkeypatch.setattr(gc, "get_count", lambda: (gc.get_threshold()[0] + 1, 0, 0))
        yield made


def test_who_keeps_the_loop_for_a_short_while_is_not_said(scene: Scene) -> None:
    """Nor is it named where all of a longer time but that was others'."""
    scene.looks(STACK_SAMPLE_INTERVAL)
    assert scene.ends(0.001) == LoopHolds(0.0, 0.0, ())
    scene.watch.accounted_until = scene.now
    scene.own_share = 0.15
    scene.looks(0.02)
    assert scene.ends() == LoopHolds(0.0, 0.02, ())


def test_the_line_has_what_the_loops_thread_used_and_nobody_the_rest(scene: Scene) -> None:
    """Others keep the core, or the GIL."""
    scene.own_share = 0.75
    scene.looks(*[STACK_SAMPLE_INTERVAL] * 8)
    holds = scene.ends()
    assert (holds.seconds, holds.unattributed) == (0.015, 0.005)
    assert [(culprit.file, culprit.function, culprit.holds) for culprit in holds.culprits] == [
        (HERE.name, "line", 1)
    ]


def test_a_loop_that_waits_for_events_holds_nothing(scene: Scene) -> None:
    """Its own frames, below every task, are no part of a stack."""
    scene.watch.loop_depth = 1
    scene.looks(0.02)
    assert scene.ends() == LoopHolds(0.0, 0.02, ())


def test_a_sample_stands_for_its_time_and_not_for_all_that_follows(scene: Scene) -> None:
    """The answer comes after a gap without samples: what held the loop in the gap is unknown."""
    scene.looks(STACK_SAMPLE_INTERVAL, STACK_SAMPLE_INTERVAL, STACK_SAMPLE_INTERVAL)
    holds = scene.ends(0.025)
    assert (holds.seconds, holds.unattributed) == (0.01, 0.0225)


def test_only_a_late_sample_was_blind(scene: Scene) -> None:
    """Later, that is, than a thread may be by chance; a sleep can be watched all the time."""
    scene.looks(*[STACK_SAMPLE_INTERVAL + 0.009] * 4)
    assert scene.ends().culprits[0].blind == 0.0
    scene.watch.accounted_until, scene.watch.sample_due = (
        scene.now,
        scene.now + STACK_SAMPLE_INTERVAL,
    )
    scene.looks(0.060)
    assert round(scene.ends().culprits[0].blind, 3) == round(0.0575 / 0.106, 3)


def test_a_sample_that_comes_after_the_hold_counts_to_its_end(scene: Scene) -> None:
    """The heartbeat came while the thread waited for the GIL: neither line nor blindness is more.

    Whatever the late sample saw, it saw it later.
    """
    scene.looks(*[STACK_SAMPLE_INTERVAL] * 4)
    scene.slept_share = 0.5
    scene.looks(0.060)
    holds = scene.ends(-0.055)
    assert (holds.seconds, holds.unattributed) == (0.015, 0.0)
    assert holds.culprits[0].blind == pytest.approx((0.0575 - 0.055) / 0.015, rel=0.01)


@pytest.mark.parametrize("more", [(), (STACK_SAMPLE_INTERVAL,)], ids=["one sample", "two"])
def test_a_hold_begins_in_the_middle_of_the_pause_before_its_request(
    scene: Scene, more: tuple[float, ...]
) -> None:
    """It began at some moment of it; what its thread did then it goes on to do."""
    scene.watch.head, scene.own_share = 0.003, 0.8
    scene.looks(STACK_SAMPLE_INTERVAL, *more)
    holds = scene.ends()
    length = STACK_SAMPLE_INTERVAL * (1 + len(more)) + 0.003
    assert holds.seconds == pytest.approx(0.8 * length, abs=1e-5)
    assert holds.unattributed == pytest.approx(0.2 * length, abs=1e-5)


def test_many_short_turns_after_one_another_are_no_holds(scene: Scene) -> None:
    """Each was met once: the pause before the request belongs to none of them."""
    scene.watch.head = 0.003
    for gap in (*[STACK_SAMPLE_INTERVAL] * 6, 0.001):
        scene.task = Task()
        scene.looks(gap)
    assert scene.ends() == LoopHolds(0.0, 0.0, ())


def test_a_long_hold_is_written_in_pieces(scene: Scene) -> None:
    """A process killed during a hold has written most of it; together they are one hold."""
    scene.looks(*[STACK_SAMPLE_INTERVAL] * 280)
    assert 0.5 < scene.written_holds().seconds < 0.51
    holds = scene.ends()
    assert (holds.culprits[0].holds, round(holds.culprits[0].longest, 4)) == (1, 0.7)


def test_a_collection_has_its_time_and_the_line_the_rest(scene: Scene) -> None:
    """Whether a sample meets it, or comes after it, or the loop is already free; none is blind."""
    scene.watch.gc_timer("start", None)
    scene.looks(0.030)
    scene.watch.gc_timer("stop", None)
    scene.looks(*[STACK_SAMPLE_INTERVAL] * 4)
    scene.collects(0.040)
    scene.looks(STACK_SAMPLE_INTERVAL)
    scene.collects(0.050)
    holds = scene.ends(STACK_SAMPLE_INTERVAL)
    assert (holds.seconds, holds.unattributed, holds.gc_seconds) == (0.015, 0.0, 0.12)
    assert holds.culprits[0].blind == 0.0


def test_a_line_that_met_a_collection_is_not_named_for_it(scene: Scene) -> None:
    """Its own time is too short for that."""
    scene.collects(0.050)
    scene.looks(STACK_SAMPLE_INTERVAL)
    assert scene.ends() == LoopHolds(0.0, 0.0025, (), 0.05)


def test_a_collection_before_the_question_belongs_to_no_hold(scene: Scene) -> None:
    """No question was open then."""
    scene.collects(0.050)
    scene.watch.loop_thread.take_cpu_time = lambda: (0.0, 0.0)  # type: ignore[method-assign]
    scene.watch.reset()
    scene.watch.accounted_until = scene.now
    scene.looks(*[STACK_SAMPLE_INTERVAL] * 4)
    assert (scene.ends().gc_seconds, scene.written_holds().seconds) == (0.0, 0.01)


@pytest.mark.parametrize(
    ("seconds", "threshold", "is_enabled"),
    [(0.050, 700, True), (0.050, 699, False), (0.050, 0, True), (0.004, 699, True)],
    ids=[
        "asked for",
        "asked for, as none comes by itself",
        "asked for, as nothing is too much",
        "short",
    ],
)
def test_other_collections_are_the_lines_own(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    threshold: int,
    *,
    is_enabled: bool,
) -> None:
    """A line that calls `gc.collect()` holds the loop by that; short ones come with objects."""
    monkeypatch.setattr(gc, "get_count", lambda: (700, 0, 0))
    monkeypatch.setattr(gc, "get_threshold", lambda: (threshold, 10, 10))
    monkeypatch.setattr(gc, "isenabled", lambda: is_enabled)
    scene.looks(STACK_SAMPLE_INTERVAL, STACK_SAMPLE_INTERVAL)
    scene.collects(seconds)
    scene.looks(STACK_SAMPLE_INTERVAL)
    holds = scene.ends()
    assert (holds.seconds, holds.gc_seconds) == (round(0.0075 + seconds, 5), 0.0)


@pytest.mark.parametrize(
    ("waits", "access"),
    [(0, GilAccess.FREE), (1, GilAccess.FREE), (2, GilAccess.FORCED), (9, GilAccess.FORCED)],
)
def test_how_the_gil_was_had_is_said_by_the_waits_for_it(waits: int, access: GilAccess) -> None:
    """One wait is its own sleep; with one more, it had to ask the holder."""
    assert classify_access(waits) is access


def seen(scene: Scene, *samples: tuple[Any, GilAccess]) -> dict[tuple[str, bool], float]:
    """Shares by function, and whether its line is named, for samples with such GIL access."""
    for function, access in samples:
        scene.code, scene.watch.gil_access = function.__code__, access
        scene.looks(STACK_SAMPLE_INTERVAL)
    return {
        (culprit.function, culprit.line > one_line(culprit.function)): round(culprit.share, 3)
        for culprit in scene.ends().culprits
    }


def one_line(function: str) -> int:
    """The first line of one of the functions here."""
    return {"line": line, "other": other}[function].__code__.co_firstlineno


def test_time_before_a_hand_over_belongs_to_lines_met_by_force(scene: Scene) -> None:
    """A call that releases the GIL is sampled whatever ran before: here one in ten is its own."""
    met = (
        [(line, GilAccess.FORCED)] * 3
        + [(other, GilAccess.HANDED_OVER)] * 6
        + [(other, GilAccess.FREE)]
    )
    assert seen(scene, *met) == {("line", True): 0.9, ("other", True): 0.1}


def test_where_no_sample_was_forced_the_function_is_named_and_no_line(scene: Scene) -> None:
    """All that is known is what the call's own frame had done until then."""
    assert seen(scene, *[(other, GilAccess.HANDED_OVER)] * 8, *[(other, GilAccess.FREE)] * 2) == {
        ("other", False): 0.8,
        ("other", True): 0.2,
    }


def test_sleep_belongs_to_calls_met_asleep_and_the_rest_to_lines_met_by_force(scene: Scene) -> None:
    """The clocks tell how much of each there was, however often either was met."""
    scene.slept_share = 0.3
    met = [(line, GilAccess.FORCED)] + [(other, GilAccess.FREE)] * 9
    assert seen(scene, *met) == {("line", True): 0.7, ("other", True): 0.3}


def test_without_proc_all_time_is_the_loops_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chroot may have none: the watchdog goes on with what it has."""
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert LoopThread().own_time(0.02) == ThreadTime(0.02, 0.0, is_asleep=False)


def test_no_other_thread_may_go_on_during_a_sample_at_its_stack() -> None:
    """A walk in Python can be interrupted at each step; one met ended frames and killed an app."""

    def steps(callers: int) -> tuple[int, int]:
        """Lines of Python that a sample takes, and frames in it, below so many callers."""
        if callers:
            return steps(callers - 1)
        lines = []

        def trace(frame: FrameType, event: str, _: object) -> Any:
            if frame.f_code is read_stack.__code__ and event == "line":
                lines.append(frame.f_lineno)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            frames = read_stack(threading.get_ident())
        finally:
            sys.settrace(before)
        return len(lines), len(frames)

    few, many = steps(0), steps(50)
    assert many[0] == few[0] > 0
    assert many[1] == few[1] + 50


def test_the_stack_of_a_thread_that_has_ended_is_empty() -> None:
    """No thread has this number."""
    assert read_stack(-1) == []
