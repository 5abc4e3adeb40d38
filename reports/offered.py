"""One load of the open model, counted: what was offered, what was answered, whether the rest piled up.

Nothing may vanish: a request that the cap refused, one that was never answered and one that failed are counted each.
Percentiles of an overloaded route say how long the test was, so whether it was overloaded is decided here, first.
"""

import math

import numpy as np
import pandas as pd

from reports.arrival_law import law_of
from reports.load import Evidence
from reports.percentiles import Array, Latency, quantile
from reports.study import Offered
from reports.windows import Window, right, steady
from results.schema import Cell, Law

QUICK = 0.05  # the quickest twentieth hardly waited: what it took stands for the unloaded route
CHANCE = 3.0  # standard deviations: what so many Poisson arrivals pile up on a route that just keeps up
WAITED = 1.02  # times the unloaded latency from which a request had to wait (science: busy periods)
WAITED_LONG = 1.5
NEAR = 0.1  # how alike the gaps between completions must be, and how near the unloaded latency, to mean one at a time
FEW = 10  # gaps, or overdue requests; fewer say nothing
FULLER = 1.02  # times what the answers' own pace says a route can do


def offered_of(evidence: Evidence, cell: Cell, capacity: float | None, places: int | None) -> Offered:
    """All numbers of one open cell. `capacity` (requests/s) and `places` are what a crowd showed, where one did."""
    window, law = steady(evidence, cell, cell.name), cell.arrivals
    assert window is not None and law is not None  # noqa: S101, PT018 - only measured open cells come here
    go = float(evidence.marks(cell.name)["go"].min())
    rows, lasts = window.everything, window.end - go
    sent, inside = rows[rows.sent.notna()].sort_values("sent"), right(window.rows)
    fine = right(sent[~sent.censored])
    floor = quantile(fine.latency.to_numpy(), QUICK) if len(fine) else None
    nominal, rate = law.planned / law.seconds, len(sent) / lasts
    refused = int(rows.error[rows.sent.isna()].str.contains("cap").sum())
    backlog = int(in_flight(sent, window.end))
    known, busy = served_in_a_row(fine, places)
    full = capacity or (known / busy if known and busy else None)  # else from the pace of the answers themselves
    above = full is not None and min(nominal, rate) > (capacity or FULLER * full) and backlog > (places or 1)
    is_plain = law.law is Law.POISSON and len(law.profile) == 1 and law.profile[0][1] == law.profile[0][2]
    moments = ((rows.intended,) if refused else (rows.intended, sent.sent)) if is_plain else ()
    return Offered(
        cell=cell.name,
        nominal=nominal,
        peak=max(max(begin, end) for _, begin, end in law.profile),
        law=law.law,
        share=cell.share,
        repeat=cell.repeat,
        seconds=lasts,
        planned=len(rows),
        sent=len(sent),
        refused=refused,
        rate=rate,
        completed=int((fine.done <= window.end).sum()),
        throughput=window.rate,
        backlog=backlog,
        unfinished=int(sent.censored.sum()),
        errors=int(sent.error.notna().sum()),
        latency=Latency.of(inside.latency.to_numpy(), ~inside.censored.to_numpy()),
        floor=busy if known == 1 else floor,
        lateness=quantile((sent.sent - sent.intended).to_numpy(), 0.99) if len(sent) else None,
        arrivals=tuple(law_of(np.sort(one.to_numpy()) - go, lasts) for one in moments if len(one) > FEW),
        growth=backlog / lasts,
        capacity=capacity,
        overloaded=above or piles_up(sent, floor, go, window, refused=refused > 0, chance=0 if law.law is Law.CONSTANT else CHANCE),
        places=known,
        busy=busy,
    )


def in_flight(sent: pd.DataFrame, moment: float, older: float = 0.0) -> int:
    """Requests that are out at a moment and have been for longer than `older` seconds."""
    ends = sent.done.where(~sent.censored, np.inf)
    return int(((sent.sent <= moment - older) & (ends > moment)).sum())


def piles_up(  # noqa: PLR0913 - a queue, a floor, and what counts as chance
    sent: pd.DataFrame, floor: float | None, go: float, window: Window, *, refused: bool, chance: float
) -> bool:
    """Whether more requests are overdue at the close than chance piles up, and still more of them as time goes by.

    A metronome piles nothing up. On a route that just keeps up, the queue after n Poisson arrivals is a random walk of step sqrt(n): three times that
    is chance once in 300 such tests, and far rarer below capacity. A slow route without a limit has many in flight, but
    none for longer than an unloaded answer takes. Once the cap refuses requests, the queue cannot grow any more.
    """
    if floor is None:
        return False
    early = in_flight(sent, go + (window.end - go) / 3, floor)
    overdue = in_flight(sent, window.end, floor)
    return overdue > max(FEW, chance * math.sqrt(len(sent))) and (refused or overdue - early > overdue / 3)


def served_in_a_row(fine: pd.DataFrame, places: int | None) -> tuple[int | None, float | None]:
    """Places and service time under load, from the completions of requests that waited; no order of service is assumed.

    Completion i follows completion i - c by one service. Where c is unknown it is taken for 1 if the requests that waited
    long ended one service apart, all alike, each gap as long as an unloaded answer takes; else both are unknown.
    """
    rows = fine.sort_values("done")
    done, took = rows.done.to_numpy(), (rows.done - rows.sent).to_numpy()
    if not len(took):
        return places, None
    quick = float(took.min())
    gaps = follow(done, took, places or 1, quick * (WAITED if places else WAITED_LONG))
    if len(gaps) < FEW:
        return places, None
    busy = float(np.median(gaps))
    unlike = float(np.quantile(gaps, 0.75) - np.quantile(gaps, 0.25)) > NEAR * busy or abs(busy / quick - 1) > NEAR
    return (None, None) if places is None and unlike else (places or 1, busy)


def follow(done: Array, took: Array, places: int, least: float) -> Array:
    """Gaps between completion i and completion i - c, for the requests that took longer than `least`."""
    return (done[places:] - done[:-places])[took[places:] > least]
