"""How a command ends: the result on stdout, the paths, the next command to type, and the exit code that weighs most."""

import json
import os
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.console import Progress, console
from reports.gates.evaluate import exit_code as judged
from reports.gates.evaluate import strictly
from reports.model import Report
from reports.render.ci import announce
from reports.render.junit import junit
from reports.render.summary import summary
from reports.render.terminal import show
from reports.report import explain
from reports.verdicts.culprit import roots_of
from results.errors import Trouble, may_be_cut_short
from results.store import put

OUTCOMES = {True: "holds", False: "fails", None: "inconclusive"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the person wants to be told."""

    as_json: bool
    quiet: bool
    strict: bool
    open_page: bool
    junit: Path | None = None


def write(report: Report) -> dict[str, Any]:
    """Draw the charts, write page and summary; give the summary. The folder is derived and may be deleted."""
    from reports.render.charts import CHARTS, svg  # noqa: PLC0415 - matplotlib is heavy, and most commands do without
    from reports.render.page import page  # noqa: PLC0415

    charts = report.path / "report" / "charts"
    charts.mkdir(parents=True, exist_ok=True)
    for chart in CHARTS:
        figure = chart.draw(report.pictured)
        if not isinstance(figure, str):
            put(charts / f"{chart.stem}.svg", svg.standalone(figure))
            put(charts / f"{chart.stem}.png", svg.png(figure))
    data = summary(report)
    put(charts.parent / "summary.json", (json.dumps(data, indent=1, allow_nan=False) + "\n").encode())
    put(charts.parent / "index.html", page(report, data["gates"]).encode())
    return data


def present(path: Path, trouble: Trouble | None) -> tuple[Report | None, dict[str, Any]]:
    """Judge and render a run. After a trouble, a run with nothing to show is no second trouble."""
    try:
        found = explain(path)
    except (Trouble, OSError):
        if trouble is None:
            raise
        return None, {}
    try:
        return found, write(found)
    except OSError as error:  # what was found can be told all the same
        sentence = f"the page cannot be written below {path} ({error.strerror or error}). Make room, then: atonce report {path}"
        print(f"atonce: {sentence}", file=sys.stderr, flush=True)
        return found, summary(found)


def watched(path: Path, drive: Callable[[Progress], Trouble | None], seconds: float, following: str, manners: Manners) -> int:
    """Drive a run under a progress bar, then report it, whatever it ended with; the exit code."""
    with Progress(seconds, quiet=manners.quiet or manners.as_json) as progress:
        trouble = drive(progress)
        progress.tell("drawing the report", progress.done)
        found, data = present(path, trouble)
    return conclude(found, data, trouble, following, manners)


def conclude(found: Report | None, data: dict[str, Any], trouble: Trouble | None, following: str, manners: Manners) -> int:
    """Print the result; give the exit code that weighs most: 2, 4, 130, 3, 1, 0."""
    if trouble and (found is None or found.study.is_empty):
        raise trouble
    assert found is not None  # noqa: S101 - nothing to show only after a trouble
    may_be_cut_short()
    page = found.path / "report" / "index.html"
    if found.study.run["command"] == "doctor":
        data = publish(data, manners, roots_of(found.study.run["patient"]))
    code = int(trouble.code if trouble else found.exit_code(strict=manners.strict) or (judged(data) if data.get("gates") else 0))
    if manners.as_json:
        told = {"error": trouble.sentence} if trouble else {}
        print(json.dumps({**data, **told, "exit_code": code}, indent=1, allow_nan=False), flush=True)
    else:
        show(found, console(sys.stdout))
        for one in data.get("gates", []) if found.study.run["command"] == "doctor" else []:
            print(f"gate {OUTCOMES[one['holds']]}: {one['words']}", flush=True)
        print(f"report: {relative(page)}   next: {following}", flush=True)
    if manners.open_page:
        webbrowser.open(page.resolve().as_uri())
    if trouble:
        print(f"atonce: {trouble.sentence}", file=sys.stderr, flush=True)
    return code


def publish(data: dict[str, Any], manners: Manners, roots: list[Path]) -> dict[str, Any]:
    """Tell the pipeline that we run in, if any; gives the data as somebody strict reads it, where that was asked for."""
    data = strictly(data) if manners.strict else data
    announce(data, os.environ, roots, as_json=manners.as_json)
    if manners.junit:
        try:
            manners.junit.parent.mkdir(parents=True, exist_ok=True)
            put(manners.junit, junit(data, strict=manners.strict))
        except OSError as error:  # the result itself matters more
            print(f"atonce: {manners.junit} cannot be written ({error.strerror or error}).", file=sys.stderr)
    return data


def relative(path: Path) -> Path:
    """A path as short as it can be said from here."""
    with suppress(ValueError):
        return path.resolve().relative_to(Path.cwd())
    return path
