"""Reads a run's spools: the outcome of each request, the generator's lines, process samples.

Requests come in batches, in the planned order; their answers and traces are in a temporary file, as
there may be too many for memory. The run's folder stays unchanged.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import asdict

from results import records
from results.run_info import Runtime
from results.spool import SpoolReader, read_spool

BATCH_ROWS = 16_384  # requests that are built at a time
NO_TRACE = records.Trace("")
_NO_ANSWER = records.Done(0, 0.0, *[None] * 8)
Start = records.Sent | records.Unsent
End = records.Done | records.GivenUp
Line = TypeVar("Line", End, records.Trace)


class RequestLineStore(Generic[Line]):
    """Request lines by writer and number, in a file; of two for a request the last counts."""

    def __init__(self, kind: Any) -> None:
        # a nameless file in the system's temporary folder, which goes with this process
        self.file = sqlite3.connect("")
        self.file.execute("PRAGMA journal_mode = OFF")
        self.file.execute(
            "CREATE TABLE lines (writer, seq, line, PRIMARY KEY (writer, seq)) WITHOUT ROWID"
        )
        self.encode, self.decode = msgspec.msgpack.encode, msgspec.msgpack.Decoder(kind).decode

    def put(self, writer: str, seq: int, line: Line) -> None:
        """Store a line of a request. Raises OSError on a full disk, like any other write."""
        try:
            self.file.execute(
                "INSERT OR REPLACE INTO lines VALUES (?, ?, ?)", (writer, seq, self.encode(line))
            )
        except sqlite3.OperationalError as error:
            raise OSError(f"{error}, in the folder for temporary files") from error

    def read_range(self, writer: str, first: int, last: int) -> dict[int, Line]:
        """Return the lines of a range of requests."""
        query = "SELECT seq, line FROM lines WHERE writer = ? AND seq BETWEEN ? AND ?"
        rows = self.file.execute(query, (writer, first, last))
        return {seq: self.decode(line) for seq, line in rows}

    def close(self) -> None:
        """Close the file, which removes it."""
        self.file.close()


class RunSpools:
    """The content of a run's spools. To read `samples`, once, completes `warnings`."""

    def __init__(self, path: Path, origin: float) -> None:
        self.path, self.origin, self.reader = path, origin, SpoolReader()
        self.traces = RequestLineStore[records.Trace](records.Trace)
        self.targets: dict[str, Runtime] = {}  # what the probes know of their processes
        self.probe = list(self._read_probe())
        self.load = list(self._read_load())
        self.samples = self._read_samples()

    @property
    def warnings(self) -> list[str]:
        """The warning about lines that could not be read; none where all could."""
        count = self.reader.unreadable
        lines, verb = ("line", "is") if count == 1 else ("lines", "are")
        sentence = f"{count} {lines} of the spools could not be read and {verb} left out."
        return [sentence] if count else []

    def _spool_files(self, table: str) -> list[Path]:
        return sorted((self.path / table).glob("*.jsonl"))

    def _read_probe(self) -> Iterator[records.ProbeRow]:
        """Yield process samples; store requests' traces and facts of the processes."""
        for path in self._spool_files("probe"):
            server, _ = name_process(path)
            for line in read_process_lines(path, self.origin):
                match line:
                    case records.Trace(request=request):
                        worker, _, seq = request.rpartition("-")
                        if seq.isdecimal():
                            self.traces.put(worker, int(seq), line)
                    case records.Runtime(facts=facts):
                        self._add_facts(server, facts)
                    case records.Frozen(begin=begin, end=end):
                        period = begin - self.origin, end - self.origin
                        self.targets.setdefault(server, Runtime()).frozen.append(period)
                    case records.ProbeRow():
                        yield line

    def _add_facts(self, server: str, facts: dict[str, Any]) -> None:
        known = msgspec.to_builtins(self.targets.get(server, Runtime()))
        try:
            self.targets[server] = msgspec.convert({**known, **facts}, Runtime)
        except ValueError:  # nothing that an app reports may cost the run
            self.reader.unreadable += 1

    def _read_load(self) -> Iterator[records.LoadRow]:
        unknown = dict.fromkeys(("mark", "lateness", "cpu"))
        for path in self._spool_files("load"):
            for line in self.reader.read(path, records.decode_load_line):
                kind = "mark" if isinstance(line, records.Mark) else "tick"
                state = {**unknown, **asdict(line), "t": line.t - self.origin}
                yield records.LoadRow(worker=path.stem, kind=kind, **state)

    def _read_samples(self) -> Iterator[list[records.Sample]]:
        """Join each worker's lines; no end line means in flight when the worker died."""
        with closing(self.traces), closing(RequestLineStore[End](End)) as ends:
            for path in self._spool_files("samples"):
                worker, last = path.stem, self.origin
                for line in self.reader.read(path, records.decode_request_line):
                    if isinstance(line, records.Done | records.GivenUp):
                        ends.put(worker, line.seq, line)
                    if not isinstance(line, records.Unsent):
                        last = max(last, line.sent if isinstance(line, records.Sent) else line.done)
                starts = (
                    line
                    for line in read_spool(path, records.decode_request_line)
                    if isinstance(line, records.Sent | records.Unsent)
                )
                while batch := list(islice(starts, BATCH_ROWS)):
                    seqs = [start.seq for start in batch]
                    answers = ends.read_range(worker, min(seqs), max(seqs))
                    traces = self.traces.read_range(worker, min(seqs), max(seqs))
                    yield [
                        build_sample(
                            worker,
                            start,
                            answers.get(start.seq) or records.GivenUp(start.seq, last),
                            traces.get(start.seq, NO_TRACE),
                            self.origin,
                        )
                        for start in batch
                    ]


def name_process(path: Path) -> tuple[str, str]:
    """Return the server and the process id by which a spool of the app's side is named."""
    # beside the agent's own spool lies what the driver read of its process
    server, _, pid = path.stem.removesuffix(".system").rpartition("-")
    return server, pid


def read_process_lines(path: Path, origin: float) -> Iterator[records.AppLine | records.ProbeRow]:
    """Yield the lines of a process of the app, its samples as rows of the run's table."""
    server, pid = name_process(path)
    for line in read_spool(path, records.decode_app_line):
        if isinstance(line, records.ProcessSample):
            state = {**asdict(line), "t": line.t - origin}
            yield records.ProbeRow(variant=server, pid=int(pid), **state)
        else:
            yield line


def build_sample(
    worker: str, start: Start, end: End, trace: records.Trace, origin: float
) -> records.Sample:
    """Build a request from its lines; the trace adds what the answer's header could not carry."""
    answer = end if isinstance(end, records.Done) else _NO_ANSWER
    # no listener: nothing left the client's socket
    refused = answer.error == "ConnectionRefusedError"
    sent = None if refused or isinstance(start, records.Unsent) else start.sent - origin

    def first_known(*times: float | None) -> float | None:
        return next((t - origin for t in times if t is not None), None)

    shared = ("seq", "cell", "phase", "route", "variant", "connection")
    return records.Sample(
        **{name: getattr(start, name) for name in shared},
        worker=worker,
        peer=trace.peer if answer.peer is None else answer.peer,
        intended=start.intended - origin,
        sent=sent,
        done=None if sent is None else end.done - origin,
        status=answer.status,
        error=start.reason if isinstance(start, records.Unsent) else answer.error,
        bytes=answer.size,
        app_start=first_known(answer.app_start, trace.app_start),
        handler_start=first_known(answer.handler_start, trace.handler_start),
        handler_end=first_known(answer.handler_end, trace.handler_end),
        # the header's time is that of the head, before the body
        app_end=first_known(trace.app_end, answer.app_end),
        censored=sent is not None and end is not answer,
    )
