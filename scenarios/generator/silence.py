"""Notices that nothing comes back of a cell, though requests are in flight."""

from results.records import Mark
from scenarios.generator.cell_run import CellRun
from scenarios.generator.recorder import Recorder

_NOTICE_SECONDS = 0.1  # of silence, after which its beginning is marked, in case it lasts


class SilenceWatch:
    """Measures a cell's silence; its neighbours do not count while it has requests in flight.

    `marks` are those of the moment at which the present silence was noticed: a tenth of a second
    after the last answer, or after the first request left.
    """

    def __init__(self, recorder: Recorder, cell_run: CellRun) -> None:
        self.recorder, self.cell_run = recorder, cell_run
        self.seconds, self.ended_count = 0.0, 0
        self.marks: list[Mark] = []

    def tick(self, seconds: float) -> None:
        """Count `seconds` more: what the generator itself stood still is no silence."""
        cell, gauges = self.cell_run.cell, self.recorder.gauges
        gauge = gauges[cell.name]
        if self.cell_run.closed and not gauge.in_flight:
            gauge = gauges[cell.neighbour_cell_name]
        if gauge.in_flight and gauge.ended_count == self.ended_count:
            self.seconds += seconds
        else:
            self.seconds, self.marks = 0.0, []
        self.ended_count = gauge.ended_count
        if self.seconds >= _NOTICE_SECONDS and not self.marks:
            self.marks = self.recorder.read_marks(cell, "silent")
        if self.marks and self.seconds >= cell.patience:
            self.cell_run.silent.set()
            if not self.cell_run.closed:
                self.cell_run.end_early("silent")
