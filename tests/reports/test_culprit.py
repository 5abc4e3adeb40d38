"""The guilty line, on stacks made up frame by frame."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reports.model import Report
from reports.report import build_report
from results.judgement.culprit import (
    Culprit,
    LoopHolds,
    display_path,
    merge_holds,
    read_holds,
    summarise_holds,
)
from results.records import Hold, decode_app_line
from targets.agent.stack_frames import GC_STACK

HOME = Path("/srv/shop")
SITE = "/venv/lib/python3.11/site-packages"
LIB = "/usr/lib/python3.11"

HANDLER = [f"{HOME}/main.py", 10, "search", "self.prices.fetch", True]
HELPER = [f"{HOME}/prices.py", 5, "Prices.fetch", "requests.get", True]
GET = [f"{SITE}/requests/api.py", 73, "get", "request", False]
RECV = [f"{LIB}/socket.py", 706, "SocketIO.readinto", "self._sock.recv_into", False]
RUN = [f"{SITE}/fastapi/routing.py", 300, "run_endpoint_function", "dependant.call", False]
APP = [
    f"{SITE}/fastapi/routing.py",
    400,
    "get_request_handler.<locals>.app",
    "serialize_response",
    False,
]
SERIALIZE = [f"{SITE}/fastapi/routing.py", 200, "serialize_response", "jsonable_encoder", False]
ENCODER = [f"{SITE}/fastapi/encoders.py", 300, "jsonable_encoder", "", False]
ERRORS = [
    f"{SITE}/starlette/middleware/errors.py",
    150,
    "ServerErrorMiddleware.__call__",
    "self.app",
    False,
]
MIDDLEWARE = [f"{HOME}/timing.py", 8, "Timing.__call__", "self.app", True]
OUTER = [MIDDLEWARE, ERRORS]


def row(
    start: float, *shares: Sequence[Any], place: str = "request", blind: float = 0.0
) -> list[Any]:
    """A line of the watchdog's log up to format 6, as long as the sum of its shares."""
    end = round(start + sum(weight for weight, _ in shares), 6)
    return ["hold", start, end, place, blind, list(shares)]


def decoded(raw: list[Any]) -> Hold:
    """The hold in such a line."""
    hold = decode_app_line(json.dumps(raw).encode())
    assert isinstance(hold, Hold)
    return hold


def line(start: float, *shares: Sequence[Any], **more: Any) -> Hold:
    """A hold, as long as the sum of its shares."""
    return decoded(row(start, *shares, **more))


def facts(*lines: Hold, windows: Sequence[tuple[float, float]] = ((0.0, 100.0),)) -> LoopHolds:
    """Summarise a few holds."""
    return summarise_holds(lines, windows, [HOME])


def only(*lines: Hold) -> Culprit:
    """The only culprit."""
    (blame,) = facts(*lines).culprits
    return blame


def test_the_innermost_line_of_the_users_is_guilty() -> None:
    """With the library below it, first and last, and the handler that led there."""
    blame = only(line(1, [0.05, [RECV, GET, HELPER, HANDLER, RUN, APP, *OUTER]]))
    assert (blame.file, blame.line, blame.function, blame.call) == (
        "prices.py",
        5,
        "Prices.fetch",
        "requests.get",
    )
    assert blame.library == "requests.get -> socket.recv_into"
    assert not blame.is_serialising


def test_a_line_of_its_own_has_no_library() -> None:
    """`time.sleep` in the handler itself."""
    assert only(line(1, [0.05, [HANDLER, RUN, APP]])).library == ""


@pytest.mark.parametrize(
    ("below", "library"),
    [
        (
            [[f"{LIB}/subprocess.py", 1, "Popen._try_wait", "os.waitpid", False]],
            "subprocess._try_wait -> os.waitpid",
        ),
        ([[f"{LIB}/re/__init__.py", 166, "match", "_compile(...).match", False]], "re.match"),
        ([[f"{LIB}/json/encoder.py", 258, "iterencode", "", False]], "json.iterencode"),
        ([["<frozen importlib._bootstrap>", 1, "_load", "", False]], "importlib._load"),
        ([[f"{SITE}/six.py", 1, "work", "go", False]], "six.work -> six.go"),
    ],
)
def test_a_library_is_named_as_one_would_look_it_up(below: list[Any], library: str) -> None:
    """Package and function, and what that calls."""
    assert library == only(line(1, [0.05, [*below, HANDLER, APP]])).library


def test_stacks_of_one_line_are_added_up() -> None:
    """Whatever lies below it; the library is that of the heaviest stack."""
    other = [f"{LIB}/ssl.py", 1, "SSLContext.load", "self.load_verify_locations", False]
    holds = facts(
        line(1, [0.03, [RECV, GET, HELPER, HANDLER]], [0.01, [other, GET, HELPER, HANDLER]]),
        line(2, [0.04, [HANDLER]]),
    )
    assert [
        (round(culprit.share, 6), culprit.file, culprit.holds) for culprit in holds.culprits
    ] == [
        (0.5, "prices.py", 1),
        (0.5, "main.py", 1),
    ]
    assert holds.culprits[0].library == "requests.get -> socket.recv_into"
    assert round(holds.seconds, 6) == 0.08


def test_holds_are_counted_and_measured() -> None:
    """Each as long as it was on that line."""
    blame = only(
        *(
            line(start, [seconds, [HANDLER, APP]])
            for start, seconds in ((1, 0.02), (2, 0.03), (3, 0.1))
        )
    )
    assert (blame.holds, blame.longest, blame.median) == (3, 0.1, 0.03)
    assert round(blame.hold_seconds, 6) == 0.15


def test_the_pieces_of_a_long_hold_are_one() -> None:
    """They touch; another hold that follows at once lies a microsecond later."""
    first = line(1.0, [0.5, [HANDLER]], blind=0.1)
    second = line(1.5, [0.2, [HANDLER]], blind=0.2)
    third = line(1.700001, [0.02, [HANDLER]])
    assert [(hold.start, hold.end) for hold in merge_holds([first, second, third])] == [
        (1.0, 1.7),
        (1.700001, 1.720001),
    ]
    blame = only(first, second, third)
    assert (blame.holds, round(blame.longest, 6)) == (2, 0.7)
    assert round(blame.blind, 3) == round(0.3 / 0.72, 3)


def test_no_line_is_blind_for_longer_than_its_holds() -> None:
    """A sample that lasts beyond its hold: the watchdog counts the whole of it as blind."""
    late, sound = line(1, [0.02, [HANDLER]], blind=0.1), line(2, [0.06, [HANDLER]], blind=0.01)
    assert only(late).blind == 1.0
    assert round(only(late, sound).blind, 6) == round(0.03 / 0.08, 6)


def test_time_of_nobody_is_kept_apart_and_dilutes_nothing() -> None:
    """Other threads and processes are no line of the app."""
    holds = facts(line(1, [0.03, []], [0.01, [HANDLER]]), line(2, [0.05, []], place="elsewhere"))
    assert (holds.culprits[0].share, holds.seconds, holds.unattributed) == (1.0, 0.01, 0.08)
    assert facts() == LoopHolds(0.0, 0.0, ())


def test_garbage_collections_are_kept_apart_and_are_no_lines_fault() -> None:
    """Neither a culprit nor unattributed; the agent and the reports use the same name."""
    holds = facts(
        line(1, (0.03, GC_STACK), [0.01, [HANDLER]]), line(2, (0.05, GC_STACK), [0.02, []])
    )
    assert (holds.gc_seconds, holds.seconds, holds.unattributed) == (0.08, 0.01, 0.02)
    assert [culprit.file for culprit in holds.culprits] == ["main.py"]


def test_a_task_of_the_apps_own_is_elsewhere() -> None:
    """By seconds, not by holds."""
    assert (
        only(
            line(1, [0.03, [HANDLER]], place="elsewhere"), line(2, [0.01, [HANDLER]])
        ).outside_requests
        == 0.75
    )


def test_holds_count_whose_middle_lies_in_a_window() -> None:
    """In any of them, and once; the watchdog may run in several levels."""
    lines = [line(start, [0.1, [HANDLER]]) for start in (6.0, 12.0, 20.0, 40.0)]
    for windows, holds in (([(5, 10)], 1), ([(5, 10), (15, 30)], 2), ([(5, 30), (5, 50)], 4)):
        assert facts(*lines, windows=windows).culprits[0].holds == holds
    assert facts(*lines, windows=[(0, 6.04)]).culprits == ()


def test_the_framework_that_makes_the_answer_is_blamed_as_such() -> None:
    """Not the middleware which awaits the app, though its line is the innermost of the user's."""
    blame = only(line(1, [0.05, [ENCODER, ENCODER, SERIALIZE, APP, *OUTER]]))
    assert (blame.file, blame.line, blame.call) == ("fastapi/routing.py", 200, "jsonable_encoder")
    assert blame.is_serialising
    assert blame.library == "fastapi.jsonable_encoder"


def test_other_work_of_the_framework_is_separated_from_end_to_end() -> None:
    """Such as reading a large body."""
    scan = [f"{LIB}/json/decoder.py", 353, "JSONDecoder.raw_decode", "self.scan_once", False]
    blame = only(line(1, [0.05, [scan, APP, *OUTER]]))
    assert (blame.file, blame.is_serialising) == (f"{LIB}/json/decoder.py", False)
    assert blame.library == "fastapi.app -> json.scan_once"


def test_a_middleware_that_holds_the_loop_itself_is_guilty() -> None:
    """And so is a dependency, and what the user adds to an answer."""
    own = [*MIDDLEWARE[:1], 6, "Timing.__call__", "time.sleep", True]
    assert only(line(1, [0.05, [own, ERRORS]])).line == 6
    field = [f"{HOME}/models.py", 3, "Item.total", "slow", True]
    assert only(line(1, [0.05, [field, SERIALIZE, APP, *OUTER]])).file == "models.py"


def test_all_processes_of_a_session_are_read(tmp_path: Path) -> None:
    """And of no other session, since the run's start; a line cut off by a kill is dropped."""
    for name, starts in (
        ("route-1-7", [1.0]),
        ("route-1-8", [3.0]),
        ("route-1-watch-9", [4.0]),
        ("route-11-9", [5.0]),
    ):
        whole = "".join(json.dumps(row(start, [0.1, [HANDLER]])) + "\n" for start in starts)
        (tmp_path / f"{name}.jsonl").write_text(whole + '["hold", 2')
    assert [hold.start for hold in read_holds(tmp_path, "route-1", 0.5)] == [0.5, 2.5]
    assert [hold.start for hold in read_holds(tmp_path, "route-1-watch", 0.0)] == [4.0]


def test_files_are_named_as_their_reader_knows_them() -> None:
    """Below the app's folder, or among the packages."""
    assert [
        display_path(file, [Path("/srv")])
        for file in ("/srv/shop/a.py", f"{SITE}/requests/api.py", "/etc/x.py")
    ] == [
        "shop/a.py",
        "requests/api.py",
        "/etc/x.py",
    ]


def test_a_weight_that_rounding_took_away_says_nothing() -> None:
    """The watchdog writes microseconds: a shorter sample is 0.0, alone or beside others."""
    none, half = [0.0, [HANDLER]], [0.05, [HELPER]]
    assert facts(line(1, none)) == LoopHolds(0.0, 0.0, ())
    assert facts(line(1, none, half)) == facts(line(1, half))
    assert facts(line(1, [0.0, [list(GC_STACK[0])]], [0.0, []])) == LoopHolds(0.0, 0.0, ())
    assert only(decoded(["hold", 1.0, 1.0, "request", 0.0, [half]])).blind == 0.0


def test_a_run_with_such_a_line_is_reported(tmp_path: Path, example: Report) -> None:
    """The stored examination with an extra line of weight 0 per watched route: same findings."""
    path = tmp_path / "run"
    shutil.copytree(example.path, path, ignore=shutil.ignore_patterns("report"))
    origin = json.loads((path / "run.json").read_text(encoding="utf-8"))["origin"]
    loads = pd.read_parquet(path / "load.parquet")
    opened = loads[(loads["mark"] == "open") & loads.cell.str.endswith(" watched")]
    files = sorted((path / "holds").glob("*.jsonl"))  # one of each process that was watched
    assert len(opened) >= len(files) > 0
    for file in files:
        for moment in opened.t + origin + 0.1:
            with file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(row(round(moment, 6), [0.0, [HANDLER]])) + "\n")
    findings = [
        (finding.route.route, finding.verdict, finding.sentence)
        for finding in build_report(path).findings
    ]
    assert findings == [
        (finding.route.route, finding.verdict, finding.sentence) for finding in example.findings
    ]
