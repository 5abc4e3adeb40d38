"""What is warm-up and what is steady; rates, and Little's law, inside a fixed window.

Requests belong to a window by the moment they were planned, because choosing by completion favours the fast ones;
throughput alone counts completions. Little's law is exact for any traffic once the ages of the requests in flight at
both edges are added: the integral of the in-flight counter, which the generator keeps apart from the rows, must equal
what the rows say. Lost rows cannot hide from that (Little 1961; Kim and Whitt 2013 for finite windows).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.load import Evidence
from results.schema import Cell

WHOLE = 0.9  # a window cut shorter than this share of its plan is not a measurement


@dataclass(frozen=True, slots=True)
class Window:
    """The steady part of one cell: `rows` were planned inside (start, end]; `everything` is the whole cell."""

    start: float
    end: float
    rows: pd.DataFrame
    everything: pd.DataFrame
    in_flight: float  # time average, from the generator's counter

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.end - self.start

    @property
    def completions(self) -> int:
        """Right answers whose last byte arrived inside the window. A failure is not throughput."""
        whole = self.everything
        right = ~whole.censored & whole.error.isna() & whole.sent.notna()
        return int((right & (whole.done > self.start) & (whole.done <= self.end)).sum())

    @property
    def rate(self) -> float:
        """Throughput X in requests per second."""
        return self.completions / self.seconds


@dataclass(frozen=True, slots=True)
class Little:
    """How far L = X R is off, as a share of L: without the edges (`residual`), and with the ages at both (`identity`)."""

    residual: float
    identity: float


def steady(evidence: Evidence, cell: Cell, name: str) -> Window | None:
    """The window of a cell (or of the neighbours beside it, by `name`); None when the run ended before it was measured."""
    marks = evidence.marks(name)
    if not {"open", "close"} <= set(marks.index):
        return None
    start, end = float(marks.t["open"]), float(marks.t["close"])
    if end - start < WHOLE * cell.window:
        return None
    everything = evidence.rows(name)
    rows = everything[(everything.intended > start) & (everything.intended <= end)]
    return Window(start, end, rows, everything, float((marks.area["close"] - marks.area["open"]) / (end - start)))


def little(window: Window) -> Little | None:
    """Little's law over the window; None when nothing was in flight."""
    if window.in_flight <= 0:
        return None
    a, b = window.start, window.end
    sent = window.everything[window.everything.sent.notna()]
    leaves, done = sent.sent.to_numpy(), sent.done.to_numpy()
    inside, early, late = (done > a) & (done <= b), (leaves < a) & (done > a), (leaves <= b) & (done > b)
    answered = float((done[inside] - leaves[inside]).sum())
    edges = float(np.sum(b - leaves[late]) - np.sum(a - leaves[early]))
    total = window.seconds * window.in_flight
    return Little(1 - answered / total, 1 - (answered + edges) / total)
