"""The report as one HTML file: opens from disk, offline, without scripts; everything from outside is escaped.

Jinja2 fills `page.html`, the skeleton and the only stylesheet. Charts stand inline as SVG, each with its numbers in a
table, so that nothing hangs on colour, script or network.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from reports import formatting
from reports.claims.model import Judged
from reports.model import MISSED, Report, ordered, tally
from reports.render.charts import CHARTS, LESSON, Table, card, svg
from reports.render.charts.style import look
from reports.render.decision_guide import grouped, guide
from reports.selfcheck import COLUMNS as GOALS
from reports.verdicts.load_table import COLUMNS, SILENT, again, compared, loads, quantile, stopped
from reports.verdicts.model import Finding, Verdict, is_unreached, worst_last

DRAWN = 30  # cards with a picture, the worst; more would make a page too large to open
UNDRAWN = (Verdict.SCALES, Verdict.WRONG_ANSWER, Verdict.UNTRUSTED)
LONGEST = 2000  # characters that describe a picture to whoever cannot see it


@dataclass(frozen=True, slots=True)
class Picture:
    """One chart on the page. Without an `svg` the reason stands in its place."""

    stem: str
    question: str
    title: str
    svg: Markup | None
    reason: str
    table: Table


def page(report: Report, gates: Sequence[dict[str, Any]] = ()) -> str:
    """The whole page. `gates` are those of an examination, as its summary has them."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    words = {name: getattr(formatting, name) for name in ("seconds", "number", "places", "share", "value")}
    environment.globals.update(words, quantile=quantile, stopped=stopped, again=again, look=look, bars=bars)
    environment.filters["prose"] = prose
    run, found = report.study.run, ordered(report)
    return environment.get_template("page.html").render(
        report=report,
        run=run,
        host=run.get("host"),
        pictures=list(pictures(report)),
        cards=[one for one in reversed(found) if run["command"] == "reproduce" or one.verdict not in SILENT],
        statements=by_section(report.claims),
        tally=tally(report),
        guide=grouped(guide(report)),
        columns=COLUMNS,
        goal_columns=GOALS,
        missed=MISSED,
        compared=compared(report.study),
        loads=[] if report.study.reproduces else loads(report.study, {one.route.variant: one.verdict for one in found}),
        **doctored(report, gates),
        levels=[(finding, level) for finding in found for level in finding.route.levels],
    )


def doctored(report: Report, gates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What an examination shows beside: its findings, the worst first, the routes that were left out, and its gates."""
    if report.study.run["command"] != "doctor":
        return {}
    left_out = {
        one["route"]: one["skipped"] or one["unfit"] for one in report.study.run["routes"] if one["skipped"] or is_unreached(one)
    }
    skipped = [{"route": route, "skipped": why} for route, why in left_out.items()]
    worst_first = [one for one in reversed(worst_last(report.findings)) if one.route.route not in left_out]
    cases = [(one, small(one, f"card-{number}") if number <= DRAWN else None) for number, one in enumerate(worst_first, 1)]
    return {"findings": cases, "skipped": skipped, "gates": gates}


def small(finding: Finding, stem: str) -> Markup | None:
    """The picture on a card; healthy routes need none, and of what was not measured there is none."""
    figure = None if finding.verdict in UNDRAWN else card.draw(finding.case)
    title = f"{finding.route.route} is {finding.verdict}"
    return Markup(svg.inline(figure, stem, title, card.told(finding.case))) if figure else None  # noqa: S704 - as above


def by_section(claims: Iterable[Judged]) -> dict[str, list[Judged]]:
    """The claims by the section of the lesson that they are from, or the first of several."""
    found: dict[str, list[Judged]] = {}
    for one in claims:
        found.setdefault(one.claim.source.partition(";")[0], []).append(one)
    return found


def bars(values: tuple[tuple[str, float], ...]) -> list[tuple[str, str, float]]:
    """A claim's small picture: labels, numbers in words, and lengths in per cent of the longest, from zero."""
    most = max(value for _, value in values) or 1
    return [(label, formatting.number(value), 100 * value / most) for label, value in values]


def prose(text: str) -> Markup:
    """Escaped text, with `code` between backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped one step before


def pictures(report: Report) -> Iterator[Picture]:
    """Every chart, drawn; described by the numbers of the verdicts or, where single claims were asked for, of those."""
    study, command = report.pictured, report.study.run["command"]
    told = [one.judgement.measured for one in report.claims] if command == "claims" else [one.sentence for one in report.findings]
    description = " ".join(told)[:LONGEST]
    if command == "claims":  # what was asked by a single user gave a claim its service time; one point is no picture
        routes = (replace(one, levels=()) if one.top and one.top.users == 1 else one for one in study.routes)
        study = replace(study, routes=tuple(routes))
    for chart in CHARTS:
        title, figure, table = chart.title(study), chart.draw(study), chart.table(study)
        if isinstance(figure, str) and command == "reproduce" and chart in LESSON:
            yield Picture(chart.stem, chart.question, title, None, figure, table)
        elif not isinstance(figure, str):
            # Safe: the SVG is matplotlib's, and matplotlib escapes every text that it draws.
            drawn = Markup(svg.inline(figure, chart.stem, title, description))  # noqa: S704
            yield Picture(chart.stem, chart.question, title, drawn, "", table)
