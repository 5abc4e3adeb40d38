"""One load of the open model, counted: what was offered, what was answered, whether the rest piled up.

Nothing may vanish: a request that the cap refused, one that was never answered and one that failed are counted each.
Percentiles of an overloaded route say how long the test was, so whether it was overloaded is decided here, first.
"""

import math

import numpy as np
import pandas as pd

from reports.metrics.model import Offered
from reports.metrics.run_data import Evidence
from reports.metrics.steady_state import Window, right, steady
from reports.stats.model import Replayed, Sends, Source
from reports.stats.percentile_curve import spectrum
from reports.stats.poisson_test import law_of
from reports.stats.quantiles import Latency, quantile
from reports.stats.queueing import correlation_length, replay
from reports.stats.replay import QUICK, places_of, replayed
from reports.stats.stationarity import Steadiness
from results.schema import Cell, Law

CHANCE = 3.0  # standard deviations: what so many Poisson arrivals pile up on a route that just keeps up
FEW = 10  # gaps, or overdue requests; fewer say nothing
FULLER = 1.02  # times what the answers' own pace says a route can do


def offered_of(evidence: Evidence, cell: Cell, capacity: float | None, crowd: int | None, service: float | None) -> Offered:
    """All numbers of one open cell. `capacity` (requests/s), places and unloaded `service` as crowds showed them, if any did."""
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
    sends = sends_of(sent, inside)
    places = places_of(sends, service, crowd)
    again = replayed(sends, places.count, places.d, places.way) if places.count and places.d else None
    known = places.count if crowd or (again and again.follows) else None
    busy = places.d if known else None
    full = capacity or (known / busy if known and busy else None)  # else from the pace of the answers themselves
    above = full is not None and min(nominal, rate) > (capacity or FULLER * full) and backlog > (known or 1)
    overloaded = above or piles_up(sent, floor, go, window, refused=refused > 0, chance=0 if law.law is Law.CONSTANT else CHANCE)
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
        latency=Latency.of(inside.latency.to_numpy(), ~inside.censored.to_numpy(), correlated=not overloaded, tau=tau(rate, again)),
        floor=busy + places.way if busy else floor,
        lateness=quantile((sent.sent - sent.intended).to_numpy(), 0.99) if len(sent) else None,
        arrivals=tuple(law_of(np.sort(one.to_numpy()) - go, lasts) for one in moments if len(one) > FEW),
        growth=backlog / lasts,
        capacity=capacity,
        overloaded=overloaded,
        places=known,
        busy=busy,
        steadiness=None if overloaded else steadiness_of(sends, again, is_idle=places.source is Source.IDLE),
        served=places,
        replayed=again,
        starved=starved(fine),
        spectrum=None if overloaded else spectrum(sends, window.seconds, again),
    )


def sends_of(sent: pd.DataFrame, inside: pd.DataFrame) -> Sends:
    """A cell's requests as columns; `inside` are those that its results are made of."""
    planned, left, done = (sent[name].to_numpy() for name in ("intended", "sent", "done"))
    return Sends(planned, left, done, ~sent.censored.to_numpy(), np.asarray(sent.index.isin(inside.index)))


def tau(rate: float, again: Replayed | None) -> float:
    """How many requests in a row are worth one, where a replay says how full the places were; else 1, which claims nothing."""
    rho = rate * again.d / again.places if again and again.follows else 0.0
    return correlation_length(rho) if 0 < rho < 1 else 1.0


def steadiness_of(sends: Sends, again: Replayed | None, *, is_idle: bool) -> Steadiness | None:
    """Whether a load stayed one load: its answers over those of the same sends on ideal places, which takes the luck out.

    A queue that no replay explains wanders by itself; nobody can tell that from a drift.
    """
    took = (sends.done - sends.sent)[sends.finished]
    if again and again.follows:
        return Steadiness.of(took / replay(sends.sent, again.d, again.places)[sends.finished])
    return Steadiness.of(took) if is_idle else None


def starved(fine: pd.DataFrame) -> float | None:
    """Share of the connections with fewer than half as many answers as the median one.

    A warm pool takes the one used last first, so in the open model this is mostly the sender's own doing.
    """
    answers = fine.groupby(["worker", "connection"]).size().to_numpy()
    return float((answers < np.median(answers) / 2).mean()) if len(answers) else None


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
