"""How the generator, the machine and the rows themselves fared in one cell: numbers only, `checks/` judges them.

Every number is of one cell, so that a stall during the warm-up of another one takes nothing away from it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.metrics.run_data import Evidence
from reports.stats.quantiles import Array, quantile
from results.schema import Cell, Pool, Scenario
from results.thresholds import LEAST_WINDOW

TICK = 0.010  # seconds between two ticks of the generator, as `scenarios/generator/engine.py` sets them
STEP = 0.001  # seconds: gevent's timers wait in whole milliseconds, so that much is no stall
ROUNDED = 1e-6  # seconds: what writing a moment down may round off
MOMENTS = ("intended", "sent", "app_start", "handler_start", "handler_end", "app_end", "done")
STAMPED_BEFORE_SENDING = 3  # the format since which `app_end` can be no later than the client's last byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Seconds and shares; None where this run cannot tell."""

    lasted: float  # seconds of the window, or of the whole burst; what is counted in ticks is not known of a short one
    stall: float | None  # p99 of how late the generator's own ticker fired
    longest_stall: float | None
    busy: float | None  # share of its core that the busiest generator process used, on average
    busiest: float | None  # and in its worst second
    others: float | None  # share of all cores that neither the generator nor the target used
    stolen: float | None  # share of the machine's CPU time that its host took away
    swapped: float | None  # pages
    throttled: float | None  # share of the periods in which the container's CPU limit ran out
    lateness: float | None  # of sent - intended, the quantile that is reported of this cell
    unpunctual: float | None  # how many of the requests planned by the close had not left by then, as a share
    thinking: float | None  # closed model: what a turn took beyond latency and think time, as a share of the latency
    broken: int | None  # moments of a request that stand in the wrong order
    stamped: int  # requests of which the server's moments are known
    reconnects: float | None  # connections opened while measuring, as a share of the requests
    outside: tuple[float, float] | None  # median and p99 of what a quick request spent outside the server


def health(evidence: Evidence, cell: Cell, name: str) -> Health:
    """All of one cell, or of the neighbours beside it by `name`."""
    lines = evidence.told(cell.name)
    marks = lines[lines.kind == "mark"]
    ticks = lines[lines.kind == "tick"]
    begin, end = span(marks, cell)
    ticks = ticks[(ticks.t >= begin) & (ticks.t <= end)]
    late = missed(ticks.lateness.to_numpy())
    busy = [one for _, rows in ticks.groupby("worker") if (one := cpu(rows, "cpu"))]
    rows = evidence.rows(name)
    sent = rows[rows.sent.notna()]
    is_ours, is_short = evidence.run.get("host") is None, end - begin < LEAST_WINDOW
    stolen = between(marks, "stolen", begin, end, (end - begin) * cores(evidence))
    return Health(
        lasted=end - begin,
        stall=quantile(late, 0.99) if len(late) and not is_short else None,
        longest_stall=float(late.max()) if len(late) else None,
        busy=None if is_short else max((mean for mean, _ in busy), default=None),
        busiest=None if is_short else max((worst for _, worst in busy), default=None),
        others=None if is_short else others(evidence, marks, busy, begin, end),
        stolen=None if is_short else stolen,
        swapped=between(marks, "swapped", begin, end, 1.0),
        throttled=throttled(marks, begin, end),
        lateness=lateness(cell, name, sent),
        unpunctual=unpunctual(cell, name, rows, end),
        thinking=thinking(cell, sent) if name == cell.name else None,
        broken=disorder(sent, evidence.run["format"]) if is_ours or sent.app_start.notna().any() else None,
        stamped=int(sent.app_start.notna().sum()),
        reconnects=reconnects(cell, name, sent),
        outside=outside(sent) if cell.scenario in {Scenario.NEIGHBOURS, Scenario.FLOOR} else None,
    )


def span(marks: pd.DataFrame, cell: Cell) -> tuple[float, float]:
    """The part of a cell that its results are made of: the window, or a whole burst."""
    first, last = ("go", "end") if cell.scenario is Scenario.BURST else ("open", "close")
    return float(marks.t[marks["mark"] == first].max()), float(marks.t[marks["mark"] == last].min())


def missed(lateness: Array) -> Array:
    """How late a ticker was at each of its moments, those it slept through included: one that is 50 ms late missed four."""
    late = np.maximum(lateness[np.isfinite(lateness)] - STEP, 0.0)
    found = [late]
    while (late > TICK).any():
        late = late[late > TICK] - TICK
        found.append(late)
    return np.concatenate(found)


def cpu(looks: pd.DataFrame, name: str) -> tuple[float, float] | None:
    """Mean share of a core that one process used by a running total, and that of its worst second."""
    known = looks[name].notna().to_numpy()
    t, used = looks.t.to_numpy()[known], looks[name].to_numpy()[known]
    if len(t) < 2:  # noqa: PLR2004 - a rate takes two points
        return None
    mean = float((used[-1] - used[0]) / (t[-1] - t[0]))
    later = np.searchsorted(t, t + 1.0)
    whole = later < len(t)
    seconds = (used[later[whole]] - used[whole]) / (t[later[whole]] - t[whole])
    return mean, float(seconds.max()) if len(seconds) else mean


def between(marks: pd.DataFrame, name: str, begin: float, end: float, scale: float) -> float | None:
    """How far one of the machine's running totals moved from the begin of a cell to its end, divided by `scale`."""
    first, last = marks[name][marks.t == begin], marks[name][marks.t == end]
    if first.empty or last.empty or first.isna().any() or last.isna().any() or scale <= 0:
        return None
    return max(0.0, float(last.iloc[0] - first.iloc[0])) / scale


def throttled(marks: pd.DataFrame, begin: float, end: float) -> float | None:
    """Share of the periods in which the container's CPU limit ran out; 0 where there is none."""
    periods, cut = (between(marks, name, begin, end, 1.0) for name in ("periods", "throttled"))
    return None if periods is None or cut is None else cut / periods if periods else 0.0


def cores(evidence: Evidence) -> int:
    """Of the machine."""
    return int(evidence.run["machine"].get("cpus") or 1)


def others(evidence: Evidence, marks: pd.DataFrame, busy: list[tuple[float, float]], begin: float, end: float) -> float | None:
    """CPU time of all cores less that of generator and target, as a share; None where the target's own is not known."""
    everybody = between(marks, "used", begin, end, end - begin)
    looks = evidence.probe[(evidence.probe.t >= begin) & (evidence.probe.t <= end)]
    if everybody is None or looks.empty:
        return None
    each = [rows for _, rows in looks.groupby(["variant", "pid"])]
    kin = [cpu(rows, "kin_cpu") for rows in each]  # the workers of a pool, a database: the target's as well
    ours = [one[0] for one in [*busy, *(cpu(rows, "cpu") for rows in each), *kin] if one]
    return max(0.0, everybody - sum(ours)) / cores(evidence)


def lateness(cell: Cell, name: str, sent: pd.DataFrame) -> float | None:
    """Open model: how late requests left, at the quantile that is reported of them: p99, of neighbours p90."""
    if name == cell.name and not cell.arrivals and not cell.neighbours:
        return None
    late = (sent.sent - sent.intended).to_numpy()
    return quantile(late, 0.99 if cell.arrivals else 0.90) if len(late) else None


def unpunctual(cell: Cell, name: str, rows: pd.DataFrame, close: float) -> float | None:
    """Open model: how far the realised rate stayed behind that of the schedule, up to the close."""
    if name == cell.name and not cell.arrivals:
        return None
    planned = int((rows.intended <= close).sum())
    return 1 - int((rows.sent <= close).sum()) / planned if planned else None


def thinking(cell: Cell, sent: pd.DataFrame) -> float | None:
    """Closed model: the time from an answer to the same user's next request, beyond the think time, over the mean latency."""
    if cell.scenario is not Scenario.CROWD:
        return None
    turns = sent.sort_values("intended").groupby(["worker", "connection"])
    gaps = (turns.intended.shift(-1) - sent.done)[sent.error.isna() & ~sent.censored].dropna() - cell.think
    usual = sent.latency.mean()
    return float(gaps.mean() / usual) if len(gaps) and usual > 0 else None


def disorder(sent: pd.DataFrame, number: int) -> int:
    """How many requests have moments that cannot have followed one another, on one host with one clock."""
    names = [one for one in MOMENTS if one != "app_end" or number >= STAMPED_BEFORE_SENDING]
    known = sent[names].to_numpy(copy=True)
    known[sent.censored.to_numpy(), names.index("done")] = np.nan  # giving up is no answer
    latest = np.fmax.accumulate(known, axis=1)
    return int((known < latest - ROUNDED).any(axis=1).sum())


def reconnects(cell: Cell, name: str, sent: pd.DataFrame) -> float | None:
    """Connections that were opened while measuring, as a share of the requests; None where they should be, or nobody knows."""
    if cell.scenario is Scenario.BURST or cell.cold or (cell.arrivals and cell.arrivals.pool is not Pool.WARM) or sent.empty:
        return None
    late = 0
    if cell.arrivals and name == cell.name:
        late = sum(len(set(one)) for _, one in sent.connection[sent.connection >= cell.arrivals.warm].groupby(sent.worker))
    elif sent.peer.isna().all():
        return None
    peers = sent.dropna(subset="peer").groupby(["worker", "connection", "route"]).peer.nunique()
    return float(late + (peers - 1).sum()) / len(sent)


def outside(sent: pd.DataFrame) -> tuple[float, float] | None:
    """Median and p99 of what innocent `async` requests spent on the way: latency without the time inside the server."""
    quick = sent[sent.route.str.endswith("/async")]
    spent = ((quick.done - quick.sent) - (quick.app_end - quick.app_start)).dropna().to_numpy()
    return (quantile(spent, 0.5), quantile(spent, 0.99)) if len(spent) else None
