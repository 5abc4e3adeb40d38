"""Makes the evidence on a route of what was recorded, during a run and of a sealed one alike.

Requests belong to a window by their planned time; rates alone count completions.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from results.judgement.culprit import LoopHolds, read_holds, source_roots, summarise_holds
from results.judgement.model import LevelEvidence, NeighbourEffect, RouteEvidence, ServerStats
from results.judgement.waits import WaitProfile, read_waits
from results.judgement.window import Window, measured_window
from results.records import Hold, ProbeRow
from results.run_info import RouteRecord, RunInfo, Runtime
from results.schema import Cell, Scenario
from results.thresholds import FEW_USERS
from results.unloaded import (
    UnloadedLatency,
    estimate_unloaded,
    latency_quartiles,
    relative_deviation,
)

_AROUND = 1.2  # seconds beyond a window in which a process was read, if it was not inside
_LOOK_INTERVAL = 0.1  # seconds between two looks of the agent's thread
MIN_PINGS = 8  # below which nothing is said of a neighbour
_GATE_REPEAT = 2  # the second of a level is a gate's
BURST_REPEAT = 9  # of the level whose users start at one moment


class RequestRow(NamedTuple):
    """One request that was sent, in seconds. `done` of an unanswered one: when its wait ended."""

    route: str
    intended: float
    done: float
    status: int | None
    error: str | None
    bytes: int | None
    app_start: float | None
    app_end: float | None
    censored: bool

    @property
    def latency(self) -> float:
        """Seconds from the planned moment on."""
        return self.done - self.intended


class Recording(Protocol):
    """What was recorded in a run, in seconds since its start."""

    path: Path  # of the run's folder
    info: RunInfo

    def marks(self, cell: Cell) -> Mapping[str, float]:
        """Return the moments of a cell by name."""

    def rows(self, cell: str) -> Sequence[RequestRow]:
        """Return the requests that were sent in a cell, or to its neighbours, by its name."""

    def processes(self, server: str) -> Sequence[ProbeRow]:
        """Return the samples of a server's processes."""

    def other_cpu(self, cell: Cell) -> float | None:
        """Return the share of all cores in its window that neither app nor generator used."""

    def requests(self, cell: Cell) -> Sequence[RequestRow]:
        """Return the cell's own requests that were sent."""
        return self.rows(cell.name)

    def pings(self, cell: Cell, kind: str) -> list[RequestRow]:
        """Return those of one of its neighbours."""
        routes = {ping.route for ping in cell.neighbours if ping.kind == kind}
        return [row for row in self.rows(cell.neighbour_cell_name) if row.route in routes]

    def holds(self, server: str) -> list[Hold]:
        """Return what the watchdog saw hold a server's loop."""
        return read_holds(self.path / "holds", server, self.info.origin)


def observe_route(
    recording: Recording, entry: RouteRecord, runtime: Runtime, pinned: str = ""
) -> RouteEvidence:
    """Return the evidence on a route, whose app says of itself what `runtime` has."""
    info = recording.info
    cells = [cell for cell in info.plan.cells if cell.variant == entry.route]
    crowds = [cell for cell in cells if cell.scenario is Scenario.CROWD and cell.is_level]
    own = [cell for cell in crowds if cell.repeat != _GATE_REPEAT]
    lone_rows = [
        row
        for cell in crowds
        if cell.users == 1
        for row in _planned_in(_find_window(recording, cell), recording.requests(cell))
        if not row.censored
    ]
    levels: dict[int, LevelEvidence] = {}
    repeats: list[LevelEvidence] = []
    burst = next((cell for cell in own if cell.repeat == BURST_REPEAT), None)
    for cell in own:
        level = _observe_level(recording, cell, lone_rows) if cell is not burst else None
        if level and cell.users not in levels:
            levels[cell.users] = level
        elif level:
            repeats.append(level)
    half = next(
        (cell for cell in cells if cell.scenario is Scenario.STEADY and cell.neighbours), None
    )
    idle_holds = idle_loop_holds(recording)[0]
    return RouteEvidence(
        entry=entry,
        levels=levels,
        unloaded=_unloaded([row.latency for row in lone_rows], levels),
        repeats=tuple(repeats),
        seconds=_examined_seconds(recording, crowds),
        lone_tries=sum(cell.users == 1 for cell in own),
        faults={cell.users: fault for cell in own if (fault := _faults(recording, cell))},
        half_neighbours=_neighbour_effects(recording, half) if half else None,
        burst=_observe_level(recording, burst, lone_rows) if burst else None,
        half_rate=half.arrivals.profile[0][1] if half and half.arrivals else None,
        idle_hold_places=frozenset(culprit.location for culprit in idle_holds.culprits),
        workers=max(1, info.workers),
        thread_tokens=runtime.thread_limit,
        executor_size=runtime.executor_limit,
        has_agent=not info.host,
        pinned=pinned,
        waits=_waits(recording, [cell for cell in cells if cell.profiled]),
        **_watched(recording, [cell for cell in cells if cell.watched], levels),
    )


def _waits(recording: Recording, cells: Sequence[Cell]) -> WaitProfile | None:
    """Return where requests wait, by the last cell in which they were looked at."""
    roots = source_roots(recording.info.app)
    for cell in reversed(cells):
        if window := _find_window(recording, cell):
            folder, origin = recording.path / "waits", recording.info.origin
            return read_waits(folder, cell.server, origin, window, roots)
    return None


def _examined_seconds(recording: Recording, cells: Sequence[Cell]) -> float:
    marks = [recording.marks(cell) for cell in cells]
    begins, ends = ([x[name] for x in marks if name in x] for name in ("go", "end"))
    return max(ends) - min(begins) if begins and ends else 0.0


def _find_window(recording: Recording, cell: Cell) -> Window | None:
    return measured_window(cell, recording.marks(cell))


def _planned_in(window: Window | None, requests: Iterable[RequestRow]) -> list[RequestRow]:
    """Return what was planned in a window and did not fail."""
    return [row for row in requests if window and window.covers(row.intended) and not row.error]


def _count_completed(window: Window, requests: Iterable[RequestRow]) -> int:
    """Count the right answers that came in a window."""
    return sum(not row.censored and not row.error and window.covers(row.done) for row in requests)


def _unloaded(lone: list[float], levels: Mapping[int, LevelEvidence]) -> UnloadedLatency:
    few = next((levels[users].latencies for users in sorted(levels) if users > 1), ())
    known = estimate_unloaded(lone, few) or estimate_unloaded(few, few)
    return known or UnloadedLatency(0.0, 0.0, 0.0, 0.0)


def _observe_level(
    recording: Recording, cell: Cell, lone_rows: Sequence[RequestRow]
) -> LevelEvidence | None:
    window, requests = _find_window(recording, cell), recording.requests(cell)
    if not window:
        return None
    rows, completed = _planned_in(window, requests), _count_completed(window, requests)
    answered = [row for row in rows if not row.censored]
    latencies = tuple(sorted(row.latency for row in answered))
    timed = [row for row in answered if row.app_start is not None and row.app_end is not None]
    return LevelEvidence(
        users=cell.users,
        seconds=window.seconds,
        rate=completed / window.seconds,
        think_time=cell.think,
        completed=completed,
        latencies=latencies,
        mean=_mean(row.latency for row in rows) or 0.0,
        longest=max((row.latency for row in rows), default=0.0),
        cv=relative_deviation(latencies),
        quartiles=latency_quartiles(latencies),
        app_time=_mean((row.app_end or 0) - (row.app_start or 0) for row in timed),
        total_time=_mean(row.latency for row in timed),
        neighbours=_neighbour_effects(recording, cell),
        server_stats=_server_stats(recording, cell, window),
        other_cpu=recording.other_cpu(cell) or 0.0,
        is_silent="silent" in recording.marks(cell),
        sent=len(requests),
        unanswered=sum(row.censored for row in requests),
        odd_answers=_count_odd(answered, lone_rows),
    )


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return math.fsum(known) / len(known) if known else None


def _count_odd(rows: Sequence[RequestRow], lone_rows: Sequence[RequestRow]) -> int:
    """Count answers of another status, empty or not, or outside half to twice the lone sizes."""
    sizes = [row.bytes for row in lone_rows if row.bytes is not None]
    if not sizes:
        return 0
    kinds = {(row.status, bool(row.bytes)) for row in lone_rows}
    return sum(
        (row.status, bool(row.bytes)) not in kinds
        or not min(sizes) / 2 <= (row.bytes or 0) <= 2 * max(sizes)
        for row in rows
    )


def _faults(recording: Recording, cell: Cell) -> tuple[int, int, str] | None:
    # warm-up included: a route that fails at once has no window
    rows = recording.requests(cell)
    errors = Counter(row.error for row in rows if row.error)
    return (errors.total(), len(rows), errors.most_common(1)[0][0]) if errors else None


def _neighbour_effects(recording: Recording, cell: Cell) -> dict[str, NeighbourEffect]:
    rest = idle_cell(recording.info.plan.cells)
    effects = {}
    for ping in cell.neighbours:
        idle, loaded = (
            _p90(_planned_in(_find_window(recording, some), recording.pings(some, ping.kind)))
            if some
            else None
            for some in (rest, cell)
        )
        longest = max((row.latency for row in recording.pings(cell, ping.kind)), default=0.0)
        effects[ping.kind] = NeighbourEffect(idle=idle, loaded=loaded, longest=longest)
    return effects


def _p90(rows: Sequence[RequestRow]) -> float | None:
    """Return the order statistic of rank ceil(0.9 n); an unanswered ping counts its wait."""
    if len(rows) < MIN_PINGS:
        return None
    return sorted(row.latency for row in rows)[math.ceil(0.9 * len(rows)) - 1]


def idle_cell(cells: Iterable[Cell]) -> Cell | None:
    """Return the cell of the neighbours at rest."""
    return next((cell for cell in cells if cell.scenario is Scenario.NEIGHBOURS), None)


def _watched(
    recording: Recording, cells: Sequence[Cell], levels: Mapping[int, LevelEvidence]
) -> dict[str, Any]:
    """Return what the watchdog saw, over all its cells."""
    pairs = [(cell, window) for cell in cells if (window := _find_window(recording, cell))]
    if not pairs:
        return {}
    servers = dict.fromkeys(cell.server for cell, _ in pairs)
    holds = [hold for server in servers for hold in recording.holds(server)]
    roots = source_roots(recording.info.app)
    seen = summarise_holds(holds, [window for _, window in pairs], roots)
    seconds = sum(window.seconds for _, window in pairs)
    few = levels[FEW_USERS].server_stats.cpu if FEW_USERS in levels else None
    cpus = [_server_stats(recording, cell, window).cpu for cell, window in pairs]
    cpu = _mean(share for share in cpus if share is not None)
    late = seen.seconds + seen.unattributed
    return {
        "loop_holds": seen,
        "watched_seconds": seconds,
        "watched_requests": sum(
            _count_completed(window, recording.requests(cell)) for cell, window in pairs
        ),
        "cpu_while_late": computing_share(cpu, few, seconds, late),
    }


def idle_loop_holds(recording: Recording) -> tuple[LoopHolds, float]:
    """Return what holds the loop of the idle app, and for how many seconds it was watched."""
    info = recording.info
    rest = idle_cell(info.plan.cells)
    span = info.idle_span or (rest and _find_window(recording, rest))
    if not rest or not span:
        return LoopHolds(0.0, 0.0, ()), 0.0
    roots = source_roots(info.app)
    return summarise_holds(recording.holds(rest.server), [span], roots), span[1] - span[0]


def computing_share(
    watched: float | None, unwatched: float | None, seconds: float, late: float
) -> float | None:
    """Return CPU seconds per second of a late loop; None where that is not known.

    `watched` and `unwatched` are the shares of a core that the app used, with the watchdog and
    without. The smaller counts, as the watchdog takes CPU, too.
    """
    known = [share for share in (watched, unwatched) if share is not None]
    return min(known) * seconds / late if watched is not None and late else None


def _server_stats(recording: Recording, cell: Cell, window: Window) -> ServerStats:
    rows = recording.processes(cell.server)
    inside, around = (
        [row for row in rows if window.covers(row.t, margin)] for margin in (0.0, _AROUND)
    )

    def growth_near(name: str) -> float | None:
        rates = growth(inside, name)
        return rates if rates is not None else growth(around, name)

    lags = sorted(row.loop_lag for row in inside if row.loop_lag is not None)
    pool_threads = [row.pool_threads for row in inside if row.pool_threads is not None]
    return ServerStats(
        cpu=growth_near("cpu"),
        loop_cpu=growth_near("loop_cpu"),
        children_cpu=growth_near("kin_cpu"),
        lag=lags[math.ceil(0.99 * len(lags)) - 1] if lags else None,
        longest_lag=lags[-1] if lags else None,
        threads=_total_mean(inside, "threads_busy"),
        threads_waiting=_total_mean(inside, "threads_waiting"),
        executor_waiting=_total_mean(inside, "executor_queue"),
        pool_threads=float(max(pool_threads)) if pool_threads else None,
        pool_waiting=_total_mean(inside, "pool_waiting"),
        blind=_blind_seconds(inside, window),
    )


def _by_process(rows: Iterable[ProbeRow], name: str) -> Iterable[list[tuple[float, float]]]:
    series: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        if (value := getattr(row, name)) is not None:
            series[row.pid].append((row.t, value))
    return series.values()


def growth(rows: Iterable[ProbeRow], name: str) -> float | None:
    """Return the growth per second of a running total, over all processes; None if not seen."""
    rates = []
    for series in _by_process(rows, name):
        (first, before), (last, after) = min(series), max(series)
        if last > first:
            rates.append((after - before) / (last - first))
    return sum(rates) if rates else None


def _total_mean(rows: Iterable[ProbeRow], name: str) -> float | None:
    means = [_mean(value for _, value in series) or 0.0 for series in _by_process(rows, name)]
    return sum(means) if means else None


def _blind_seconds(rows: Iterable[ProbeRow], window: Window) -> float:
    """Return the seconds without a look of the agent's thread, which C code can keep from it."""
    blind = []
    for series in _by_process(rows, "loop_lag"):
        looks = [window.begin, *sorted(t for t, _ in series), window.end]
        gaps = (later - sooner - 3 * _LOOK_INTERVAL for sooner, later in pairwise(looks))
        blind.append(sum(max(0.0, gap) for gap in gaps))
    return max(blind, default=0.0)
