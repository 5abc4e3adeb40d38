"""How far off is the harness? Servers of known truth, measured like any other; theory and their own record beside it.

What was measured comes from the rows alone: latencies from the planned moment, D in place from completions in a row, c from
the sweep. The truth - c places, first come first served, stopped from when to when - is only used to say what should have come
out. An open load is compared with the replay of all its own sends, so that chance is the same on both sides: the wait in front
of a place, which D in place decides, and the latency of the unloaded route, which has HTTP and the network in it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

from reports.formatting import number, seconds, share
from reports.metrics.compute import limit_of
from reports.metrics.open_loop import sends_of
from reports.metrics.run_data import Evidence
from reports.metrics.steady_state import Window, right, steady
from reports.model import Goal
from reports.stats.percentile_curve import as_closed
from reports.stats.quantiles import Array, quantile
from reports.stats.queueing import FEW, closed_loop_mean, fit_sweep, replay
from results.schema import Cell

BARE, FASTAPI = (0.01, 0.02, 0.03), (0.03, 0.03, 0.05)  # how far a closed loop's mean may be off: 1 place, a few, 40
MANY = 40
EXACT = 0.3  # how far the sweep may lie from the one whole number that it must give away
ROUNDED = 1e-6  # seconds
A_WAY = 0.003  # seconds that HTTP and client may add to what a single user gets
IN_PLACE = 0.01  # how far D from completions may lie from what the server itself recorded
OPEN, OPEN_TAIL = 0.03, 0.05  # mean and p50; p95 and, with a freeze, p99
GROWTH, PLATEAU = 0.03, 0.01
BLIND = 10.0  # times too low that a client who asks one at a time must find the freeze, at least
COLUMNS = ("goal", "should be", "measured", "off by", "allowed", "")


Stops = Sequence[Sequence[float]]  # from when to when a server stood still


def near(name: str, truth: float, measured: float, limit: float, in_words: Callable[[float], str] = seconds) -> Goal:
    """A goal that allows a share of the truth, either way."""
    return Goal(name, truth, measured, truth * (1 - limit), truth * (1 + limit), share(limit), in_words)


def goals(evidence: Evidence) -> tuple[Goal, ...]:
    """Every goal whose load was measured to its end, in the order of the plan."""
    found: list[Goal] = []
    for route in dict.fromkeys(cell.variant for cell in evidence.cells):
        windows = [(cell, one) for cell in evidence.cells if cell.variant == route and (one := steady(evidence, cell, cell.name))]
        crowds = [(cell.users, window) for cell, window in windows if cell.users]
        swept = swept_of(evidence, windows[0][0], crowds) if crowds else None
        found += sweep(route, crowds, swept) if swept else [unknown(route)] if crowds else []
        for cell, window in windows:
            if cell.arrivals:
                found += list(opened(evidence, cell, window, swept)) or [unknown(cell.name)]
    return tuple(found)


def unknown(name: str) -> Goal:
    """A load that was measured and cannot be judged, because the server's own record is missing: never a goal that holds."""
    return Goal(f"{name}: records of the server", 1, 0, 1, 1, "there", number)


def places(evidence: Evidence, cell: Cell) -> tuple[int, bool]:
    """How many the server of a cell serves at once - of FastAPI's pools it says so itself - and whether it is a bare one."""
    path = urlsplit(cell.path).path
    if path.startswith("/places/"):
        return int(path.rpartition("/")[2]), True
    return int(limit_of(path.strip("/"), evidence.run.get("targets", {}).get("fastapi", {}))[0] or 0), False


@dataclass(frozen=True, slots=True)
class Swept:
    """What a closed sweep says of a route with `c` places: D in place, and the latency of the unloaded route (seconds)."""

    c: int
    in_place: float
    service: float
    is_bare: bool


def swept_of(evidence: Evidence, cell: Cell, crowds: list[tuple[int, Window]]) -> Swept | None:
    """From the smallest crowd, which must be one user, and the largest; None when they do not tell."""
    c, is_bare = places(evidence, cell)
    if c < 1 or crowds[0][0] != 1:  # its probe left no record, or nobody asked alone
        return None
    alone, d = right(crowds[0][1].rows).latency, in_place(crowds[-1][1], c)
    return Swept(c, d, float(alone.mean()), is_bare) if d and len(alone) else None


def recorded(window: Window) -> float | None:
    """D as a bare server recorded it in this very load: on a busy machine it differs, and only the server knows.

    A closed loop is judged by it, for D in place says too much, and rightly so, where a place is missing.
    """
    rows = window.everything
    rows = rows[(rows.done > window.start) & (rows.done <= window.end)]
    own = (rows.handler_end - rows.handler_start).dropna()
    return float(own.mean()) if len(own) else None


def ordered(window: Window) -> pd.DataFrame:
    """All that was sent in a load, warm-up and drain included, in the order of sending."""
    return window.everything[window.everything.sent.notna()].sort_values("sent")


def in_place(window: Window, c: int, frozen: Stops = ()) -> float | None:
    """D in place: the mean gap between completion i and completion i - c, where request i was out before the latter.

    Its place was never idle then. A threshold on latencies would let in those that were merely delayed, and they say too much;
    the median would leave out what a busy machine takes from the server now and then, and the queue does not.
    """
    rows = right(ordered(window)).sort_values("done")
    sent, done = (standing(one.to_numpy(), frozen) for one in (rows.sent, rows.done))
    gaps = (done[c:] - done[:-c])[sent[c:] < done[:-c]]
    return float(np.mean(gaps)) if len(gaps) >= FEW else None


def sweep(route: str, crowds: list[tuple[int, Window]], one: Swept) -> Iterator[Goal]:
    """A closed loop: R = N D / c at every level that fills all places, and the c that the throughputs give away.

    D is what the server recorded: a bare one in this very load, FastAPI with one user, since a handler may wait for its thread.
    """
    limit = (BARE if one.is_bare else FASTAPI)[0 if one.c == 1 else 1 if one.c < MANY else 2]
    alone = recorded(crowds[0][1])
    for users, window in crowds:
        if users > one.c:
            mean, d = float(right(window.rows).latency.mean()), recorded(window) if one.is_bare else alone
            yield near(f"{route}: mean of {users} users", closed_loop_mean(users, d or one.in_place, one.c), mean, limit)
    levels, rates = np.array([(float(users), window.rate) for users, window in crowds]).T
    fit, far = fit_sweep(levels, rates, one.service, max(0.0, 1 / rates[0] - one.service)), 1 if one.c >= MANY else EXACT
    words = f"{one.c - 1} to {one.c + 1}" if one.c >= MANY else f"{one.c} +- {EXACT}"
    yield Goal(f"{route}: served at once, from the sweep", one.c, fit, one.c - far, one.c + far, words, number)
    own = recorded(crowds[-1][1])
    if own and one.is_bare:
        yield near(f"{route}: service time, as the server recorded it", own, one.in_place, IN_PLACE)
    if alone:  # else a delay of our own in every answer would cancel out everywhere
        name = f"{route}: one user, beyond the server's record"
        yield Goal(name, 0.0, one.service - alone, -ROUNDED, A_WAY, f"0 to {seconds(A_WAY)}")


def opened(evidence: Evidence, cell: Cell, window: Window, swept: Swept | None) -> Iterator[Goal]:
    """An open load, by what the server was told to do: stop for a while, be overloaded, or just queue."""
    c, _ = places(evidence, cell)
    asked, rows = parse_qs(urlsplit(cell.path).query), ordered(window)
    if "seconds" not in asked:
        return
    frozen = evidence.run.get("targets", {}).get("places", {}).get("frozen", []) if "freeze_at" in asked else []
    d = in_place(window, c, frozen)
    if d is None or cell.arrivals is None:
        return
    at = f"{cell.route} at {cell.arrivals.planned / cell.arrivals.seconds:g}/s"
    is_counted = ((rows.intended > window.start) & (rows.intended <= window.end)).to_numpy()
    sent, latency = rows.sent.to_numpy(), rows.latency.to_numpy()[is_counted]
    if "freeze_at" in asked:
        yield Goal(f"{at}: times the server stopped", 1, len(frozen), 1, 1, "once", number)
        left = standing(sent, frozen)
        ideal = quantile((resumed(left + replay(left, d, c), frozen) - sent)[is_counted], 0.99)
        alone = as_closed(sends_of(rows[is_counted], rows), 1)  # asks, waits, and meanwhile skips all it had planned
        p99, blind = quantile(latency, 0.99), quantile(latency[alone], 0.99)
        yield near(f"{at}, stopped for 1 s: p99", ideal, p99, OPEN_TAIL)
        yield Goal(f"{at}: p99 as a closed loop sees it", p99, blind, 0.0, p99 / BLIND, f"below 1/{BLIND:g}")
    elif cell.arrivals.planned / cell.arrivals.seconds * float(asked["seconds"][0]) < c:
        ideals = replay(sent, d, c)[is_counted] + (swept.service - d if swept else 0.0)
        yield near(f"{at}: mean", float(ideals.mean()), float(latency.mean()), OPEN)
        for name, q, limit in (("p50", 0.5, OPEN), ("p95", 0.95, OPEN_TAIL)):
            yield near(f"{at}: {name}", quantile(ideals, q), quantile(latency, q), limit)
    else:
        yield from overloaded(at, window, c / (recorded(window) or d))


def overloaded(at: str, window: Window, plateau: float) -> Iterator[Goal]:
    """More than the server can do: what it still does, what piles up, and that every single request was answered."""
    rows = window.everything
    arrive = float(((rows.sent > window.start) & (rows.sent <= window.end)).sum()) / window.seconds
    ends = rows.done.where(~rows.censored, np.inf)
    out = [int(((rows.sent <= edge) & (ends > edge)).sum()) for edge in (window.start, window.end)]
    lost = len(rows) - len(right(rows[~rows.censored]))
    yield near(f"{at}: in flight, more every second", arrive - plateau, (out[1] - out[0]) / window.seconds, GROWTH, number)
    yield near(f"{at}: answered per second", plateau, window.rate, PLATEAU, number)
    yield Goal(f"{at}: dropped", 0, lost, 0, 0, "none", number)


def standing(moments: Array, frozen: Stops) -> Array:
    """Moments on a clock that stands still while the server does."""
    return moments - sum(np.clip(moments - begin, 0.0, end - begin) for begin, end in frozen)


def resumed(moments: Array, frozen: Stops) -> Array:
    """The way back: what comes after a stop comes later by its length."""
    for begin, end in sorted(frozen, key=lambda one: one[0]):
        moments = np.where(moments > begin, moments + (end - begin), moments)
    return moments
