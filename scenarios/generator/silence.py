"""Notices that nothing comes back of a cell, though requests are in flight."""

from results.records import Mark
from results.schema import Cell
from scenarios.generator.recorder import Recorder

_NOTICE_SECONDS = 0.1  # of silence, after which its beginning is marked, in case it lasts


class SilenceWatch:
    """Measures a cell's silence; its neighbours do not count while it has requests in flight.

    `marks` are those of the moment at which the present silence was noticed: a tenth of a second
    after the last answer, or after the first request left.
    """

    def __init__(self, recorder: Recorder, cell: Cell) -> None:
        self.recorder, self.cell = recorder, cell
        self.seconds, self.ended_count = 0.0, 0
        self.marks: list[Mark] = []

    def is_silent(self, seconds: float, *, closed: bool) -> bool:
        """Count `seconds` more; return whether the cell, open or closed, lost its patience.

        The caller leaves out the time in which the generator itself stood still.
        """
        cell = self.cell
        if not cell.patience:
            return False
        gauge = self.recorder.gauges[cell.name]
        if closed and not gauge.in_flight:
            gauge = self.recorder.gauges[cell.neighbour_cell_name]
        if gauge.in_flight and gauge.ended_count == self.ended_count:
            self.seconds += seconds
        else:
            self.seconds, self.marks = 0.0, []
        self.ended_count = gauge.ended_count
        if self.seconds >= _NOTICE_SECONDS and not self.marks:
            self.marks = self.recorder.read_marks(cell, "silent")
        return bool(self.marks) and self.seconds >= cell.patience
