"""What a run in progress has recorded of one route: its spools, as the judgement reads them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from operator import attrgetter
from pathlib import Path

import msgspec

from results import records
from results.judgement.model import RouteEvidence
from results.judgement.observe import Recording, RequestRow, growth, observe_route
from results.run_info import RouteRecord, Runtime
from results.schema import Cell, Phase
from results.spool import read_spool
from results.spool_tables import NO_TRACE, build_sample, name_process, read_process_lines
from results.store import RunWriter

IDLE_SESSION = "idle"  # of the neighbours at rest
_ProcessLine = records.AppLine | records.ProbeRow
_row_values = attrgetter(*RequestRow._fields)


class SpoolRecording(Recording):
    """The spools at one moment; what is read is kept, so a later moment takes a new one."""

    def __init__(self, run: RunWriter, session: str) -> None:
        self.path, self.info = run.path, run.info
        self.session, self.origin = session, run.info.origin
        self.app_lines: dict[str, list[_ProcessLine]] = {}  # by server

    def _spools(self, table: str) -> Iterator[Path]:
        for session in dict.fromkeys((IDLE_SESSION, self.session)):
            yield from sorted((self.path / table).glob(f"{session}-*.jsonl"))

    @cached_property
    def _load(self) -> Mapping[str, list[records.Mark | records.Tick]]:
        lines: defaultdict[str, list[records.Mark | records.Tick]] = defaultdict(list)
        for path in self._spools("load"):
            for line in read_spool(path, records.decode_load_line):
                lines[line.cell].append(line)
        return lines

    @cached_property
    def _rows(self) -> Mapping[str, list[RequestRow]]:
        rows: defaultdict[str, list[RequestRow]] = defaultdict(list)
        for path in self._spools("samples"):
            starts: dict[int, records.Sent] = {}
            ends: dict[int, records.Done | records.GivenUp] = {}
            for line in read_spool(path, records.decode_request_line):
                if isinstance(line, records.Sent):
                    starts[line.seq] = line
                elif not isinstance(line, records.Unsent):
                    ends[line.seq] = line
            for seq, start in starts.items():
                if seq in ends and start.phase is not Phase.CONNECT:
                    trace = self._traces.get(f"{path.stem}-{seq}", NO_TRACE)
                    sample = build_sample(path.stem, start, ends[seq], trace, self.origin)
                    if sample.sent is not None:
                        rows[start.cell].append(RequestRow._make(_row_values(sample)))
        return rows

    @cached_property
    def _traces(self) -> Mapping[str, records.Trace]:
        servers = {cell.server for cell in self.info.plan.cells if cell.name in self._load}
        lines = (line for server in servers for line in self._app_lines(server))
        return {line.request: line for line in lines if isinstance(line, records.Trace)}

    def _marks(self, cell: Cell) -> Mapping[str, records.Mark]:
        lines = self._load.get(cell.name, [])
        return {line.mark: line for line in lines if isinstance(line, records.Mark)}

    def marks(self, cell: Cell) -> Mapping[str, float]:
        """Return the moments of a cell by name."""
        return {name: mark.t - self.origin for name, mark in self._marks(cell).items()}

    def window(self, cell: Cell) -> tuple[records.Mark, records.Mark, list[records.Tick]] | None:
        """Return the marks of a cell's window, and the generator's ticks in it."""
        marks = self._marks(cell)
        begin, end = marks.get("open"), marks.get("close")
        if not begin or not end or end.t <= begin.t:
            return None
        ticks = (line for line in self._load[cell.name] if isinstance(line, records.Tick))
        return begin, end, [tick for tick in ticks if begin.t <= tick.t <= end.t]

    def rows(self, cell: str) -> Sequence[RequestRow]:
        """Return the requests that were sent in a cell, or to its neighbours, by its name."""
        return self._rows.get(cell, [])

    def processes(self, server: str) -> Sequence[records.ProbeRow]:
        """Return the samples of a server's processes."""
        return [row for row in self._app_lines(server) if isinstance(row, records.ProbeRow)]

    def runtime(self, server: str) -> Runtime:
        """Return what runs in a server's process, as it last said."""
        lines = [row for row in self._app_lines(server) if isinstance(row, records.Runtime)]
        try:
            return msgspec.convert(lines[-1].facts if lines else {}, Runtime)
        except ValueError:  # nothing that an app reports may cost the run
            return Runtime()

    def _app_lines(self, server: str) -> list[_ProcessLine]:
        if server not in self.app_lines:
            paths = (self.path / "probe").glob(f"{server}-*.jsonl")
            own = (path for path in paths if name_process(path)[0] == server)
            lines = chain.from_iterable(read_process_lines(path, self.origin) for path in own)
            self.app_lines[server] = list(lines)
        return self.app_lines[server]

    def other_cpu(self, cell: Cell) -> float | None:
        """Return the share of all cores in its window that neither app nor generator used."""
        if not (window := self.window(cell)):
            return None
        begin, end, ticks = window
        rows = self.processes(cell.server)
        rows = [row for row in rows if begin.t <= row.t + self.origin <= end.t]
        app_cpu, child_cpu = growth(rows, "cpu"), growth(rows, "kin_cpu")
        if app_cpu is None or begin.used is None or end.used is None or not ticks[1:]:
            return None
        generator = (ticks[-1].cpu - ticks[0].cpu) / (ticks[-1].t - ticks[0].t)
        ours = generator + app_cpu + (child_cpu or 0.0)
        used = (end.used - begin.used) / (end.t - begin.t)
        return max(0.0, used - ours) / (self.info.machine.cpus or 1)

    def observe(self, record: RouteRecord) -> RouteEvidence:
        """Return the evidence on a route so far."""
        servers = [cell.server for cell in self.info.plan.cells if cell.variant == record.route]
        return observe_route(self, record, self.runtime(servers[-1]) if servers else Runtime())
