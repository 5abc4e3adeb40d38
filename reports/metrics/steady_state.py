"""Separates warm-up from the steady window; rates and Little's law inside that fixed window.

Requests belong to a window by their planned time, because choosing by completion favours fast ones;
throughput alone counts completions. See docs/method.md, Served at once and Little's law.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.metrics.run_data import RunData
from reports.stats.quantiles import Array
from results.schema import Cell
from results.thresholds import MIN_WINDOW_SECONDS

_MIN_WINDOW_SHARE = 0.9  # a window cut shorter than this share of its plan is not a measurement


@dataclass(frozen=True, slots=True)
class WorkerWindow:
    """One worker's own window and the integral of its in-flight counter (request-seconds)."""

    worker: str
    start: float
    end: float
    in_flight_area: float


@dataclass(frozen=True, slots=True)
class Window:
    """The steady part of one cell: the overlap of its workers' windows."""

    start: float
    end: float
    rows: pd.DataFrame  # planned in (start, end]
    all_rows: pd.DataFrame  # of the whole cell
    worker_windows: tuple[WorkerWindow, ...]

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.end - self.start

    @property
    def answer_times(self) -> Array:
        """Times of the right answers completed inside the window; a failure does not count."""
        rows = valid_rows(self.all_rows)
        done = rows.done.to_numpy()
        return done[~rows.censored.to_numpy() & (done > self.start) & (done <= self.end)]

    @property
    def latencies(self) -> Array:
        """Latencies of the right answers to requests planned inside the window, in seconds."""
        rows = valid_rows(self.rows)
        return rows.latency[~rows.censored].to_numpy()

    @property
    def longest_silence(self) -> float:
        """Longest time without an answer, in seconds; 0 if none came after its start."""
        rows = valid_rows(self.all_rows)
        if not (~rows.censored & (rows.done > self.start)).any():
            return 0.0
        return float(np.diff([self.start, *np.sort(self.answer_times), self.end]).max())

    @property
    def completions(self) -> int:
        """Number of right answers completed inside the window."""
        return len(self.answer_times)

    @property
    def throughput(self) -> float:
        """Throughput X in requests per second."""
        return self.completions / self.seconds


@dataclass(frozen=True, slots=True)
class LittleDeviation:
    """Error of L = X R as a share of L: `residual` without edges, `identity` with their ages."""

    residual: float
    identity: float


def valid_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return sent requests that did not fail; the unanswered stay in, as lower bounds."""
    return rows[rows.sent.notna() & rows.error.isna()]


def steady_window(run_data: RunData, cell: Cell, name: str) -> Window | None:
    """Return the window of a cell, or of its neighbours, by `name`; None if it was not measured."""
    marks, area, all_rows = run_data.marks(name), run_data.marks(name, "area"), run_data.rows(name)
    if not {"open", "close"} <= set(marks):
        return None
    opens, closes = marks["open"].to_numpy(), marks["close"].to_numpy()
    if np.isnan(opens + closes).any() or not set(all_rows.worker.unique()) <= set(marks.index):
        return None
    start, end = float(opens.max()), float(closes.min())
    is_full = "ceiling" in marks and end - start >= MIN_WINDOW_SECONDS
    # its window closed early on purpose
    cut = {"precise", "silent"} & set(marks) or (cell.most and ("failing" in marks or is_full))
    if end <= start or (end - start < _MIN_WINDOW_SHARE * cell.window and not cut):
        return None
    planned = all_rows.intended.to_numpy()
    summed = (area["close"] - area["open"]).to_numpy()
    workers = map(WorkerWindow, marks.index, opens.tolist(), closes.tolist(), summed.tolist())
    rows = all_rows[(planned > start) & (planned <= end)]
    return Window(start, end, rows, all_rows, tuple(workers))


def little_deviation(window: Window) -> LittleDeviation | None:
    """Sum Little's law over each worker's own window; None when nothing was in flight."""
    total = sum(span.in_flight_area for span in window.worker_windows)
    if total <= 0:
        return None
    answered = edges = 0.0
    for span in window.worker_windows:
        is_own = window.all_rows.worker == span.worker
        rows = window.all_rows[is_own & window.all_rows.sent.notna()]
        a, b, leaves, done = span.start, span.end, rows.sent.to_numpy(), rows.done.to_numpy()
        inside = (done > a) & (done <= b)
        early, late = (leaves < a) & (done > a), (leaves <= b) & (done > b)
        answered += float((done[inside] - leaves[inside]).sum())
        edges += float(np.sum(b - leaves[late]) - np.sum(a - leaves[early]))
    return LittleDeviation(1 - answered / total, 1 - (answered + edges) / total)
