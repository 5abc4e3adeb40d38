"""The product's claim: the README's command, once, on this machine, within wide bounds."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest

from reports.report import build_report
from results.schema import Phase, Status
from results.store import read_run
from tests.reports.test_report import SCHEMA
from tests.support.processes import MARK, gone_within, new_mark
from tests.support.trust_tolerances import unsound

pytestmark = [pytest.mark.slow, pytest.mark.alone]
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Reproduction:
    """What the command left behind."""

    code: int
    seconds: float
    summary: dict[str, Any]
    said: str
    folder: Path
    left: list[str]

    def route(self, variant: str) -> dict[str, Any]:
        """One variant's entry."""
        entry: dict[str, Any] = next(
            route for route in self.summary["routes"] if route["variant"] == variant
        )
        return entry


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Reproduction:
    """`atonce reproduce`, with its JSON."""
    root, mark = tmp_path_factory.mktemp("runs"), new_mark()
    atonce = Path(sys.executable).parent / "atonce"
    began = time.perf_counter()
    shown = subprocess.run(
        [str(atonce), "reproduce", "--out", "relative", "--json"],
        cwd=root,
        env={**os.environ, MARK: mark},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    took = time.perf_counter() - began
    return Reproduction(
        shown.returncode,
        took,
        json.loads(shown.stdout),
        shown.stderr,
        next((root / "relative").iterdir()),
        gone_within(mark),
    )


def is_spoilt(done: Reproduction) -> bool:
    """Whether the run says of itself that the machine disturbed it."""
    return bool(done.summary["trust"]["verdict"] == "untrusted")


def test_it_ends_well_within_two_minutes_and_leaves_nothing(done: Reproduction) -> None:
    """Exit 0, silent but for JSON, no process left; disturbance shows in code and verdict alike."""
    assert unsound(build_report(done.folder)) == set()
    assert (done.code, done.said) == (3 if is_spoilt(done) else 0, "")
    assert done.left == []
    # 120 s is the goal; a busy machine may take longer to start ten processes
    assert done.seconds < 240


def test_the_summary_is_what_the_schema_promises(done: Reproduction) -> None:
    """The printed document and the stored one."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(done.summary, schema)
    stored = json.loads((done.folder / "report" / "summary.json").read_text(encoding="utf-8"))
    printed = {**done.summary}
    assert Path(printed.pop("path")) == done.folder
    assert printed.pop("exit_code") == done.code
    assert stored == printed


@pytest.mark.parametrize(
    ("variant", "low", "high"),
    [("broken-async", 0.8, 1.3), ("to-thread", 4.5, 7.5), ("sync", 30, 48), ("async", 49, 80)],
)
def test_each_variant_serves_what_its_mechanism_allows(
    done: Reproduction, variant: str, low: float, high: float
) -> None:
    """1, 6 on two cores, 40, all; half or double of it where the machine disturbed the run."""
    places = min(32, (os.cpu_count() or 1) + 4)
    scale, slack = places / 6 if variant == "to-thread" else 1, 2 if is_spoilt(done) else 1
    assert low * scale / slack <= done.route(variant)["served_at_once"] <= high * scale * slack


def test_the_claims_stand(done: Reproduction) -> None:
    """All seven tested, none refuted; in an untrusted run all are untested."""
    assert {claim["verdict"] for claim in done.summary["claims"]} == (
        {"untested"} if is_spoilt(done) else {"confirmed", "nuanced"}
    )
    assert len(done.summary["claims"]) == 7


def test_littles_law_holds_in_every_crowd(done: Reproduction) -> None:
    """The rows and the counter agree within 1 %."""
    for route in done.summary["routes"]:
        for level in route["levels"]:
            assert abs(level["little_identity"]) <= 0.01


def test_the_neighbours_tell_who_holds_what(done: Reproduction) -> None:
    """A held loop slows both; full threads slow only the `def` one; no other variant holds any."""
    broken, sync = done.route("broken-async")["neighbours"], done.route("sync")["neighbours"]
    assert broken["async"]["loaded_p90_s"] > 5 * broken["async"]["idle_p90_s"]
    assert sync["def"]["loaded_p90_s"] > 3 * sync["def"]["idle_p90_s"]
    for variant in ("async", "to-thread", "sync"):
        beside = done.route(variant)["neighbours"]["async"]
        assert beside["loaded_p90_s"] < 0.5 * broken["async"]["loaded_p90_s"]


def test_the_page_is_small_and_whole(done: Reproduction) -> None:
    """600 KB at most, five charts, SVG and PNG beside it."""
    page = (done.folder / "report" / "index.html").read_text(encoding="utf-8")
    assert len(page.encode()) <= 600_000
    assert page.count("<svg ") == 5
    assert len(list((done.folder / "report" / "charts").iterdir())) == 10


def test_every_request_is_a_row_with_all_its_moments_in_order(done: Reproduction) -> None:
    """As many rows as Locust counts, on warmed connections, from the cores and pools meant."""
    rows = pd.read_parquet(done.folder / "samples.parquet")
    measured = rows[rows.phase != Phase.CONNECT]
    tables = re.findall(
        r"^ *Aggregated +(\d+) +\d+\(",
        (done.folder / "log.txt").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert (len(tables), sum(map(int, tables))) == (4, measured.done.notna().sum())
    pressed = measured[measured.cell.str.match("crowd|burst")]
    moments = pressed[
        ["intended", "sent", "app_start", "handler_start", "handler_end", "app_end"]
    ].to_numpy()
    assert (moments[:, 1:] >= moments[:, :-1]).all()
    assert (pressed.done > pressed.app_end).all()
    assert (
        not pressed.drop_duplicates(["cell", "connection", "peer"])
        .duplicated(["cell", "connection"])
        .any()
    )
    run = read_run(done.folder)
    target = run.targets["broken-async"]
    assert (run.status, target.http_parser, target.thread_tokens) == (
        Status.COMPLETE,
        "httptools",
        40,
    )
    assert target.cpus == [run.machine.app_core]  # and not on the generator's
    assert {"mark", "tick"} == set(pd.read_parquet(done.folder / "load.parquet").kind)
