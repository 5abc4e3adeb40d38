"""What is known of one examined route: its levels, its neighbours at each of them, and the app's inside meanwhile."""

from typing import Any

import numpy as np
import pandas as pd

from reports.metrics.controls import p90, pings
from reports.metrics.executor import made_smaller
from reports.metrics.model import Bystander, Level, Route, Study
from reports.metrics.run_data import Evidence, slope
from reports.metrics.steady_state import Window, steady
from reports.stats.quantiles import Array, Estimate, quantile
from reports.verdicts.culprit import Held, held, read_holds, roots_of
from reports.verdicts.model import Exam, Inside, Look
from results.schema import Cell, Scenario
from results.thresholds import FEW

KIN_EVERY = 1.2  # seconds: the CPU of what an app has started is read once a second
FEW_PINGS = 8  # below which nothing is said of a neighbour


def exam_of(evidence: Evidence, study: Study, route: Route, entry: dict[str, Any]) -> Exam:
    """Gather one route's facts."""
    cells = [cell for cell in evidence.cells if cell.variant == route.variant]
    own = [level for level in route.levels if level.repeat != 2]  # noqa: PLR2004 - the second is a gate's
    levels = {level.users: level for level in reversed(own)}  # the third is the lone user's, should it have no first
    crowds = [cell for cell in cells if cell.scenario is Scenario.CROWD and cell.name in {one.cell for one in levels.values()}]
    half = next((cell for cell in cells if cell.scenario is Scenario.STEADY and cell.neighbours), None)
    second = next((cell for cell in cells if cell.watched), None)
    window = steady(evidence, second, second.name) if second else None
    run = evidence.run
    kept = held_in(evidence, second.on, (window.start, window.end)) if second and window else None
    others = {one.cell: one.health.others for one in study.tallies}
    looks = {cell.users: look_of(evidence, cell, levels[cell.users], others[cell.name] or 0.0) for cell in crowds}
    burnt = inside(evidence, second, window).cpu if second and window else None
    late = kept.seconds + kept.nobody if kept else 0.0
    runtime = run.get("targets", {}).get(entry.get("act"), {})
    return Exam(
        entry=entry,
        route=route,
        faults={cell.users: found for cell in cells if cell.scenario is Scenario.CROWD and (found := wrong(evidence, cell))},
        looks=looks,
        half=beside(evidence, half) if half else None,
        half_rate=half.arrivals.profile[0][1] if half and half.arrivals else None,
        held=kept,
        restless=frozenset(one.place for one in rest.blames) if (rest := at_rest(evidence)[0]) else frozenset(),
        computing=computing_share(burnt, looks[FEW].inside.cpu if FEW in looks else None, window.seconds, late) if window else None,
        requests=window.completions if window else 0,
        watched=window.seconds if window else 0.0,
        workers=run["workers"],
        tokens=runtime.get("thread_tokens"),
        executor=runtime.get("executor_size"),
        pinned=made_smaller(run, runtime),
        is_guarded=not run.get("host"),
    )


def computing_share(watched: float | None, unwatched: float | None, seconds: float, late: float) -> float | None:
    """CPU seconds per second of a late loop, from the shares of a core that the app used with the watchdog and without it.

    The smaller of both counts, for the watchdog takes CPU, too. None where neither it nor lateness is known.
    """
    known = [one for one in (watched, unwatched) if one is not None]
    return min(known) * seconds / late if watched is not None and late else None


def at_rest(evidence: Evidence) -> tuple[Held | None, float]:
    """Who held the loop while nobody asked, and in how many seconds; None where no watchdog looked."""
    if told := evidence.run.get("rest"):
        return held_in(evidence, "idle", told), told[1] - told[0]
    rest = next((cell for cell in evidence.cells if cell.scenario is Scenario.NEIGHBOURS), None)
    window = steady(evidence, rest, rest.name) if rest else None
    if not rest or not window:
        return None, 0.0
    return held_in(evidence, rest.server, (window.start, window.end)), window.seconds


def held_in(evidence: Evidence, act: str, window: tuple[float, float]) -> Held:
    """Who held the loop of a watched process within a window."""
    roots = roots_of(evidence.run["patient"])
    return held(read_holds(evidence.path / "holds", act), window, evidence.run["origin"], roots)


def wrong(evidence: Evidence, cell: Cell) -> tuple[int, int, str] | None:
    """The wrong answers of a whole cell, warm-up included: who fails at once has no window."""
    rows = evidence.rows(cell.name)
    rows = rows[rows.sent.notna()]
    faults = rows.error.dropna()
    return (len(faults), len(rows), str(faults.mode().iloc[0])) if len(faults) else None


def look_of(evidence: Evidence, cell: Cell, level: Level, others: float) -> Look:
    """One level."""
    window = steady(evidence, cell, cell.name)
    assert window is not None  # noqa: S101 - there is a level, so there is a window
    return Look(
        level=level,
        think=cell.think,
        beside=beside(evidence, cell),
        inside=inside(evidence, cell, window),
        others=others,
    )


def beside(evidence: Evidence, cell: Cell) -> dict[str, Bystander]:
    """Both neighbours of a cell, against the same two while nobody asked."""
    rest = next((one for one in evidence.cells if one.scenario is Scenario.NEIGHBOURS), None)
    found = {}
    for ping in cell.neighbours:
        loaded, alone = pings(evidence, cell, ping.route), pings(evidence, rest, ping.route) if rest else None
        counts = (0 if alone is None else len(alone), 0 if loaded is None else len(loaded))
        found[ping.kind] = Bystander(ping.kind, p90(alone) or roughly(alone), p90(loaded) or roughly(loaded), *counts, None)
    return found


def roughly(rows: pd.DataFrame | None) -> Estimate | None:
    """p90 of fewer pings than an estimate takes; still many of them when a neighbour is asked seldom, because it costs the app."""
    if rows is None or len(rows) < FEW_PINGS:
        return None
    found = quantile(rows.latency.to_numpy(), 0.9)
    return Estimate(found, found)


def inside(evidence: Evidence, cell: Cell, window: Window) -> Inside:
    """What the probes saw during a window."""
    whole = evidence.probe[evidence.probe.variant == cell.server]
    probe = whole[(whole.t > window.start) & (whole.t <= window.end)]
    around = whole[(whole.t > window.start - KIN_EVERY) & (whole.t <= window.end + KIN_EVERY)]
    looks = probe if summed(probe, "cpu") is not None else around  # a held loop lets nobody look
    lags = probe.loop_lag.dropna().to_numpy()
    return Inside(
        cpu=summed(looks, "cpu"),
        loop_cpu=summed(looks, "loop_cpu"),
        kin_cpu=summed(around, "kin_cpu"),
        lag=float(np.quantile(lags, 0.99)) if len(lags) else None,
        longest_lag=float(lags.max()) if len(lags) else None,
        threads=average(probe, "threads_busy"),
        threads_waiting=average(probe, "threads_waiting"),
        executor_waiting=average(probe, "executor_queue"),
        pool_threads=most(probe.pool_threads.to_numpy()),
        pool_waiting=average(probe, "pool_waiting"),
    )


def summed(probe: pd.DataFrame, column: str) -> float | None:
    """Growth per second of a running total, over all processes; None when nobody saw it."""
    slopes = [slope(rows.t, rows[column]) for _, rows in probe.dropna(subset=column).groupby("pid")]
    found = [one for one in slopes if one is not None]
    return sum(found) if found else None


def average(probe: pd.DataFrame, column: str) -> float | None:
    """Mean of what was seen, over all processes."""
    found = [rows[column].mean() for _, rows in probe.dropna(subset=column).groupby("pid")]
    return float(sum(found)) if found else None


def most(seen: Array) -> float | None:
    """The largest number that was seen."""
    known = seen[np.isfinite(seen)]
    return float(known.max()) if len(known) else None
