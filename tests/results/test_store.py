"""Spools, sealing and reading: nothing measured is lost, nothing foreign is accepted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reports.metrics.run_data import load_run
from results.errors import AtonceError, ExitCode
from results.listing import find_run
from results.records import Done, GivenUp, decode_app_line, decode_request_line
from results.run_info import RunInfo
from results.schema import FORMAT_VERSION, Cell, Phase, Status
from results.spool import SpoolReader
from results.store import RunWriter, read_run, write_atomic
from scenarios.generator import recorder as recorder_module
from scenarios.generator.job import Job
from scenarios.generator.recorder import Recorder, SampleKey
from scenarios.plans.model import quick_plan


def seal(path: Path, origin: float) -> None:
    """Close a run whose clock started at `origin`."""
    run = RunWriter(path, "reproduce")
    run.open(RunInfo())
    run.info.origin = origin
    run.close(Status.COMPLETE)


CELL = quick_plan(0.1).cells[0].to_dict()
PLACE = SampleKey(
    Cell.from_dict({**CELL, "name": "crowd/async/1", "route": "GET /async", "variant": "async"}),
    Phase.STEADY,
    0,
)


def test_a_half_written_last_line_is_left_out(tmp_path: Path) -> None:
    """What a crash leaves."""
    file = tmp_path / "x.jsonl"
    file.write_text(
        '["given-up", 1, 1]\n{}\n5\n["done"]\nnonsense\n["given-up", 1, 2.0]\n["se',
        encoding="utf-8",
    )
    reader = SpoolReader()
    assert list(reader.read(file, decode_request_line)) == [GivenUp(1, 1.0), GivenUp(1, 2.0)]
    assert reader.unreadable == 5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["frozen", 1.0, 2.0], {"kind": "frozen", "begin": 1.0, "end": 2.0}),
        (["sample", 1.0, 0.5, 3], {"kind": "sample", "t": 1.0, "loop_lag": 0.5, "threads_busy": 3}),
        (["visit", "w-1", 1.0], {"kind": "visit", "request": "w-1", "app_start": 1.0}),
        (
            ["runtime", 1.0, {"thread_tokens": float("inf")}],
            {"kind": "runtime", "t": 1.0, "facts": {"thread_tokens": float("inf")}},
        ),
        (
            ["hold", 1.0, 1.5, "request", 0.1, [[0.4, [["a.py", 7, "f", "g", True]]], [0.1, []]]],
            {
                "kind": "hold",
                "start": 1.0,
                "end": 1.5,
                "context": "request",
                "blind": 0.1,
                "stacks": [
                    {
                        "seconds": 0.4,
                        "frames": [
                            {
                                "file": "a.py",
                                "line": 7,
                                "function": "f",
                                "call": "g",
                                "is_user_code": True,
                            }
                        ],
                    },
                    {"seconds": 0.1, "frames": []},
                ],
            },
        ),
    ],
)
def test_a_line_of_an_app_is_read_in_both_formats(old: list[object], new: object) -> None:
    """Format 7 names the fields that formats up to 6 had in this order."""
    assert decode_app_line(json.dumps(old).encode()) == decode_app_line(json.dumps(new).encode())


@pytest.mark.parametrize(
    "text",
    ["", "[]", "5", "{}", '["sent", 1]', '["hold", 1.0]', '{"kind": "x"}', '["hold", 1', "null"],
)
def test_what_is_no_line_of_an_app_is_left_out(text: str) -> None:
    """Each is counted by the reader as it counts a half one."""
    with pytest.raises(ValueError, match=r"."):
        decode_app_line(text.encode())


def test_every_planned_request_becomes_a_row(tmp_path: Path) -> None:
    """Answered, failed, given up, never sent, or in flight at the worker's death: five rows."""
    recorder = Recorder(tmp_path, "async")
    answered, wrong, lost, open_ = (recorder.start_request(PLACE, 10.0 + i, None) for i in range(4))
    done = recorder.finish_request(answered) or 0
    recorder.samples.write(Done(answered.seq, done, 200, None, 14, 11.0, 11.1, 11.2, None, 5000))
    done = recorder.finish_request(wrong) or 0
    recorder.samples.write(Done(wrong.seq, done, 500, "status 500", 5, *[None] * 5))
    recorder.abandon(lost)
    recorder.record_unsent(PLACE, 14.0, "no connection was free")
    recorder.close()
    seal(tmp_path, 10.0)
    rows = pq.read_table(tmp_path / "samples.parquet").to_pandas().set_index("seq")
    assert list(rows.index) == [0, 1, 2, 3, 4]
    assert list(rows.censored) == [False, False, True, True, False]
    assert list(rows.sent.notna()) == [True, True, True, True, False]
    assert rows.error[1] == "status 500"
    assert rows.error[4] == "no connection was free"
    assert pytest.approx((rows.app_start[0], rows.handler_end[0])) == (1.0, 1.2)
    assert list(rows.intended) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert rows.done[2] > rows.done[1]  # the moment of giving up
    assert rows.done[3] == rows.done[2]  # this worker's last sign of life
    assert open_.seq in recorder.in_flight


def test_a_connection_that_nobody_took_was_never_sent(tmp_path: Path) -> None:
    """The target counted nothing, so neither do we; the reason stays."""
    recorder = Recorder(tmp_path, "async")
    ticket = recorder.start_request(PLACE, 0.0, None)
    done = recorder.finish_request(ticket) or 0
    error = "ConnectionRefusedError"
    recorder.samples.write(Done(ticket.seq, done, None, error, 0, *[None] * 5))
    recorder.close()
    seal(tmp_path, 0.0)
    (row,) = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert (row["sent"], row["error"], row["censored"]) == (None, "ConnectionRefusedError", False)


def test_a_request_given_up_stays_given_up(tmp_path: Path) -> None:
    """A late answer does not turn a lower bound into a latency."""
    recorder = Recorder(tmp_path, "async")
    ticket = recorder.start_request(PLACE, 0.0, None)
    recorder.abandon(ticket)
    assert recorder.finish_request(ticket) is None
    assert recorder.gauges[PLACE.cell.name].in_flight == 0
    recorder.close()


@pytest.mark.parametrize("departure", [None, 3.5])
def test_the_probes_trace_log_fills_in_what_the_header_could_not_carry(
    departure: float | None,
    tmp_path: Path,
) -> None:
    """The departure, better than the header's; all of unanswered requests. The last line counts."""
    recorder = Recorder(tmp_path, "async")
    answered, lost = (
        recorder.start_request(PLACE, 0.0, None),
        recorder.start_request(PLACE, 0.0, None),
    )
    done = recorder.finish_request(answered) or 0
    recorder.samples.write(Done(answered.seq, done, 200, None, 1, 1.0, 2.0, 3.0, departure, 7))
    recorder.abandon(lost)
    recorder.close()
    (tmp_path / "probe").mkdir()
    lines = [
        ["visit", "async-1", 5.0, None, None, None, 8],
        ["visit", "async-0", 1.0, 2.0, 3.0, 4.0, 7],
        ["visit", "async-1", 5.0, 6.0, None, None, 8],
    ]
    (tmp_path / "probe" / "async-1.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    seal(tmp_path, 0.0)
    rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert rows[0]["app_end"] == 4.0
    assert tuple(
        rows[1][name] for name in ("app_start", "handler_start", "handler_end", "peer")
    ) == (5.0, 6.0, None, 8)


def test_sealing_removes_the_spools_only_when_all_is_written(tmp_path: Path) -> None:
    """Parquet stands before the spool goes."""
    recorder = Recorder(tmp_path, "async")
    recorder.start_request(PLACE, 0.0, None)
    recorder.close()
    seal(tmp_path, 0.0)
    assert {"run.json", "samples.parquet", "load.parquet", "probe.parquet"} == {
        file.name for file in tmp_path.iterdir()
    }


def test_a_run_that_was_never_closed_is_read_as_often_as_one_likes(tmp_path: Path) -> None:
    """The driver died, or is still at work: reading takes what is there, and changes nothing."""
    run = RunWriter.create(tmp_path, "reproduce")
    run.open(RunInfo(seed=1, loop="asyncio", connections="open", workers=1))
    recorder = Recorder(run.path, "async")
    recorder.start_request(PLACE, 0.0, None)
    recorder.close()
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for _ in range(2):
        evidence = load_run(run.path)
        assert evidence.run.status == "running"
        assert list(evidence.samples.censored) == [True]
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}


def test_a_relative_folder_means_where_the_command_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The children work elsewhere, so the run knows its place absolutely."""
    monkeypatch.chdir(tmp_path)
    run = RunWriter.create(Path("rel"), "reproduce")
    assert run.path.is_absolute()
    assert run.path.parent == tmp_path / "rel"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not a run of atonce"),
        ("{", "not a run of atonce"),
        ("[]", "not a run of atonce"),
        ('{"run": "x"}', "not a run of atonce"),
        (json.dumps({"format": FORMAT_VERSION + 1}), "Upgrade atonce"),
    ],
)
def test_what_is_not_a_run_is_a_sentence(tmp_path: Path, content: str | None, words: str) -> None:
    """Not a folder of ours, cut in half, or from the future: exit code 2, no traceback."""
    if content is not None:
        (tmp_path / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(AtonceError, match=words) as caught:
        read_run(tmp_path)
    assert caught.value.code == ExitCode.USAGE


ARRIVALS = {"law": "poisson", "profile": [[1, 1, 1]], "pool": "warm", "warm": 1, "cap": 9}


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda run: (run / "load.parquet").unlink(), "load.parquet is missing"),
        (
            lambda run: (run / "samples.parquet").write_bytes(b"PAR1 half of it"),
            "samples.parquet is missing, damaged",
        ),
        (
            lambda run: (run / "probe.parquet").write_bytes((run / "load.parquet").read_bytes()),
            "lacks columns",
        ),
        (lambda run: edit(run, "seed", None), "lacks seed"),
        (lambda run: edit(run, "plan", {"cells": [{}]}), r"plan\.cells"),
        (lambda run: edit(run, "format", "two"), "its format is 'two'"),
        (lambda run: edit(run, "status", "banana"), "status"),
        (lambda run: edit(run, "packages", []), "packages"),
        (lambda run: edit(run, "machine", 3), "machine"),
        (lambda run: edit(run, "troubles", 5), "troubles"),
        (lambda run: edit(run, "started", 7), "started"),
        (lambda run: edit(run, "seconds", "x"), "seconds"),
        (lambda run: edit_cell(run, "window", "a"), "window"),
        (lambda run: edit_cell(run, "users", -3), "users"),
        (lambda run: edit_cell(run, "users", "x"), "users"),
        (lambda run: edit_cell(run, "route", 3), "route"),
        (lambda run: edit_cell(run, "scenario", "stampede"), "scenario"),
        (lambda run: edit_cell(run, "share", "x"), "share"),
        (lambda run: edit_cell(run, "warm_up", float("inf")), "warm_up"),
        (lambda run: edit_cell(run, "arrivals", {**ARRIVALS, "profile": []}), "profile"),
        (lambda run: edit_cell(run, "arrivals", {**ARRIVALS, "profile": [[1, -1, 1]]}), "profile"),
        (lambda run: edit_cell(run, "arrivals", {**ARRIVALS, "cap": "x"}), "cap"),
        (
            lambda run: edit(run, "plan", {"seconds": 0.1, "notes": [], "cells": [CELL, CELL]}),
            "twice",
        ),
        (lambda run: [edit(run, "status", "running"), edit(run, "origin", None)], "lacks origin"),
        (lambda run: edit(run, "status", None), "lacks status"),
        (lambda run: edit(run, "routes", 5), "routes"),
        (lambda run: edit(run, "routes", [None]), "routes"),
        (lambda run: edit(run, "machine", {"cpus": -4}), "cpus"),
        (lambda run: edit_cell(run, "users", 10**30), "users"),
        (lambda run: edit(run, "format", -1), "its format is -1"),
        (lambda run: (run / "run.json").write_text("[" * 200_000), "no readable run.json"),
    ],
)
def test_a_damaged_run_is_a_sentence(
    tmp_path: Path, honest_run: Path, harm: Callable[[Path], object], words: str
) -> None:
    """Files missing, cut or edited: what is wrong and what to do, exit code 2, no traceback."""
    run = tmp_path / "run"
    shutil.copytree(honest_run, run)
    harm(run)
    with pytest.raises(AtonceError, match=words) as caught:
        load_run(run)
    assert caught.value.code == ExitCode.USAGE


def edit_cell(run: Path, name: str, value: object) -> None:
    """Change one fact of the plan's first cell."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts["plan"]["cells"][0][name] = value
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")


def edit(run: Path, name: str, value: object) -> Path:
    """Change one fact of run.json; None takes it away."""
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    facts.pop(name)
    facts.update({name: value} if value is not None else {})
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return run


def test_the_newest_run_is_never_the_example(tmp_path: Path) -> None:
    """Newest by the time in the name."""
    for name in ("20260101T000000Z-a", "20260301T000000Z-b", "example"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}", encoding="utf-8")
    assert find_run(tmp_path, None).name == "20260301T000000Z-b"
    with pytest.raises(AtonceError, match="atonce reproduce"):
        find_run(tmp_path / "example", None)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """A file stands where the folder should."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AtonceError, match="--out"):
        RunWriter.create(tmp_path / "file", "reproduce")


def test_cells_and_scripts_survive_json() -> None:
    """What the driver writes is what the load engine runs."""
    cells = tuple(quick_plan(0.1).cells)
    assert cells == tuple(Cell.from_dict(json.loads(json.dumps(cell.to_dict()))) for cell in cells)
    script = Job(Path("/r"), "async", 1, cells, ("a", "b"), 2.5)
    assert script == Job.from_json(script.to_json())


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up in the middle of a page: the page before is still there, whole."""

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    page = tmp_path / "index.html"
    write_atomic(page, b"the old page")
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space"):
        write_atomic(page, b"the new page")
    assert page.read_text(encoding="utf-8") == "the old page"


def test_the_gauge_adds_up_request_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 request for 2 s, 2 for 3 s, 1 for 1 s and still out: 2 + 6 + 1 request-seconds."""
    now = 100.0
    monkeypatch.setattr(recorder_module, "clock", lambda: now)
    gauge = recorder_module.Gauge(since=now)
    for change, lasts in ((+1, 2.0), (+1, 3.0), (-1, 1.0)):
        gauge.step(change)
        now += lasts
    assert (gauge.read(), gauge.in_flight) == (9.0, 1)


def test_what_an_older_format_did_not_tell_is_unknown() -> None:
    """The stored example, of format 4, lacks the columns that came with 5."""
    probe = load_run(Path(__file__).parents[2] / "results" / "example").probe
    assert probe.loop_cpu.isna().all()
    assert probe.cpu.notna().all()


def test_an_unsealed_run_of_a_format_with_other_lines_is_refused(
    tmp_path: Path, honest_run: Path
) -> None:
    """Formats 1 and 2 wrote three moments of a request; later unsealed ones are read."""
    run = tmp_path / "run"
    shutil.copytree(honest_run, run)
    edit(edit(run, "status", "running"), "format", 2)
    with pytest.raises(AtonceError, match="never closed, and its format is 2") as caught:
        load_run(run)
    assert caught.value.code == ExitCode.USAGE
    assert load_run(edit(run, "format", 3)).samples.empty
