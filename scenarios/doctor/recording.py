"""What a run in progress has recorded of one route: its spools, as the judgement reads them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from results import records
from results.judgement.culprit import read_holds, source_roots
from results.judgement.model import RouteEvidence
from results.judgement.observe import RequestRow, growth, idle_loop_holds, observe_route
from results.run_info import RouteRecord, Runtime
from results.schema import Cell, Phase
from results.spool import read_spool
from results.spool_tables import build_sample
from results.store import RunWriter

IDLE_SESSION = "idle"  # of the neighbours at rest
_NO_TRACE = records.Trace("")
_ProcessLine = records.ProbeRow | records.Runtime | records.Trace


class SpoolRecording:
    """The spools at one moment; what is read is kept, so a later moment takes a new one."""

    def __init__(self, run: RunWriter, session: str) -> None:
        self.run, self.session, self.origin = run, session, run.info.origin
        self.app_lines: dict[str, list[_ProcessLine]] = {}  # by server

    @property
    def cells(self) -> Sequence[Cell]:
        """Return the planned cells, in order."""
        return self.run.info.plan.cells

    def _spools(self, table: str) -> Iterator[Path]:
        for session in dict.fromkeys((IDLE_SESSION, self.session)):
            yield from sorted((self.run.path / table).glob(f"{session}-*.jsonl"))

    @cached_property
    def _load(self) -> Mapping[str, list[records.Mark | records.Tick]]:
        lines: defaultdict[str, list[records.Mark | records.Tick]] = defaultdict(list)
        for path in self._spools("load"):
            for line in read_spool(path, records.decode_load_line):
                lines[line.cell].append(line)
        return lines

    @cached_property
    def _samples(self) -> Mapping[str, list[records.Sample]]:
        samples: defaultdict[str, list[records.Sample]] = defaultdict(list)
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
                    trace = self._traces.get(f"{path.stem}-{seq}", _NO_TRACE)
                    sample = build_sample(path.stem, start, ends[seq], trace, self.origin)
                    samples[start.cell].append(sample)
        return samples

    @cached_property
    def _traces(self) -> Mapping[str, records.Trace]:
        servers = {cell.server for cell in self.cells if cell.name in self._load}
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

    def requests(self, cell: Cell) -> Sequence[RequestRow]:
        """Return the cell's own requests that were sent."""
        return _rows(self._samples.get(cell.name, []))

    def pings(self, cell: Cell, kind: str) -> Sequence[RequestRow]:
        """Return those of one of its neighbours."""
        routes = {ping.route for ping in cell.neighbours if ping.kind == kind}
        samples = self._samples.get(cell.neighbour_cell_name, [])
        return _rows([sample for sample in samples if sample.route in routes])

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
            self.app_lines[server] = list(self._read_app_lines(server))
        return self.app_lines[server]

    def _read_app_lines(self, server: str) -> Iterator[_ProcessLine]:
        for path in (self.run.path / "probe").glob(f"{server}-*.jsonl"):
            name, _, pid = path.stem.removesuffix(".system").rpartition("-")
            for line in read_spool(path, records.decode_app_line) if name == server else ():
                if isinstance(line, records.Runtime | records.Trace):
                    yield line
                elif isinstance(line, records.ProcessSample):
                    state = {**msgspec.structs.asdict(line), "t": line.t - self.origin}
                    yield records.ProbeRow(variant=server, pid=int(pid), **state)

    def holds(self, server: str) -> Sequence[records.Hold]:
        """Return what the watchdog saw hold its loop, in seconds since the run's start."""
        return read_holds(self.run.path / "holds", server, self.origin)

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
        return max(0.0, used - ours) / (self.run.info.machine.cpus or 1)

    def observe(self, record: RouteRecord) -> RouteEvidence:
        """Return the evidence on a route so far."""
        info, roots = self.run.info, source_roots(self.run.info.app)
        servers = [cell.server for cell in self.cells if cell.variant == record.route]
        runtime = self.runtime(servers[-1]) if servers else Runtime()
        idle_holds = idle_loop_holds(self, info.idle_span, roots)[0]
        return observe_route(
            self,
            record,
            roots=roots,
            idle_hold_places=frozenset(culprit.location for culprit in idle_holds.culprits),
            workers=max(1, info.workers),
            thread_tokens=runtime.thread_limit,
            executor_size=runtime.executor_limit,
            has_agent=not info.host,
        )


def _rows(samples: Sequence[records.Sample]) -> list[RequestRow]:
    return [
        RequestRow(
            *(sample.intended, sample.done, sample.status, sample.error, sample.bytes),
            *(sample.app_start, sample.app_end, sample.censored),
        )
        for sample in samples
        if sample.sent is not None and sample.done is not None
    ]
