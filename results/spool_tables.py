"""Reads a run's spools: the outcome of each request, the generator's lines, probe samples.

A run may have more requests than memory holds, so they come a batch at a time, in the order in
which they were planned. The two lines of a request lie apart, and the probe's trace of it in
another file: these wait in a temporary file until their batch is built. Nothing is written into the
run.
"""

import marshal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

from results import spool
from results.schema import Phase, Sample

SAMPLE_COLUMNS = tuple(Sample.__dataclass_fields__)
# what the machine suffered; the last two since format 6
HOST_COUNTERS = ("stolen", "used", "swapped", "periods", "throttled")
LOAD_COLUMNS = (
    "worker",
    "kind",
    "cell",
    "mark",
    "t",
    "in_flight",
    "area",
    "lateness",
    "cpu",
    *HOST_COUNTERS,
)
_NO_HOST_COUNTERS = (None,) * len(HOST_COUNTERS)
PROCESS_COLUMNS = (
    *("threads_busy", "threads_waiting", "executor_queue", "cpu", "memory"),
    *("kin_cpu", "loop_cpu", "pool_threads", "pool_waiting"),  # since formats 4 and 5
)
_PROBE_COLUMNS = ("variant", "pid", "t", "loop_lag", *PROCESS_COLUMNS)
TABLES = {"samples": SAMPLE_COLUMNS, "load": LOAD_COLUMNS, "probe": _PROBE_COLUMNS}
BATCH_ROWS = 16_384  # requests that are built at a time
_UNSENT_PREFIX = '["unsent"'
_START_PREFIXES = ('["sent"', _UNSENT_PREFIX)  # the first of a request's two lines
# lines at a spool's end: answers are written a moment after they came, all earlier lines before
_TAIL_LINES = 1000


@dataclass(frozen=True, slots=True)
class SpoolTable:
    """Rows for Parquet, or for the report of a run that was never sealed."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class SpoolContents:
    """The content of a run's spools; `samples` can be read once, which completes `unreadable`."""

    samples: Iterator[SpoolTable]
    tables: dict[str, SpoolTable]  # of the generator and of the probes
    targets: dict[str, Any]  # what the probes know of their processes
    unreadable: list[str]  # lines that could not be read


class RequestLineStore:
    """Request lines by writer and number, on disk as memory may not hold all; the last counts."""

    def __init__(self) -> None:
        # a nameless file in the system's temporary folder, which goes with this process
        self.file = sqlite3.connect("")
        self.file.execute("PRAGMA journal_mode = OFF")
        self.file.execute(
            "CREATE TABLE told (writer, seq, words, PRIMARY KEY (writer, seq)) WITHOUT ROWID"
        )

    def put(self, writer: str, seq: int, values: list[Any]) -> None:
        """Store a line of a request. Raises OSError on a full disk, like any other write."""
        try:
            self.file.execute(
                "INSERT OR REPLACE INTO told VALUES (?, ?, ?)", (writer, seq, marshal.dumps(values))
            )
        except sqlite3.OperationalError as error:
            raise OSError(f"{error}, in the folder for temporary files") from error

    def read_range(self, writer: str, first: int, last: int) -> dict[int, list[Any]]:
        """The lines of a range of requests."""
        query = "SELECT seq, words FROM told WHERE writer = ? AND seq BETWEEN ? AND ?"
        rows = self.file.execute(query, (writer, first, last))
        # written by this process
        return {seq: marshal.loads(blob) for seq, blob in rows}  # noqa: S302

    def close(self) -> None:
        """Close the file, which removes it."""
        self.file.close()


def open_spools(path: Path, origin: float) -> SpoolContents:
    """Open the spools of a run; nothing is written."""
    unreadable: list[str] = []
    traces = RequestLineStore()
    probe_rows, targets = _read_probe(path / "probe", origin, traces)
    load = list(_read_load(path / "load", origin, unreadable))
    tables = {
        "load": SpoolTable(LOAD_COLUMNS, load),
        "probe": SpoolTable(_PROBE_COLUMNS, probe_rows),
    }
    return SpoolContents(
        _read_samples(path / "samples", origin, traces, unreadable), tables, targets, unreadable
    )


def unreadable_warning(count: int) -> str:
    """The warning about lines that could not be read."""
    return (
        f"{count} line{'s' if count > 1 else ''} of the spools could not be read and"
        f" {'are' if count > 1 else 'is'} left out."
    )


def _read_samples(
    folder: Path, origin: float, traces: RequestLineStore, unreadable: list[str]
) -> Iterator[SpoolTable]:
    """Join each worker's lines into samples; no end line means in flight when the worker died."""
    with closing(traces), closing(RequestLineStore()) as ends:
        for path in sorted(folder.glob("*.jsonl")):
            for kind, seq, *values in _request_lines(
                spool.read_spool(
                    path, unreadable, lambda text: not text.startswith(_START_PREFIXES)
                ),
                unreadable,
            ):
                ends.put(path.stem, seq, [kind, *values])
            planned = _request_lines(
                spool.read_spool(path, unreadable, lambda text: text.startswith(_START_PREFIXES)),
                unreadable,
            )
            # on demand only, as it reads the file once more
            last = cache(partial(_last_timestamp, path, origin))
            while batch := list(islice(planned, BATCH_ROWS)):
                seqs = [line[1] for line in batch]
                later_lines = [
                    store.read_range(path.stem, min(seqs), max(seqs)) for store in (ends, traces)
                ]
                rows = _join_lines(path.stem, batch, later_lines, last, origin, unreadable)
                yield SpoolTable(SAMPLE_COLUMNS, list(map(attrgetter(*SAMPLE_COLUMNS), rows)))


def _request_lines(lines: Iterator[list[Any]], unreadable: list[str]) -> Iterator[list[Any]]:
    for line in lines:
        if isinstance(line[1], int):
            yield line
        else:
            unreadable.append(str(line))


def _join_lines(  # noqa: PLR0913, PLR0917 - the lines of some requests, and what places them
    worker: str,
    batch: list[list[Any]],
    later_lines: list[dict[int, list[Any]]],
    last: Callable[[], float],
    origin: float,
    unreadable: list[str],
) -> Iterator[Sample]:
    """Build a worker's samples from start lines and `later_lines`: their ends, and traces."""
    ends, traces = later_lines
    for kind, seq, *values in batch:
        end = ends.get(seq) or ["given-up", origin if kind == "unsent" else last()]
        try:
            yield build_sample(worker, seq, [kind, *values], end, origin, traces.get(seq))
        except (ValueError, TypeError, IndexError):
            unreadable.append(str(values))


def _last_timestamp(path: Path, origin: float) -> float:
    """The latest moment in a worker's spool, without the planned moments of unsent requests."""
    lines = spool.read_spool_end(
        path, _TAIL_LINES, lambda text: not text.startswith(_UNSENT_PREFIX)
    )
    timestamps = (value for line in lines for value in line if isinstance(value, float))
    return max(origin, max(timestamps, default=origin))


def build_sample(  # noqa: PLR0913, PLR0917 - the two lines of a request, and what places them
    worker: str,
    seq: int,
    start: list[Any],
    end: list[Any],
    origin: float,
    trace: list[float | None] | None,
) -> Sample:
    """A request from its lines; the trace log adds what the answer's header could not carry."""
    kind, cell, phase, route, variant, connection, intended, last = start
    answered = end[0] == "done"
    status, error, size, *timestamps, peer = end[2:] if answered else [None] * 7
    refused = error == "ConnectionRefusedError"  # no listener: nothing left the client's socket
    unsent = kind == "unsent" or refused
    header_times, journal = [*timestamps, None][:4], trace or [None] * 5
    # the header's moment is that of the head, before the body
    header_times[3] = header_times[3] if journal[3] is None else journal[3]
    timestamps = [
        _relative_time(journal[i] if header_times[i] is None else header_times[i], origin)
        for i in range(4)
    ]
    peer = journal[4] if peer is None else peer
    return Sample(
        seq=seq,
        cell=cell,
        phase=Phase(phase),
        route=route,
        variant=variant,
        worker=worker,
        connection=connection,
        peer=int(peer) if peer is not None else None,
        intended=intended - origin,
        sent=None if unsent else last - origin,
        done=None if unsent else end[1] - origin,
        status=status,
        error=last if kind == "unsent" else error,
        bytes=size,
        app_start=timestamps[0],
        handler_start=timestamps[1],
        handler_end=timestamps[2],
        app_end=timestamps[3],
        censored=not unsent and not answered,
    )


def _relative_time(timestamp: float | None, origin: float) -> float | None:
    """A moment in seconds since the run's start."""
    return None if timestamp is None else timestamp - origin


def _read_load(folder: Path, origin: float, unreadable: list[str]) -> Iterator[tuple[Any, ...]]:
    """The generator's lines, as rows of `LOAD_COLUMNS`."""
    for path in sorted(folder.glob("*.jsonl")):
        worker = path.stem
        for kind, cell, *values in spool.read_spool(path, unreadable):
            try:
                if kind == "mark":
                    mark, timestamp, in_flight, area, *raw_counters = values
                    host_counters = (*raw_counters, *_NO_HOST_COUNTERS)[: len(HOST_COUNTERS)]
                    yield (
                        worker,
                        "mark",
                        cell,
                        mark,
                        timestamp - origin,
                        in_flight,
                        area,
                        None,
                        None,
                        *host_counters,
                    )
                else:
                    timestamp, in_flight, area, lateness, cpu = values
                    yield (
                        worker,
                        "tick",
                        cell,
                        None,
                        timestamp - origin,
                        in_flight,
                        area,
                        lateness,
                        cpu,
                        *_NO_HOST_COUNTERS,
                    )
            except (ValueError, TypeError):
                unreadable.append(str(values))


def _read_probe(
    folder: Path, origin: float, traces: RequestLineStore
) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Rows and runtimes from the servers' trace logs; requests' moments are put into `traces`."""
    probe_rows: list[tuple[Any, ...]] = []
    targets: dict[str, Any] = {}
    for path in sorted(folder.glob("*.jsonl")):
        variant, _, pid = path.stem.rpartition("-")
        for kind, first, *values in spool.read_spool(path):
            if kind == "visit":
                worker, _, seq = first.rpartition("-")
                if seq.isdecimal():
                    traces.put(worker, int(seq), values)
            elif kind == "runtime":
                targets[variant] = {**targets.get(variant, {}), **values[0]}
            elif kind == "frozen":  # a server that froze on purpose wrote from when to when
                targets.setdefault(variant, {}).setdefault("frozen", []).append(
                    [first - origin, values[0] - origin]
                )
            else:
                # older trace logs have fewer columns
                columns = (*values, *[None] * len(PROCESS_COLUMNS))[: len(PROCESS_COLUMNS) + 1]
                probe_rows.append((variant, int(pid), first - origin, *columns))
    return probe_rows, targets
