"""Makes the evidence on a route of what was recorded, during a run and of a sealed one alike.

Requests belong to a window by their planned time; rates alone count completions.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from results.judgement.culprit import LoopHolds, summarise_holds
from results.judgement.model import (
    LevelEvidence,
    NeighbourEffect,
    RouteEvidence,
    ServerStats,
)
from results.judgement.window import measured_window
from results.records import Hold, ProbeRow
from results.run_info import RouteRecord
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
_MIN_PINGS = 8  # below which nothing is said of a neighbour
_GATE_REPEAT = 2  # the second of a level is a gate's
BURST_REPEAT = 9  # of the level whose users start at one moment


class RequestRow(NamedTuple):
    """One request that was sent, in seconds. `done` of an unanswered one: when its wait ended."""

    intended: float
    done: float
    status: int | None
    error: str | None
    size: int | None
    app_start: float | None
    app_end: float | None
    censored: bool

    @property
    def latency(self) -> float:
        """Seconds from the planned moment on."""
        return self.done - self.intended


class Recording(Protocol):
    """What was recorded in a run, in seconds since its start."""

    @property
    def cells(self) -> Sequence[Cell]:
        """Return the planned cells, in order."""

    def marks(self, cell: Cell) -> Mapping[str, float]:
        """Return the moments of a cell by name."""

    def requests(self, cell: Cell) -> Sequence[RequestRow]:
        """Return the cell's own requests that were sent."""

    def pings(self, cell: Cell, kind: str) -> Sequence[RequestRow]:
        """Return those of one of its neighbours."""

    def processes(self, server: str) -> Sequence[ProbeRow]:
        """Return the samples of a server's processes."""

    def holds(self, server: str) -> Sequence[Hold]:
        """Return what the watchdog saw hold its loop, in seconds since the run's start."""

    def other_cpu(self, cell: Cell) -> float | None:
        """Return the share of all cores in its window that neither app nor generator used."""


@dataclass(frozen=True, slots=True)
class _Window:
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def rows(self, requests: Iterable[RequestRow]) -> list[RequestRow]:
        """Return what was planned in the window and did not fail."""
        return [row for row in requests if self.begin < row.intended <= self.end and not row.error]

    def samples(self, processes: Iterable[ProbeRow], margin: float = 0.0) -> list[ProbeRow]:
        return [row for row in processes if self.begin - margin < row.t <= self.end + margin]


def observe_route(recording: Recording, entry: RouteRecord, **facts: Any) -> RouteEvidence:
    """Return the evidence on a route; `facts` are what run.json knows of the app's processes."""
    cells = [cell for cell in recording.cells if cell.variant == entry.route]
    crowds = [cell for cell in cells if cell.scenario is Scenario.CROWD and not cell.watched]
    own = [cell for cell in crowds if cell.repeat != _GATE_REPEAT]
    lone = [row for cell in crowds if cell.users == 1 for row in _window_rows(recording, cell)]
    lone_rows = [row for row in lone if not row.censored]
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
    half_neighbours = _neighbour_effects(recording, half) if half else None
    return RouteEvidence(
        entry=entry,
        levels=levels,
        unloaded=_unloaded([row.latency for row in lone_rows], levels),
        repeats=tuple(repeats),
        seconds=_examined_seconds(recording, crowds),
        lone_tries=sum(cell.users == 1 for cell in own),
        faults={cell.users: fault for cell in own if (fault := _faults(recording, cell))},
        half_neighbours=half_neighbours,
        burst=_observe_level(recording, burst, lone_rows) if burst else None,
        half_rate=half.arrivals.profile[0][1] if half and half.arrivals else None,
        **_watched(recording, [cell for cell in cells if cell.watched], levels, facts.pop("roots")),
        **facts,
    )


def _examined_seconds(recording: Recording, cells: Sequence[Cell]) -> float:
    marks = [recording.marks(cell) for cell in cells]
    begins, ends = ([x[name] for x in marks if name in x] for name in ("go", "end"))
    return max(ends) - min(begins) if begins and ends else 0.0


def _find_window(recording: Recording, cell: Cell) -> _Window | None:
    span = measured_window(cell, recording.marks(cell))
    return _Window(*span) if span else None


def _window_rows(recording: Recording, cell: Cell) -> list[RequestRow]:
    window = _find_window(recording, cell)
    return window.rows(recording.requests(cell)) if window else []


def _unloaded(lone: list[float], levels: Mapping[int, LevelEvidence]) -> UnloadedLatency:
    few = next((levels[users].latencies for users in sorted(levels) if users > 1), ())
    known = estimate_unloaded(lone, few) or estimate_unloaded(few, few)
    return known or UnloadedLatency(0.0, 0.0, 0.0, 0.0)


def _observe_level(
    recording: Recording, cell: Cell, lone_rows: Sequence[RequestRow]
) -> LevelEvidence | None:
    window = _find_window(recording, cell)
    if not window:
        return None
    requests, marks = recording.requests(cell), recording.marks(cell)
    rows = window.rows(requests)
    answered = [row for row in rows if not row.censored]
    latencies = tuple(sorted(row.latency for row in answered))
    everything = [row.latency for row in rows]
    completed = sum(
        not row.censored and not row.error and window.begin < row.done <= window.end
        for row in requests
    )
    timed = [row for row in answered if row.app_start is not None and row.app_end is not None]
    return LevelEvidence(
        users=cell.users,
        seconds=window.seconds,
        rate=completed / window.seconds,
        think_time=cell.think,
        completed=completed,
        latencies=latencies,
        mean=_mean(everything) or 0.0,
        longest=max(everything, default=0.0),
        cv=relative_deviation(latencies),
        quartiles=latency_quartiles(latencies),
        app_time=_mean((row.app_end or 0) - (row.app_start or 0) for row in timed),
        total_time=_mean(row.latency for row in timed),
        neighbours=_neighbour_effects(recording, cell),
        server_stats=_server_stats(recording.processes(cell.server), window),
        other_cpu=recording.other_cpu(cell) or 0.0,
        is_silent="silent" in marks,
        sent=len(requests),
        unanswered=sum(row.censored for row in requests),
        odd_answers=_count_odd(answered, lone_rows),
    )


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return math.fsum(known) / len(known) if known else None


def _count_odd(rows: Sequence[RequestRow], lone_rows: Sequence[RequestRow]) -> int:
    """Count answers of another status, empty or not, or outside half to twice the lone sizes."""
    sizes = [row.size for row in lone_rows if row.size is not None]
    if not sizes:
        return 0
    kinds = {(row.status, bool(row.size)) for row in lone_rows}
    return sum(
        (row.status, bool(row.size)) not in kinds
        or not min(sizes) / 2 <= (row.size or 0) <= 2 * max(sizes)
        for row in rows
    )


def _faults(recording: Recording, cell: Cell) -> tuple[int, int, str] | None:
    # warm-up included: a route that fails at once has no window
    rows = recording.requests(cell)
    errors = Counter(row.error for row in rows if row.error)
    return (errors.total(), len(rows), errors.most_common(1)[0][0]) if errors else None


def _neighbour_effects(recording: Recording, cell: Cell) -> dict[str, NeighbourEffect]:
    rest = idle_cell(recording.cells)
    effects = {}
    for ping in cell.neighbours:
        idle, loaded = (
            sorted(row.latency for row in _ping_rows(recording, some, ping.kind)) if some else []
            for some in (rest, cell)
        )
        effects[ping.kind] = NeighbourEffect(
            kind=ping.kind,
            idle=_p90(idle),
            loaded=_p90(loaded),
            longest=max((x.latency for x in recording.pings(cell, ping.kind)), default=0.0),
        )
    return effects


def _ping_rows(recording: Recording, cell: Cell, kind: str) -> list[RequestRow]:
    window = _find_window(recording, cell)
    return window.rows(recording.pings(cell, kind)) if window else []


def _p90(latencies: Sequence[float]) -> float | None:
    """Return the order statistic of rank ceil(0.9 n); an unanswered ping counts its wait."""
    if len(latencies) < _MIN_PINGS:
        return None
    return latencies[math.ceil(0.9 * len(latencies)) - 1]


def idle_cell(cells: Iterable[Cell]) -> Cell | None:
    """Return the cell of the neighbours at rest."""
    return next((cell for cell in cells if cell.scenario is Scenario.NEIGHBOURS), None)


def _watched(
    recording: Recording, cells: Sequence[Cell], levels: Mapping[int, LevelEvidence], roots: Any
) -> dict[str, Any]:
    """Return what the watchdog saw, over all its cells."""
    pairs = [(cell, window) for cell in cells if (window := _find_window(recording, cell))]
    if not pairs:
        return {}
    holds = [
        hold
        for server in dict.fromkeys(cell.server for cell, _ in pairs)
        for hold in recording.holds(server)
    ]
    spans = [(window.begin, window.end) for _, window in pairs]
    seen = summarise_holds(holds, spans, roots)
    seconds = sum(window.seconds for _, window in pairs)
    few = levels[FEW_USERS].server_stats.cpu if FEW_USERS in levels else None
    cpus = [_server_stats(recording.processes(cell.server), window).cpu for cell, window in pairs]
    cpu = _mean(share for share in cpus if share is not None)
    answered = sum(
        not row.censored and not row.error and window.begin < row.done <= window.end
        for cell, window in pairs
        for row in recording.requests(cell)
    )
    late = seen.seconds + seen.unattributed
    return {
        "loop_holds": seen,
        "watched_seconds": seconds,
        "watched_requests": answered,
        "cpu_while_late": computing_share(cpu, few, seconds, late),
    }


def idle_loop_holds(
    recording: Recording, span: tuple[float, float] | None, roots: Any
) -> tuple[LoopHolds, float]:
    """Return what holds the loop of the idle app, and for how many seconds it was watched."""
    rest = idle_cell(recording.cells)
    if not span and rest and (window := _find_window(recording, rest)):
        span = window.begin, window.end
    if not rest or not span:
        return LoopHolds(0.0, 0.0, ()), 0.0
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


def _server_stats(processes: Sequence[ProbeRow], window: _Window) -> ServerStats:
    inside, around = window.samples(processes), window.samples(processes, _AROUND)

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


def _blind_seconds(rows: Iterable[ProbeRow], window: _Window) -> float:
    """Return the seconds without a look of the agent's thread, which C code can keep from it."""
    looks = [sorted(t for t, _ in series) for series in _by_process(rows, "loop_lag")]
    gaps: Callable[[list[float]], float] = lambda times: sum(  # noqa: E731
        max(0.0, later - sooner - 3 * _LOOK_INTERVAL)
        for sooner, later in zip([window.begin, *times], [*times, window.end], strict=True)
    )
    return max(map(gaps, looks), default=0.0)
