"""When a cell measured: from its mark `open` to its mark `close`."""

from collections.abc import Mapping
from typing import NamedTuple

from results.schema import Cell
from results.thresholds import MIN_WINDOW_SECONDS

_MIN_WINDOW_SHARE = 0.9  # a window cut shorter than this share of its plan is not a measurement


class Window(NamedTuple):
    """When a cell measured, in seconds."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.end - self.begin

    def covers(self, t: float, margin: float = 0.0) -> bool:
        """Return whether a moment lies in the window."""
        return self.begin - margin < t <= self.end + margin


def measured_window(cell: Cell, marks: Mapping[str, float]) -> Window | None:
    """Return the window of a cell; None if it was not measured."""
    begin, end = marks.get("open"), marks.get("close")
    if begin is None or end is None or not end > begin:
        return None
    # on purpose: nothing but errors came, or no more was to learn
    is_ended = "failing" in marks or "silent" in marks
    is_cut = "precise" in marks or (cell.most and "ceiling" in marks)
    is_whole = end - begin >= _MIN_WINDOW_SHARE * cell.window
    if is_whole or is_ended or (is_cut and end - begin >= MIN_WINDOW_SECONDS):
        return Window(begin, end)
    return None
