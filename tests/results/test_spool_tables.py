"""A run is sealed part by part: same rows, same order, in memory that does not grow with them."""

import json
import math
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from reports.metrics.run_data import load_run
from results import spool_tables
from results.records import (
    Done,
    GivenUp,
    LoadRow,
    Sample,
    Sent,
    Trace,
    Unsent,
    decode_app_line,
    decode_request_line,
)
from results.run_info import RunInfo
from results.schema import Status
from results.spool import read_spool
from results.spool_tables import RequestLineStore, build_sample
from results.store import RunWriter, to_arrow_table, write_table

ORIGIN = 1000.0


def plant(path: Path, count: int) -> RunWriter:
    """Spools of two workers with every fate of a request, and of a probe that saw part of them."""
    run = RunWriter(path, "run")
    path.mkdir()
    run.open(RunInfo(seed=1, loop="x", connections="x", schedule="x", workers=2))
    run.info.origin = ORIGIN
    run.write_info()
    rng = random.Random(1)  # noqa: S311 - repeatable
    spools: dict[str, list[Any]] = {
        "probe/x-7": [["runtime", 1.0, {"loop": "asyncio"}], ["visit", "somebody else's", 1.0]]
    }
    spools["load/w-0"] = [["mark", "c", "go", ORIGIN, 0, 0.0], ["mark", "c", "broken"]]
    for worker in ("w-0", "w-1"):
        lines = spools.setdefault(f"samples/{worker}", [])
        for seq in range(count):
            begun, fate = ORIGIN + seq / 100, rng.randrange(10)
            place = [seq, "c", "steady", "GET /ü", "x", seq % 8]
            if fate == 0:
                lines.append((begun, ["unsent", *place, begun, "the cap was reached"]))
                continue
            lines.append((begun, ["sent", *place, begun - 0.001, begun]))
            done, moments = begun + rng.expovariate(2), [begun + 0.01, begun + 0.02, None, None]
            failed: dict[int, list[Any]] = {
                1: [500, "status 500", 1],
                2: [None, "ConnectionRefusedError", 0],
            }
            end = [*failed[fate], *[None] * 5] if fate in failed else [200, None, 5, *moments, 4000]
            if fate != 4:  # in flight when its worker died
                lines.append(
                    (done, ["given-up", seq, done] if fate == 3 else ["done", seq, done, *end])
                )
            if fate in {3, 4, 5}:
                spools["probe/x-7"] += [
                    ["visit", f"{worker}-{seq}", begun, None, None, None, 7],
                    ["visit", f"{worker}-{seq}", *moments[:3], done, 7],
                ]
        spools[f"samples/{worker}"] = [
            line for _, line in sorted(lines, key=lambda entry: entry[0])
        ]
    spools["samples/w-1"] += [
        ["done", "x", 1.0, 2.0],
        ["sent", count, "c", "no phase"],
        ["given-up", count + 1, 1.0],
    ]
    for name, rows in spools.items():
        (path / name).parent.mkdir(exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (path / f"{name}.jsonl").write_text(text + '["sent", 1', encoding="utf-8")
    return run


def at_once(path: Path) -> pd.DataFrame:
    """The rows as they were made before: every line of the run in memory."""
    traces = {
        line.request: line
        for file in (path / "probe").iterdir()
        for line in read_spool(file, decode_app_line)
        if isinstance(line, Trace)
    }
    rows = []
    for file in sorted((path / "samples").iterdir()):
        starts: dict[int, Sent | Unsent] = {}
        ends: dict[int, Done | GivenUp] = {}
        last = 0.0
        for line in read_spool(file, decode_request_line):
            if isinstance(line, Sent | Unsent):
                starts[line.seq] = line
            else:
                ends[line.seq] = line
            if not isinstance(line, Unsent):
                last = max(last, line.sent if isinstance(line, Sent) else line.done)
        for seq, start in starts.items():
            end = ends.get(seq, GivenUp(seq, last))
            trace = traces.get(f"{file.stem}-{seq}", Trace(""))
            rows.append(build_sample(file.stem, start, end, trace, ORIGIN))
    frame: pd.DataFrame = to_arrow_table(Sample, rows).to_pandas()
    return frame


def test_the_rows_are_those_of_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, types and order; what cannot be read is counted, and only once."""
    monkeypatch.setattr(spool_tables, "BATCH_ROWS", 7)
    run = plant(tmp_path / "run", 100)
    expected = at_once(run.path)
    assert expected.censored.sum() > 10
    run.close(Status.COMPLETE)
    file = pq.ParquetFile(run.path / "samples.parquet")
    assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) == 7
    pd.testing.assert_frame_equal(expected, file.read().to_pandas())
    assert run.info.troubles == ["6 lines of the spools could not be read and are left out."]


def test_a_run_that_was_never_sealed_reads_as_the_sealed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report of a dead driver's run, from its spools."""
    monkeypatch.setattr(spool_tables, "BATCH_ROWS", 7)
    run = plant(tmp_path / "run", 100)
    before = load_run(run.path)
    run.close(Status.COMPLETE)
    after = load_run(run.path)
    assert before.run.troubles == after.run.troubles
    for name in ("samples", "load", "probe"):
        pd.testing.assert_frame_equal(getattr(before, name), getattr(after, name))


def peak_of_sealing(path: Path, count: int) -> int:
    """Peak bytes of Python memory while it seals so many requests."""
    run = plant(path, count)
    tracemalloc.start()
    try:
        run.close(Status.COMPLETE)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times as many requests, about the same memory: it is a part's."""
    monkeypatch.setattr(spool_tables, "BATCH_ROWS", 200, raising=False)
    peak_of_sealing(tmp_path / "first", 400)  # what is imported then stays
    few, many = (peak_of_sealing(tmp_path / str(count), count) for count in (800, 4000))
    assert many < 1.3 * few


def test_a_table_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    """Neither the file nor its draft; the next reader finds the spools."""

    def parts() -> Any:
        tick: dict[str, Any] = {"lateness": 0.0, "cpu": 0.0, "mark": None}
        yield [LoadRow(worker="w", kind="tick", cell="c", t=1.0, in_flight=0, area=0.0, **tick)]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_table(tmp_path / "load.parquet", LoadRow, parts())
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_for_temporary_files_is_an_os_error() -> None:
    """The driver has a sentence for those."""
    aside = RequestLineStore[GivenUp | Done](Done)
    aside.file.execute("PRAGMA max_page_count = 20")

    def fill() -> None:
        for seq in range(10_000):
            aside.put("w-0", seq, Done(seq, 1.0, None, "x" * 50, *[None] * 6))

    with pytest.raises(OSError, match="full, in the folder for temporary files"):
        fill()
    aside.close()


@pytest.mark.parametrize(
    ("facts", "limits", "unreadable"),
    [
        ({"thread_tokens": 40, "executor_size": 6}, (40, 6), 0),
        ({"thread_tokens": math.inf, "executor_size": 1.5}, (None, 2), 0),
        ({"executor_size": "many"}, (None, None), 1),
    ],
)
def test_nothing_that_an_app_reports_costs_the_run(
    tmp_path: Path, facts: dict[str, Any], limits: tuple[int | None, int | None], unreadable: int
) -> None:
    """An app may lift the limit of its threads, or size a pool by a fraction."""
    (tmp_path / "probe").mkdir()
    line = json.dumps({"kind": "runtime", "t": 1.0, "facts": facts})
    (tmp_path / "probe" / "idle-7.jsonl").write_text(line + "\n")
    spools = spool_tables.RunSpools(tmp_path, 0.0)
    runtime = RunInfo(targets=spools.targets).runtime("idle")
    assert (runtime.thread_limit, runtime.executor_limit) == limits
    assert spools.reader.unreadable == unreadable


def test_the_lines_of_older_runs_keep_their_places() -> None:
    """Word for word as earlier builds wrote them, so that their unsealed runs are read alike."""
    sent = decode_request_line(b'["sent", 7, "crowd/x/1", "steady", "GET /x", "x", 3, 1.5, 1.25]')
    assert isinstance(sent, Sent)
    assert (sent.seq, sent.connection, sent.intended, sent.sent) == (7, 3, 1.5, 1.25)
    done = decode_request_line(b'["done", 7, 2.0, 200, null, 12, 1.1, 1.2, 1.3, 1.4, 5000]')
    assert isinstance(done, Done)
    assert (done.done, done.status, done.size) == (2.0, 200, 12)
    assert (done.app_start, done.handler_end, done.app_end, done.peer) == (1.1, 1.3, 1.4, 5000)
