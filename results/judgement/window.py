"""When a cell measured: from its mark `open` to its mark `close`."""

from collections.abc import Mapping

from results.schema import Cell
from results.thresholds import MIN_WINDOW_SECONDS

_MIN_WINDOW_SHARE = 0.9  # a window cut shorter than this share of its plan is not a measurement


def measured_window(cell: Cell, marks: Mapping[str, float]) -> tuple[float, float] | None:
    """Return begin and end of a cell's window, in seconds; None if it was not measured."""
    begin, end = marks.get("open"), marks.get("close")
    if begin is None or end is None or not end > begin:
        return None
    # on purpose: nothing but errors came, or no more was to learn
    is_ended = "failing" in marks or "silent" in marks
    is_cut = "precise" in marks or (cell.most and "ceiling" in marks)
    is_whole = end - begin >= _MIN_WINDOW_SHARE * cell.window
    if is_whole or is_ended or (is_cut and end - begin >= MIN_WINDOW_SECONDS):
        return begin, end
    return None
