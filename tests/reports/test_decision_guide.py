"""The decision guide on simulated runs of known truth: no row is invented, or judged untrusted."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec import structs
from rich.console import Console

from reports.model import Report
from reports.render.decision_guide import GUIDE, GuideRow, build_guide, group_by_form
from reports.render.page import render_page
from reports.render.summary import build_summary
from reports.render.terminal import print_report
from reports.report import build_report
from reports.verdicts.findings import decide_verdict
from results.records import RequestLine
from results.schema import base_variant
from scenarios.plans.lesson.experiment import lesson_cell, lesson_session
from scenarios.plans.model import Session, quick_plan
from tests.reports.test_report import BROKEN, SCHEMA, SYNC, drop_every
from tests.support.guide_table import HEAD, markdown
from tests.support.simulate_run import HONEST, Truth, World, write

WORK = 0.1  # seconds


def asked(variant: str, users: int, places: int) -> Session:
    """An experiment of the lesson, with a crowd of half the size to show a plateau."""
    path = f"/lab/{variant.replace(' ', '-')}"
    act = lesson_session(variant, path, "", seconds=WORK, users=users, concurrency=places)
    between = replace(lesson_cell(variant, path, "", WORK, users // 2, places), neighbours=())
    return replace(act, cells=(act.cells[0], between, act.cells[1]))


TRUTHS = {
    **HONEST,
    "async postgres": Truth(15),
    "sync postgres": Truth(15),
    "async process-pool": Truth(2),
    "async httpx": Truth(10_000),
}
ACTS = (
    asked("broken-async requests", 12, 1),
    asked("async httpx", 24, 24),
    asked("async postgres", 40, 15),
    asked("sync postgres", 40, 15),
    asked("async process-pool", 8, 2),
)


def planned(folder: Path, acts: tuple[Session, ...], **planted: Any) -> Report:
    """The report of a run of some sessions; the first asks the idle neighbours."""
    return build_report(
        write(
            folder,
            World(plan=replace(quick_plan(WORK), sessions=acts), **{"truths": TRUTHS, **planted}),
        )
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The honest run: five experiments beside the four variants."""
    return planned(tmp_path_factory.mktemp("guide"), (*quick_plan(WORK).sessions, *ACTS))


def by_variant(report: Report) -> dict[str, GuideRow]:
    """The rows by what measured them."""
    return {row.variant: row for row in build_guide(report)}


def printed(report: Report, width: int = 80) -> str:
    """What a terminal shows."""
    out = StringIO()
    print_report(report, Console(file=out, width=width))
    return out.getvalue()


def test_each_form_serves_what_was_planted(report: Report) -> None:
    """The number with its interval, the limit with the pool size, the verdict of the findings."""
    rows = by_variant(report)
    for variant, truth in {
        "async httpx": 24,
        "async postgres": 15,
        "sync postgres": 15,
        "async process-pool": 2,
        "sync": 40,
    }.items():
        assert pytest.approx(rows[variant].served_at_once, rel=0.02) == truth
    codes = {variant: str(row.verdict) for variant, row in rows.items()}
    assert codes == {
        "async": "scales",
        "async httpx": "scales",
        "async postgres": "pool-limited",
        "sync": "thread-pool",
        "sync postgres": "pool-limited",
        "to-thread": "executor-pool",
        "broken-async": "loop-blocked",
        "broken-async requests": "loop-blocked",
        "async process-pool": "pool-limited",
    }
    assert rows["async postgres"].limit.endswith("(15)")
    assert rows["async"].served_text.startswith("64.0 [")
    for route in report.run_metrics.all_routes:
        if route.variant in rows:
            assert rows[route.variant].verdict == decide_verdict(route, report.trust.trust_level)


def test_every_form_is_named_once_and_each_mistake_stands_beside_a_recommendation() -> None:
    """And a form says how the route is written."""
    forms = [form for forms in GUIDE.values() for form in forms]
    assert len({variant for *_, variant in forms}) == len(forms)
    mistakes = {variant for *_, variant in forms if base_variant(variant) == "broken-async"} | {
        "async httpx-per-request"
    }
    assert {variant for advice, *_, variant in forms if advice == "mistake"} == mistakes
    for group in GUIDE.values():
        assert group[0][0] == "recommended"


def test_what_was_not_measured_has_no_row(report: Report, honest: Report, tmp_path: Path) -> None:
    """The four variants of a quick run; of single claims those with a crowd; no foreign app."""
    assert {row.variant for row in build_guide(honest)} == {
        "async",
        "sync",
        "to-thread",
        "broken-async",
    }
    assert set(by_variant(report)) == {row.variant for row in build_guide(honest)} | {
        act.variant for act in ACTS
    }
    assert (
        build_guide(
            replace(
                honest,
                run_metrics=replace(
                    honest.run_metrics, run=structs.replace(honest.run_metrics.run, command="run")
                ),
            )
        )
        == ()
    )
    quick = quick_plan(WORK)
    alone = replace(
        quick, sessions=tuple(replace(act, cells=act.cells[:2]) for act in quick.sessions)
    )
    nothing = build_report(write(tmp_path, World(plan=alone)))
    assert all(row.users > 1 for row in build_guide(nothing))
    assert (
        build_guide(
            replace(nothing, run_metrics=replace(nothing.run_metrics, routes=(), experiments=()))
        )
        == ()
    )


def test_advice_that_the_measurement_contradicts_is_withheld(tmp_path: Path) -> None:
    """A shared client that holds the loop is not recommended; a harmless call is no mistake."""
    truths = {
        **TRUTHS,
        "async httpx": Truth(1, holds_loop=True),
        "broken-async requests": Truth(10_000),
    }
    rows = by_variant(planned(tmp_path, (*BROKEN.sessions, *ACTS[:3]), truths=truths))
    assert (rows["async httpx"].advice, rows["async httpx"].verdict) == (None, "loop-blocked")
    assert (rows["broken-async requests"].advice, rows["broken-async requests"].verdict) == (
        None,
        "scales",
    )
    assert (rows["async postgres"].advice, rows["broken-async"].advice) == (
        "recommended",
        "mistake",
    )


def test_a_run_that_cannot_be_trusted_says_nothing(tmp_path: Path) -> None:
    """Neither number nor limit nor advice, on no surface."""
    report = planned(tmp_path, (*SYNC.sessions, ACTS[2]), edit=drop_every(20, "delete"))
    assert [row.variant for row in build_guide(report)] == [
        "async postgres",
        "sync",
        "broken-async",
    ]
    for row in build_guide(report):
        assert (row.served_at_once, row.interval, row.limit, row.advice, row.verdict) == (
            None,
            None,
            "-",
            None,
            "untrusted",
        )
    assert "pool-limited" not in markdown(build_guide(report))
    assert "You call" not in printed(report)


def test_a_fault_in_one_experiment_takes_its_own_row_only(tmp_path: Path) -> None:
    """The others keep their verdicts."""

    def edit(cell: str, lines: list[RequestLine]) -> list[RequestLine]:
        return lines[: len(lines) // 4 * 2] if cell == "crowd/async postgres/40" else lines

    rows = by_variant(planned(tmp_path, (*SYNC.sessions, *ACTS[2:4]), edit=edit))
    lost = rows.pop("async postgres")
    assert (lost.served_at_once, lost.limit, lost.advice, lost.verdict) == (
        None,
        "-",
        None,
        "untrusted",
    )
    assert {row.verdict for row in rows.values()} == {"thread-pool", "pool-limited", "loop-blocked"}


def test_the_summary_carries_the_guide_as_its_schema_says(report: Report, honest: Report) -> None:
    """Real output; and a verdict that there is not is refused."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for each_report in (report, honest):
        data = json.loads(json.dumps(build_summary(each_report), allow_nan=False))
        jsonschema.validate(data, schema)
        assert [entry["variant"] for entry in data["guide"]] == [
            row.variant for row in build_guide(each_report)
        ]
    data["guide"][0]["verdict"] = "splendid"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)


def test_the_table_of_the_readme_has_a_line_for_each_form(report: Report) -> None:
    """Markdown with equally many cells per line, each question once, every measured row."""
    head, rule, *lines = markdown(build_guide(report)).splitlines()
    assert head == f"| {' | '.join(HEAD)} |"
    assert {line.count("|") for line in (head, rule, *lines)} == {len(HEAD) + 1}
    assert len(lines) == len(list(group_by_form(build_guide(report))))
    assert sum(not line.startswith("|  |") for line in lines) == len(GUIDE)
    assert all(any(f"({row.what})" in line for line in lines) for row in build_guide(report))


def test_the_page_shows_it_and_the_terminal_after_more_than_the_four_variants(
    report: Report, honest: Report
) -> None:
    """Each row on the page; in the terminal within 80 columns; nothing there after a quick run."""
    text = render_page(report)
    section = text[text.index('<section aria-label="guide">') :]
    assert section.count('<th scope="row">', 0, section.index("</section>")) == len(
        build_guide(report)
    )
    assert '<section aria-label="guide">' in render_page(honest)
    shown = printed(report)
    block = shown[shown.index("You call") : shown.index("\nroute ")]
    assert "mistake" in block
    assert max(map(len, block.splitlines())) <= 80
    assert "You call" not in printed(honest)
