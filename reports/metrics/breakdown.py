"""Splits a window's mean latency at the timestamps that client and server recorded.

All timestamps are from one clock, so the parts add up to the mean latency exactly, over the
requests with all timestamps. The wait for a thread of the loop's executor (`asyncio.to_thread`)
happens inside the handler, and only a comparison with the unloaded handler separates it from work.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

TIMESTAMP_COLUMNS = ("intended", "sent", "app_start", "handler_start", "handler_end", "done")


@dataclass(frozen=True, slots=True)
class LatencyBreakdown:
    """Mean seconds per request, in order; `known` of `count` requests have all timestamps."""

    lag: float  # planned -> sent: the generator's own delay
    before_app: float  # sent -> the app is entered: sockets, and the event loop while it is held
    for_thread: float  # -> the handler begins: of `def` routes, the wait for a thread
    served: float  # inside the handler
    to_be_sent: float  # the handler has ended -> the last byte is read
    timer: float | None  # what a timer in the outermost middleware covers: app_start -> app_end
    known: int
    count: int

    @property
    def parts(self) -> tuple[float, float, float, float, float]:
        """The five parts in order."""
        return (self.lag, self.before_app, self.for_thread, self.served, self.to_be_sent)

    @property
    def total(self) -> float:
        """The mean latency of these requests."""
        return sum(self.parts)


def break_down_latency(rows: pd.DataFrame) -> LatencyBreakdown | None:
    """Split the latency of the answered requests; None when none has all timestamps in order."""
    steps = rows[list(TIMESTAMP_COLUMNS)].diff(axis=1).iloc[:, 1:]
    # The clock of another host differs: its timestamps are out of order and count as unknown.
    in_order = (steps >= 0).all(axis=1) & ~rows.censored  # a comparison with NaN is False
    known, steps = rows[in_order], steps[in_order]
    if known.empty:
        return None
    lag, before_app, for_thread, served, to_be_sent = map(float, steps.mean())
    mean = (known.app_end - known.app_start).mean(skipna=False)
    timer, counts = None if np.isnan(mean) else float(mean), (len(known), len(rows))
    return LatencyBreakdown(lag, before_app, for_thread, served, to_be_sent, timer, *counts)
