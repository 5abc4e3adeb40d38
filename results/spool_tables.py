"""Reads the spools of a run: what became of each request, what the generator told of itself, what the probes saw.

A run may have more requests than memory holds, so they come a part at a time, in the order in which they were planned. The two
lines of a request lie apart, and the probe's word of it in another file: these wait in a file of their own until their part is
built. Nothing is written into the run.
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
HARDSHIP = ("stolen", "used", "swapped", "periods", "throttled")  # what the machine suffered; the last two since format 6
LOAD_COLUMNS = ("worker", "kind", "cell", "mark", "t", "in_flight", "area", "lateness", "cpu", *HARDSHIP)
NOT_TOLD = (None,) * len(HARDSHIP)
POOLS = (
    *("threads_busy", "threads_waiting", "executor_queue", "cpu", "memory"),
    *("kin_cpu", "loop_cpu", "pool_threads", "pool_waiting"),  # since formats 4 and 5
)
PROBE_COLUMNS = ("variant", "pid", "t", "loop_lag", *POOLS)
TABLES = {"samples": SAMPLE_COLUMNS, "load": LOAD_COLUMNS, "probe": PROBE_COLUMNS}
PART = 16_384  # requests that are built at a time
UNSENT = '["unsent"'
STARTS = ('["sent"', UNSENT)  # the first of a request's two lines
LATEST = 1000  # lines at a spool's end: answers are written down a moment after they came, all earlier lines before


@dataclass(frozen=True, slots=True)
class Table:
    """Rows on their way to Parquet, or to a report of a run that was never sealed."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the spools of a run hold. `samples` can be read once, part by part; `spoilt` is complete when they were."""

    samples: Iterator[Table]
    tables: dict[str, Table]  # of the generator and of the probes
    targets: dict[str, Any]  # what the probes told about their processes
    spoilt: list[str]  # lines that could not be read


class Aside:
    """Words by writer and number, on disk until they are asked for: a run may have more than memory holds. The last word counts."""

    def __init__(self) -> None:
        self.file = sqlite3.connect("")  # in the system's temporary folder, without a name: it goes when we do
        self.file.execute("PRAGMA journal_mode = OFF")
        self.file.execute("CREATE TABLE told (writer, seq, words, PRIMARY KEY (writer, seq)) WITHOUT ROWID")

    def put(self, writer: str, seq: int, words: list[Any]) -> None:
        """Keep what was said of one request. A full disk is an OSError, as for whoever writes to it."""
        try:
            self.file.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?)", (writer, seq, marshal.dumps(words)))
        except sqlite3.OperationalError as error:
            raise OSError(f"{error}, in the folder for temporary files") from error

    def between(self, writer: str, first: int, last: int) -> dict[int, list[Any]]:
        """What was said of some requests in a row."""
        wanted = "SELECT seq, words FROM told WHERE writer = ? AND seq BETWEEN ? AND ?"
        found = self.file.execute(wanted, (writer, first, last))
        return {seq: marshal.loads(words) for seq, words in found}  # noqa: S302 - our own words of a moment ago

    def close(self) -> None:
        """Let go of the file, which removes it."""
        self.file.close()


def gather(path: Path, origin: float) -> Gathered:
    """Open the spools of a run; nothing is written."""
    spoilt: list[str] = []
    visits = Aside()
    looks, targets = read_probe(path / "probe", origin, visits)
    load = list(read_load(path / "load", origin, spoilt))
    tables = {"load": Table(LOAD_COLUMNS, load), "probe": Table(PROBE_COLUMNS, looks)}
    return Gathered(read_samples(path / "samples", origin, visits, spoilt), tables, targets, spoilt)


def spoilt_lines(count: int) -> str:
    """What a reader must know about lines that could not be read."""
    return f"{count} line{'s' if count > 1 else ''} of the spools could not be read and {'are' if count > 1 else 'is'} left out."


def read_samples(folder: Path, origin: float, visits: Aside, spoilt: list[str]) -> Iterator[Table]:
    """Join each worker's lines into samples; a request without a last word was in flight when its worker died."""
    with closing(visits), closing(Aside()) as ends:
        for path in sorted(folder.glob("*.jsonl")):
            for kind, seq, *words in numbered(spool.read(path, spoilt, lambda text: not text.startswith(STARTS)), spoilt):
                ends.put(path.stem, seq, [kind, *words])
            planned = numbered(spool.read(path, spoilt, lambda text: text.startswith(STARTS)), spoilt)
            last = cache(partial(last_word, path, origin))  # only where it is asked for: it reads the file once more
            while part := list(islice(planned, PART)):
                seqs = [line[1] for line in part]
                told = [one.between(path.stem, min(seqs), max(seqs)) for one in (ends, visits)]
                rows = joined(path.stem, part, told, last, origin, spoilt)
                yield Table(SAMPLE_COLUMNS, list(map(attrgetter(*SAMPLE_COLUMNS), rows)))


def numbered(lines: Iterator[list[Any]], spoilt: list[str]) -> Iterator[list[Any]]:
    """The lines that are about a request."""
    for line in lines:
        if isinstance(line[1], int):
            yield line
        else:
            spoilt.append(str(line))


def joined(  # noqa: PLR0913, PLR0917 - the lines of some requests, and what places them
    worker: str,
    part: list[list[Any]],
    told: list[dict[int, list[Any]]],
    last: Callable[[], float],
    origin: float,
    spoilt: list[str],
) -> Iterator[Sample]:
    """Some requests of one worker, from the lines that begin them and what was `told` of them later: their ends, and visits."""
    ends, visits = told
    for kind, seq, *words in part:
        end = ends.get(seq) or ["given-up", origin if kind == "unsent" else last()]
        try:
            yield sample_of(worker, seq, [kind, *words], end, origin, visits.get(seq))
        except (ValueError, TypeError, IndexError):
            spoilt.append(str(words))


def last_word(path: Path, origin: float) -> float:
    """The latest moment that a worker wrote down; the planned moment of what was never sent may lie beyond its end."""
    lines = spool.read_end(path, LATEST, lambda text: not text.startswith(UNSENT))
    told = (word for line in lines for word in line if isinstance(word, float))
    return max(origin, max(told, default=origin))


def sample_of(  # noqa: PLR0913, PLR0917 - the two lines of a request, and what places them
    worker: str, seq: int, start: list[Any], end: list[Any], origin: float, visit: list[float | None] | None
) -> Sample:
    """One request from its lines. The probe's journal fills in what the answer's header could not carry."""
    kind, cell, phase, route, variant, connection, intended, last = start
    answered = end[0] == "done"
    status, error, size, *moments, peer = end[2:] if answered else [None] * 7
    refused = error == "ConnectionRefusedError"  # nobody listened: nothing left this machine's socket
    unsent = kind == "unsent" or refused
    told, journal = [*moments, None][:4], visit or [None] * 5
    told[3] = told[3] if journal[3] is None else journal[3]  # a head left before its body did
    moments = [since(journal[i] if told[i] is None else told[i], origin) for i in range(4)]
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
        app_start=moments[0],
        handler_start=moments[1],
        handler_end=moments[2],
        app_end=moments[3],
        censored=not unsent and not answered,
    )


def since(moment: float | None, origin: float) -> float | None:
    """A moment relative to the run's start."""
    return None if moment is None else moment - origin


def read_load(folder: Path, origin: float, spoilt: list[str]) -> Iterator[tuple[Any, ...]]:
    """The generator's own lines, as rows of `LOAD_COLUMNS`."""
    for path in sorted(folder.glob("*.jsonl")):
        worker = path.stem
        for kind, cell, *words in spool.read(path, spoilt):
            try:
                if kind == "mark":
                    mark, moment, in_flight, area, *hardship = words
                    told = (*hardship, *NOT_TOLD)[: len(HARDSHIP)]
                    yield (worker, "mark", cell, mark, moment - origin, in_flight, area, None, None, *told)
                else:
                    moment, in_flight, area, lateness, cpu = words
                    yield (worker, "tick", cell, None, moment - origin, in_flight, area, lateness, cpu, *NOT_TOLD)
            except (ValueError, TypeError):
                spoilt.append(str(words))


def read_probe(folder: Path, origin: float, visits: Aside) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """The servers' journals: samples of the process, and runtimes; moments of requests are put into `visits`."""
    looks: list[tuple[Any, ...]] = []
    targets: dict[str, Any] = {}
    for path in sorted(folder.glob("*.jsonl")):
        variant, _, pid = path.stem.rpartition("-")
        for kind, first, *words in spool.read(path):
            if kind == "visit":
                worker, _, seq = first.rpartition("-")
                if seq.isdecimal():
                    visits.put(worker, int(seq), words)
            elif kind == "runtime":
                targets[variant] = {**targets.get(variant, {}), **words[0]}
            elif kind == "frozen":  # a server that stopped on purpose says from when to when
                targets.setdefault(variant, {}).setdefault("frozen", []).append([first - origin, words[0] - origin])
            else:
                told = (*words, *[None] * len(POOLS))[: len(POOLS) + 1]  # an older journal told less
                looks.append((variant, int(pid), first - origin, *told))
    return looks, targets
