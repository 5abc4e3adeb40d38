"""How a command ends: the result on stdout, the paths, the next command, and the exit code."""

import json
import os
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.console import ProgressDisplay, create_console
from reports.gates.evaluate import GATE_OUTCOMES, apply_strict, gates_exit_code
from reports.model import Report
from reports.render.ci import report_to_ci
from reports.render.junit import build_junit
from reports.render.summary import build_summary
from reports.render.terminal import print_report
from reports.report import build_report
from results.errors import AtonceError, restore_sigpipe
from results.judgement.culprit import source_roots
from results.store import write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """How the user wants the result."""

    as_json: bool
    quiet: bool
    strict: bool
    open_page: bool
    junit: Path | None = None


def write_report_files(report: Report) -> dict[str, Any]:
    """Draw the charts, write page and summary; return the summary. The folder may be deleted."""
    # Matplotlib is heavy, and most commands do without
    from reports.render.charts import CHARTS, svg  # noqa: PLC0415
    from reports.render.page import render_page  # noqa: PLC0415

    charts = report.path / "report" / "charts"
    charts.mkdir(parents=True, exist_ok=True)
    for chart in CHARTS:
        figure = chart.draw(report.charted_metrics)
        if not isinstance(figure, str):
            write_atomic(charts / f"{chart.stem}.svg", svg.render_standalone(figure))
            write_atomic(charts / f"{chart.stem}.png", svg.render_png(figure))
    data = build_summary(report)
    write_atomic(
        charts.parent / "summary.json",
        (json.dumps(data, indent=1, allow_nan=False) + "\n").encode(),
    )
    write_atomic(charts.parent / "index.html", render_page(report, data["gates"]).encode())
    return data


def build_and_write(
    path: Path, run_error: AtonceError | None
) -> tuple[Report | None, dict[str, Any]]:
    """Evaluate and render a run; after an error, a run with nothing to show is no second error."""
    try:
        report = build_report(path)
    except (AtonceError, OSError):
        if run_error is None:
            raise
        return None, {}
    try:
        return report, write_report_files(report)
    except OSError as error:  # the result can be printed all the same
        why = error.strerror or error
        _print_problem(f"the page cannot be written to {path} ({why}). Then: atonce report {path}")
        return report, build_summary(report)


def run_and_report(
    path: Path,
    drive: Callable[[ProgressDisplay], AtonceError | None],
    seconds: float,
    next_command: str,
    options: OutputOptions,
) -> int:
    """Drive a run under a progress bar, then report it, whatever it ended with; the exit code."""
    with ProgressDisplay(seconds, quiet=options.quiet or options.as_json) as progress:
        run_error = drive(progress)
        progress.on_progress("drawing the report", progress.done)
        report, data = build_and_write(path, run_error)
    return print_result(report, data, run_error, next_command, options)


def print_result(
    report: Report | None,
    data: dict[str, Any],
    run_error: AtonceError | None,
    next_command: str,
    options: OutputOptions,
) -> int:
    """Print the result; return the most serious exit code: 2, 4, 130, 3, 1, 0."""
    if run_error and (report is None or report.run_metrics.is_empty):
        raise run_error
    assert report is not None  # noqa: S101 - empty only after an error
    restore_sigpipe()
    page, run = report.path / "report" / "index.html", report.run_metrics.run
    is_doctor = run.command == "doctor"
    if is_doctor:
        data = _publish_to_ci(data, options, source_roots(run.app))
    code: int = run_error.code if run_error else report.exit_code(strict=options.strict)
    if not code:
        code = gates_exit_code(data) if data.get("gates") else 0
    if options.as_json:
        error_entry = {"error": run_error.sentence} if run_error else {}
        entry = {**data, **error_entry, "path": str(report.path.resolve()), "exit_code": int(code)}
        print(json.dumps(entry, indent=1, allow_nan=False), flush=True)
    else:
        print_report(report, create_console(sys.stdout))
        for gate in data.get("gates", []) if is_doctor else []:
            print(f"gate {GATE_OUTCOMES[gate['holds']]}: {gate['words']}", flush=True)
        print(f"report: {_shorten_path(page)}   next: {next_command}", flush=True)
    if options.open_page:
        webbrowser.open(page.resolve().as_uri())
    if run_error:
        _print_problem(run_error.sentence)
    return int(code)


def _print_problem(sentence: str) -> None:
    print(f"atonce: {sentence}", file=sys.stderr, flush=True)


def _publish_to_ci(
    data: dict[str, Any], options: OutputOptions, roots: list[Path]
) -> dict[str, Any]:
    """Report to the CI pipeline, if any; return the data, under `--strict` as that reads it."""
    data = apply_strict(data) if options.strict else data
    report_to_ci(data, os.environ, roots, as_json=options.as_json)
    if options.junit:
        try:
            options.junit.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(options.junit, build_junit(data, strict=options.strict))
        except OSError as error:  # the result itself matters more
            _print_problem(f"{options.junit} cannot be written ({error.strerror or error}).")
    return data


def _shorten_path(path: Path) -> Path:
    """Return a path, relative to the working directory where it lies below."""
    with suppress(ValueError):
        return path.resolve().relative_to(Path.cwd())
    return path
