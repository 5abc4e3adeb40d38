"""From evidence to a `Study`: every number of a run, worked out once."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from reports.metrics.breakdown import split_of
from reports.metrics.burst import Burst
from reports.metrics.controls import bystanders
from reports.metrics.executor import made_smaller
from reports.metrics.fairness import answers_of, starved, turns_of
from reports.metrics.model import Level, Missing, Route, Study, Tally
from reports.metrics.open_loop import offered_of
from reports.metrics.repeats import restarts_of
from reports.metrics.run_data import Evidence, slope
from reports.metrics.run_health import health
from reports.metrics.steady_state import Window, little, right, steady
from reports.stats.intervals import Interval, Restarts, cost_interval, rate_interval
from reports.stats.quantiles import QUANTILES, Array, Estimate, Latency, estimate, n_eff, quantile
from reports.stats.queueing import closed_loop_mean
from reports.stats.stationarity import Steadiness
from results.schema import Cell, Scenario, Variant, is_experiment, written
from results.thresholds import CLOSED_EARLY
from results.unloaded import Unloaded, quartiles, unloaded


def measure(evidence: Evidence) -> Study:
    """Work out every number of a run."""
    variants = list(dict.fromkeys(cell.variant for cell in evidence.cells if cell.users or cell.arrivals))
    measured = [cell for cell in evidence.cells if is_measured(evidence, cell)]
    asides = [(cell, cell.aside) for cell in measured if cell.neighbours and cell.aside != cell.name]
    routes = [route_of(evidence, [cell for cell in measured if cell.variant == one], one) for one in variants]
    return Study(
        run=evidence.run,
        routes=tuple(one for one in routes if not is_experiment(one.variant)),
        experiments=tuple(one for one in routes if is_experiment(one.variant)),
        tallies=tuple(tally(evidence, cell, name) for cell, name in [*((cell, cell.name) for cell in measured), *asides]),
        missing=tuple(missing_of(evidence, cell) for cell in evidence.cells if cell not in measured),
        floor=next((floor_of(evidence, cell) for cell in measured if cell.scenario is Scenario.FLOOR), None),
    )


def is_measured(evidence: Evidence, cell: Cell) -> bool:
    """Whether a cell was played to its end."""
    if cell.scenario is Scenario.BURST:
        return "end" in evidence.marks(cell.name) and len(evidence.rows(cell.name)) == cell.users
    return steady(evidence, cell, cell.name) is not None


def missing_of(evidence: Evidence, cell: Cell) -> Missing:
    """How far a cell came that was not measured to its end."""
    rows, marks = evidence.rows(cell.name), evidence.marks(cell.name)
    sent = rows[rows.sent.notna()]
    begun = min([*marks.get("go", sent.sent).dropna(), *sent.sent], default=0.0)
    seconds = max([*sent.sent, *sent.done], default=begun) - begun
    return Missing(cell.name, len(rows), len(sent), int((~sent.censored).sum()), float(seconds))


def tally(evidence: Evidence, cell: Cell, name: str) -> Tally:
    """Count what became of a cell's requests (or of the neighbours' beside it, by `name`)."""
    window = None if cell.scenario is Scenario.BURST else steady(evidence, cell, name)
    rows = evidence.rows(name)
    sent = rows.sent.notna()
    cut = int((rows.error == CLOSED_EARLY).sum())  # on purpose, so nobody planned them any more
    return Tally(
        cell=name,
        planned=max(len(rows), scheduled(evidence, name)) - cut,
        silent=max(0, scheduled(evidence, name) - len(rows)),
        sent=int(sent.sum()),
        unfinished=int(rows.censored.sum()),
        errors=int((sent & rows.error.notna()).sum()),
        little=little(window) if window else None,
        has_window=window is not None,
        is_aside=name != cell.name,
        health=health(evidence, cell, name),
    )


def scheduled(evidence: Evidence, name: str) -> int:
    """How many requests the schedules of a cell have, as their dispatchers counted them; 0 where there are none."""
    lines = evidence.told(name)
    return int(lines.in_flight[lines["mark"] == "planned"].sum())


def floor_of(evidence: Evidence, cell: Cell) -> float | None:
    """p99 of the route that does nothing, in seconds; of too few requests the longest, which is more."""
    window = steady(evidence, cell, cell.name)
    latencies = answered(window) if window else np.array([])
    return quantile(latencies, 0.99) if len(latencies) else None


def route_of(evidence: Evidence, cells: list[Cell], variant: str) -> Route:
    """One variant's levels, burst and neighbours."""
    crowds = sorted(
        (cell for cell in cells if cell.scenario is Scenario.CROWD and not cell.watched), key=lambda cell: (cell.users, cell.repeat)
    )
    alone = {c.repeat: answered(window) for c in crowds if c.users == 1 and (window := steady(evidence, c, c.name))}
    lone = unloaded_of(evidence, crowds, list(alone.values()))
    service = lone.mean if lone else None
    runtime = evidence.run.get("targets", {}).get(variant, {})
    places, mechanism = limit_of(variant, runtime)
    bursts = [burst_of(evidence, cell) for cell in cells if cell.scenario is Scenario.BURST]
    asked = [cell for cell in crowds if cell.neighbours] or crowds
    route = Route(
        route=next((cell.route for cell in evidence.cells if cell.variant == variant and (cell.users or cell.arrivals)), variant),
        variant=variant,
        service=service,
        services=mean_between(np.concatenate(list(alone.values()))) if alone else None,
        places=places,
        mechanism=mechanism,
        executor=runtime.get("executor_size"),
        pinned=made_smaller(evidence.run, runtime),
        levels=tuple(level for cell in crowds if (level := level_of(evidence, cell, service, places))),
        offered=(),
        bursts=tuple(bursts),
        bystanders={one.kind: one for one in bystanders(evidence, asked[-1], holds_loop=places == 1)} if asked else {},
        restarts={},
        unloaded=lone,
    )
    if not evidence.run.get("host"):  # else nobody restarted it
        route = replace(route, restarts=restarts(route, {again: float(one.mean()) for again, one in alone.items() if len(one)}))
    steadies = [cell for cell in cells if cell.scenario is Scenario.STEADY]
    return replace(route, offered=tuple(offered_of(evidence, cell, route.capacity, at_once(route), service) for cell in steadies))


def unloaded_of(evidence: Evidence, crowds: list[Cell], alone: list[Array]) -> Unloaded | None:
    """The mean latency of a lone user, with what the smallest of the crowds beside it knows of slow requests."""
    lone = np.concatenate(alone) if alone else np.array([])
    few = next((window for cell in crowds if cell.users > 1 and (window := steady(evidence, cell, cell.name))), None)
    return unloaded(lone.tolist(), answered(few).tolist() if few else ())


def mean_between(latencies: Array) -> Interval | None:
    """95 % interval of a lone user's mean; where latencies drift, so that few of them are independent, a wide one."""
    found = unloaded(latencies.tolist(), size=n_eff(latencies)) if len(latencies) > 1 else None
    return (found.low, found.high) if found else None


def restarts(route: Route, services: dict[int, float]) -> dict[str, Restarts]:
    """What each restart's largest crowd told; a bound is no number. `services`: unloaded seconds by repeat."""
    tops = [level for level in route.levels if level.users == route.levels[-1].users]
    if len({level.repeat for level in tops}) < len(tops):  # turns of one server
        return {}
    found: dict[str, list[float | None]] = {
        "rps": [level.rate for level in tops],
        "served_at_once": [level.rate * (services.get(level.repeat) or 0.0) for level in tops],
        "mean_s": [level.mean.exact for level in tops],
    }
    for name in ("p50", "p99"):
        found[f"{name}_s"] = [one.exact if (one := level.quantiles[name]) else None for level in tops]
    return restarts_of(found)


def at_once(route: Route) -> int | None:
    """Places that a saturated crowd showed."""
    return max(1, round(route.served)) if route.served and route.capacity else None


def answered(window: Window) -> Array:
    """Latencies of the right answers to requests planned inside the window."""
    rows = right(window.rows)
    return rows.latency[~rows.censored].to_numpy()


def limit_of(variant: str, runtime: dict[str, Any]) -> tuple[float | None, str | None]:
    """What should limit a variant, and to how many: the pools' sizes are the app's own, as its probe saw them."""
    if written(variant) == Variant.BROKEN_ASYNC:
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
    rows = right(window.rows)
    latency = Latency.of(rows.latency.to_numpy(), ~rows.censored.to_numpy())
    if latency is None:
        return None
    answers = answered(window)
    whole = right(window.everything)  # whoever starves was planned before the window, and must not be lost from the longest
    waits = whole.latency
    hungry = starved(answers_of(rows[~rows.censored], cell.users))
    known = places is not None or written(cell.variant) == Variant.ASYNC  # else nobody told us what limits it
    probe = evidence.probe[evidence.probe.variant == cell.server]
    probe = probe[(probe.t > window.start) & (probe.t <= window.end)]
    return Level(
        cell=cell.name,
        users=cell.users,
        think=cell.think,
        lull=lull(window),
        repeat=cell.repeat,
        seconds=window.seconds,
        count=latency.count,
        rate=window.rate,
        completed=window.completions,
        unfinished=int(window.everything.censored.sum()),
        errors=int((window.rows.sent.notna() & window.rows.error.notna()).sum()),
        mean=latency.mean,
        quantiles=latency.quantiles,
        longest=Estimate(float(waits.max()), float(waits.max()) if not whole.censored.any() else np.inf),
        starved=hungry,
        little=little(window),
        predicted_mean=closed_loop_mean(cell.users, service, places or np.inf, cell.think) if service and known else None,
        cpu=slope(probe.t, probe.cpu),
        threads_waiting=mean(probe.threads_waiting),
        executor_queue=mean(probe.executor_queue),
        steadiness=Steadiness.of(smooth(rows, cell.users))
        if rows.censored.sum() + cell.users < len(rows)
        and not hungry
        and not cell.on  # turns are compared in pairs: a drift meets both
        else None,
        inside=inside(rows),
        turns=turns_of(whole, cell.users, service, cell.warm_up + cell.window)
        if service and cell.users > 1 and is_experiment(cell.variant)
        else None,
        split=split_of(rows),
        cost=cost_interval(probe.t.to_numpy(), probe.cpu.to_numpy(), window.answers),
        rates=rate_interval(window.answers, window.rate * (service or 0.0)),
        quartiles=quartiles(np.sort(answers).tolist()),
        spread=float(answers.std() / answers.mean()) if answers.any() else 0.0,
    )


def lull(window: Window) -> float:
    """The longest time inside a window without an answer, in seconds; 0 where no answer came after its beginning."""
    rows = right(window.everything)
    if not (~rows.censored & (rows.done > window.start)).any():
        return 0.0
    return float(np.diff([window.start, *np.sort(window.answers), window.end]).max())


def smooth(rows: pd.DataFrame, users: int) -> Array:
    """Latencies of a fair crowd, averaged over as many as there are users: a pool that they overfill serves them by turns."""
    found: Array = np.convolve(rows.latency[~rows.censored].to_numpy(), np.full(users, 1 / users), "valid")
    return found


def mean(looks: pd.Series) -> float | None:
    """Mean of what the probe saw; None when it saw nothing."""
    seen = looks.dropna()
    return float(seen.mean()) if len(seen) else None


def inside(rows: pd.DataFrame) -> dict[str, float]:
    """What a timer inside the app saw, as quantiles that the sample supports."""
    spent = (rows.app_end - rows.app_start).dropna().to_numpy()
    found = {name: estimate(spent, np.isfinite(spent), q) for name, q in QUANTILES.items()}
    return {name: one.low for name, one in found.items() if one}


def burst_of(evidence: Evidence, cell: Cell) -> Burst:
    """One burst, ordered by the handler's begin where it is known, else by the answer."""
    rows = evidence.rows(cell.name)
    go = float(evidence.marks(cell.name)["go"].min())
    asked = right(rows)
    latency = Latency.of(asked.latency.to_numpy(), ~asked.censored.to_numpy())
    order = rows.handler_start if rows.handler_start.notna().all() else rows.done
    rows = rows.loc[order.sort_values().index].assign(done=rows.done.where(~rows.censored))  # giving up is no answer
    columns = ((rows[name] - go).tolist() for name in ("sent", "handler_start", "handler_end", "done"))
    sent, begin, end, done = columns
    return Burst(cell.name, len(rows), sent, begin, end, done, (rows.app_end - rows.app_start).tolist(), latency)
