"""A new verdict is an entry of the table and a rule: everything else takes its codes from there."""

import json
import re
from pathlib import Path

import pytest

from reports.gates.evaluate import evaluate_gate, sort_worst_first
from reports.model import Report
from reports.render.ci import create_annotations, step_summary
from reports.render.page import render_page
from reports.render.schema import SCHEMA_FILE, render_schema
from reports.render.tones import WORD_TONES, Advice, terminal_colour
from results.gate_expression import parse_gate
from results.verdicts import VERDICTS, WORST_FIRST, Tone, Verdict
from tests.support.summary_factory import route, run

ROOT = Path(__file__).resolve().parents[2]
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(ROOT)}


def test_the_table_has_every_verdict_in_one_order() -> None:
    """The worst comes first, what is healthy last."""
    assert list(VERDICTS) == list(Verdict) == list(WORST_FIRST)
    assert WORST_FIRST[-1] is Verdict.SCALES
    tones = [Tone.BAD, Tone.WARN, Tone.SOFT, Tone.GOOD]
    order = [tones.index(VERDICTS[code].tone) for code in Verdict if code is not Verdict.UNTRUSTED]
    assert order == sorted(order)


def test_the_published_schema_is_current() -> None:
    """`python -m reports.render.schema` renews it."""
    published = SCHEMA_FILE.read_text(encoding="utf-8")
    assert published == render_schema()
    assert json.loads(published)["$defs"]["verdict"]["enum"] == list(Verdict)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_gate_accepts_every_code(verdict: Verdict) -> None:
    """And the report judges it."""
    gate = parse_gate(f"verdict == {verdict}")
    assert gate.limit == verdict
    holds = evaluate_gate(gate, run(route(verdict=verdict))).holds
    assert holds is (None if verdict in {Verdict.UNKNOWN, Verdict.UNTRUSTED} else True)


@pytest.mark.parametrize("verdict", Verdict)
def test_ci_annotates_what_the_table_says(verdict: Verdict) -> None:
    """A level takes a title; what has none is not annotated."""
    facts = VERDICTS[verdict]
    lines = create_annotations(run(route(verdict=verdict)), GITHUB)
    assert bool(facts.ci_level) == bool(facts.ci_title) == bool(lines)
    assert [line.partition(" ")[0] for line in lines] == [f"::{facts.ci_level}"] * len(lines)
    assert re.search(rf"\| {verdict} \|", step_summary(run(route(verdict=verdict))))


def test_ci_sorts_by_the_table() -> None:
    """Whatever the order in the summary."""
    data = run(*(route(f"GET /{verdict}", verdict=verdict) for verdict in reversed(Verdict)))
    assert [entry["verdict"] for entry in sort_worst_first(data)] == list(Verdict)


def test_the_page_has_a_colour_for_every_code(example: Report) -> None:
    """The stylesheet is rendered from the table; a result word has one colour."""
    style = render_page(example).partition("</style>")[0]
    for word, tone in WORD_TONES.items():
        rule = rf"^[^\n{{]*\.{re.escape(word)}\b(?!-)[^\n{{]*{{ color: var\(--{tone}\); }}$"
        assert len(re.findall(rule, style, re.MULTILINE)) == 1, word
    assert set(Verdict) | set(Advice) <= set(WORD_TONES)


@pytest.mark.parametrize("verdict", Verdict)
def test_the_terminal_has_the_same_colours(verdict: Verdict) -> None:
    """None where the verdict says nothing."""
    assert bool(terminal_colour(verdict)) == (VERDICTS[verdict].tone is not Tone.SOFT)


def test_no_other_product_file_lists_the_codes() -> None:
    """Rules name single verdicts; lists of codes are in the table and the renewed schema."""
    quoted = re.compile("|".join(rf'"{re.escape(code)}"' for code in Verdict if "-" in code))
    files = [path for room in ("results", "reports") for path in (ROOT / room).rglob("*.*")]
    listing = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.suffix in {".py", ".html", ".json"}
        and "example" not in path.parts[len(ROOT.parts) + 1]
        and len(set(quoted.findall(path.read_text(encoding="utf-8")))) > 1
    }
    assert listing == {"results/verdicts.py", "reports/render/summary.schema.json"}
