"""From evidence to a `Study`: every number of a run, worked out once."""

from typing import Any

import numpy as np
import pandas as pd

from reports.capacity import closed_loop_mean, service_time
from reports.load import Evidence
from reports.percentiles import Array, Estimate, estimate
from reports.study import QUANTILES, Burst, Bystander, Level, Route, Study, Tally
from reports.windows import Window, little, steady
from results.schema import Cell, Scenario, Variant

NEIGHBOUR_QUANTILE = 0.90


def measure(evidence: Evidence) -> Study:
    """Work out every number of a run."""
    variants = list(dict.fromkeys(cell.variant for cell in evidence.cells if cell.users))
    measured = [cell for cell in evidence.cells if is_measured(evidence, cell)]
    asides = [(cell, cell.aside) for cell in measured if cell.neighbours and cell.aside != cell.name]
    return Study(
        run=evidence.run,
        routes=tuple(route_of(evidence, [cell for cell in measured if cell.variant == one], one) for one in variants),
        tallies=tuple(tally(evidence, cell, name) for cell, name in [*((cell, cell.name) for cell in measured), *asides]),
        missing=tuple(cell.name for cell in evidence.cells if cell not in measured),
    )


def is_measured(evidence: Evidence, cell: Cell) -> bool:
    """Whether a cell was played to its end."""
    if cell.scenario is Scenario.BURST:
        return "end" in evidence.marks(cell.name).index and len(evidence.rows(cell.name)) == cell.users
    return steady(evidence, cell, cell.name) is not None


def tally(evidence: Evidence, cell: Cell, name: str) -> Tally:
    """Count what became of a cell's requests (or of the neighbours' beside it, by `name`)."""
    window = None if cell.scenario is Scenario.BURST else steady(evidence, cell, name)
    rows = evidence.rows(name)
    sent = rows.sent.notna()
    return Tally(
        cell=name,
        planned=len(rows),
        sent=int(sent.sum()),
        unfinished=int(rows.censored.sum()),
        errors=int((sent & rows.error.notna()).sum()),
        little=little(window) if window else None,
        has_window=window is not None,
    )


def route_of(evidence: Evidence, cells: list[Cell], variant: str) -> Route:
    """One variant's levels, burst and neighbours."""
    crowds = sorted((cell for cell in cells if cell.scenario is Scenario.CROWD), key=lambda cell: cell.users)
    alone = [steady(evidence, cell, cell.name) for cell in crowds if cell.users == 1]
    service = service_time(answered(alone[0])) if alone and alone[0] else None
    runtime = evidence.run.get("targets", {}).get(variant, {})
    places, mechanism = limit_of(variant, runtime)
    bursts = [burst_of(evidence, cell) for cell in cells if cell.scenario is Scenario.BURST]
    return Route(
        route=next((cell.route for cell in evidence.cells if cell.variant == variant and cell.users), variant),
        variant=variant,
        service=service,
        places=places,
        mechanism=mechanism,
        executor=runtime.get("executor_size"),
        levels=tuple(level for cell in crowds if (level := level_of(evidence, cell, service, places))),
        burst=bursts[0] if bursts else None,
        bystanders=bystanders(evidence, crowds[-1]) if crowds and crowds[-1].neighbours else {},
    )


def answered(window: Window) -> Array:
    """Latencies of the right answers to requests planned inside the window."""
    rows = window.rows
    return rows.latency[rows.error.isna() & ~rows.censored & rows.sent.notna()].to_numpy()


def limit_of(variant: str, runtime: dict[str, Any]) -> tuple[float | None, str | None]:
    """What should limit a variant, and to how many: the pools' sizes are the app's own, as its probe saw them."""
    if variant == Variant.BROKEN_ASYNC:
        return 1, "event loop"
    if variant == Variant.SYNC:
        return runtime.get("thread_tokens"), "thread pool"
    if variant == Variant.TO_THREAD:
        return runtime.get("executor_size"), "executor"
    return None, None


def level_of(evidence: Evidence, cell: Cell, service: float | None, places: float | None) -> Level | None:
    """One crowd's numbers; it was measured, so its window is there. None when every single answer was wrong."""
    window = steady(evidence, cell, cell.name)
    assert window is not None  # noqa: S101 - `is_measured` looked
    rows = window.rows[window.rows.sent.notna() & window.rows.error.isna()]
    if rows.empty:
        return None
    latencies, finished = rows.latency.to_numpy(), ~rows.censored.to_numpy()
    probe = evidence.probe[evidence.probe.variant == cell.variant]
    probe = probe[(probe.t > window.start) & (probe.t <= window.end)]
    return Level(
        cell=cell.name,
        users=cell.users,
        seconds=window.seconds,
        count=len(rows),
        rate=window.rate,
        completed=window.completions,
        unfinished=int(window.everything.censored.sum()),
        errors=int((window.rows.sent.notna() & window.rows.error.notna()).sum()),
        mean=bounded(latencies.mean(), complete=bool(finished.all())),
        quantiles={name: estimate(latencies, finished, q) for name, q in QUANTILES.items()},
        longest=bounded(latencies.max(), complete=bool(finished.all())),
        starved=starved(rows[finished], cell.users),
        little=little(window),
        predicted_mean=closed_loop_mean(cell.users, service, places or np.inf, cell.think) if service else None,
        cpu=slope(probe.t, probe.cpu),
        threads_waiting=mean(probe.threads_waiting),
        executor_queue=mean(probe.executor_queue),
        inside=inside(rows),
    )


def bounded(value: float, *, complete: bool) -> Estimate:
    """A value that is exact when every request was answered, and a lower bound when not."""
    return Estimate(float(value), float(value) if complete else np.inf)


def starved(rows: pd.DataFrame, users: int) -> int:
    """Users with fewer than half as many answers as the median user; with few rounds per window this reads 0 or noise."""
    answers = rows.groupby("connection").size().reindex(range(users), fill_value=0)
    return int((answers < answers.median() / 2).sum())


def mean(looks: pd.Series) -> float | None:
    """Mean of what the probe saw; None when it saw nothing."""
    seen = looks.dropna()
    return float(seen.mean()) if len(seen) else None


def slope(t: pd.Series, total: pd.Series) -> float | None:
    """Growth per second of a running total, from first to last look."""
    if len(t) < 2:  # noqa: PLR2004 - a slope takes two points
        return None
    return float((total.iloc[-1] - total.iloc[0]) / (t.iloc[-1] - t.iloc[0]))


def inside(rows: pd.DataFrame) -> dict[str, float]:
    """What a timer inside the app saw, as quantiles that the sample supports."""
    spent = (rows.app_end - rows.app_start).dropna().to_numpy()
    found = {name: estimate(spent, np.isfinite(spent), q) for name, q in QUANTILES.items()}
    return {name: one.low for name, one in found.items() if one}


def burst_of(evidence: Evidence, cell: Cell) -> Burst:
    """One burst, ordered by the handler's begin where it is known, else by the answer."""
    rows = evidence.rows(cell.name)
    go = float(evidence.marks(cell.name).t["go"])
    order = rows.handler_start if rows.handler_start.notna().all() else rows.done
    rows = rows.loc[order.sort_values().index].assign(done=rows.done.where(~rows.censored))  # giving up is no answer
    columns = ((rows[name] - go).tolist() for name in ("sent", "handler_start", "handler_end", "done"))
    return Burst(cell.name, len(rows), *columns)


def bystanders(evidence: Evidence, top: Cell) -> dict[str, Bystander]:
    """Both neighbours beside the top level, against the time they were alone."""
    alone = next((cell for cell in evidence.cells if cell.scenario is Scenario.NEIGHBOURS), None)
    found = {}
    for ping in top.neighbours:
        loaded, loaded_pings = pings(evidence, top, ping.route)
        idle, idle_pings = pings(evidence, alone, ping.route) if alone else (None, 0)
        found[ping.kind] = Bystander(ping.kind, idle, loaded, idle_pings, loaded_pings)
    return found


def pings(evidence: Evidence, cell: Cell, route: str) -> tuple[Estimate | None, int]:
    """p90 of one neighbour in a cell's window, and how many pings it comes from."""
    window = steady(evidence, cell, cell.aside)
    if window is None:
        return None, 0
    rows = window.rows[(window.rows.route == route) & window.rows.sent.notna() & window.rows.error.isna()]
    return estimate(rows.latency.to_numpy(), ~rows.censored.to_numpy(), NEIGHBOUR_QUANTILE), len(rows)
