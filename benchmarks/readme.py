"""Rewrite the figures of README.md and docs/ from the stored runs: `python -m benchmarks.readme`.

A figure stands in a block between `<!-- figures: NAME -->` and `<!-- end -->`. `BLOCKS` maps each
name to the function that writes the block. A test fails while a block differs from its runs.
"""

import json
import re
import textwrap
from collections.abc import Callable, Iterable
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import readme_sentences as sentences
from reports.model import Report
from reports.render.decision_guide import build_guide
from reports.render.summary import build_summary
from reports.render.terminal import print_report
from reports.report import build_report
from tests.support.guide_table import markdown

ROOT = Path(__file__).resolve().parent.parent
RUNS, SCORES = ROOT / "results", ROOT / "tests" / "corpus" / "scores.md"
FILES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
WIDTH = 100  # columns of the terminal that README shows, and of its prose
DOCTOR_ROUTES = (  # the rows of the doctor's table that README shows
    *("GET /report", "GET /insurance/threads", "GET /xray/executor", "GET /beds/queued"),
    *("GET /risk/threads", "GET /search/busy", "GET /report/blocked"),
)
BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@cache
def stored_report(name: str) -> Report:
    """Build the report of a stored run."""
    return build_report(RUNS / name)


@cache
def stored_summary(name: str) -> dict[str, Any]:
    """Build what `--json` prints of a stored run."""
    return build_summary(stored_report(name))


def stored_figures(name: str) -> Any:
    """Read what a benchmark stored beside the example."""
    return json.loads((RUNS / "example" / name).read_text(encoding="utf-8"))


def printed_lines(name: str) -> list[str]:
    """Print a stored run on a terminal of 100 columns, without blanks at the ends of lines."""
    out = StringIO()
    print_report(stored_report(name), Console(file=out, width=WIDTH))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def table_rows(name: str, routes: Iterable[str] = ()) -> list[str]:
    """Return the routes' table as printed, with the rows of `routes` only; with no routes, all.

    A row that the terminal breaks keeps its second line.
    """
    lines = printed_lines(name)
    head = max(i for i, line in enumerate(lines) if line.startswith("route "))
    rows, is_wanted = [lines[head]], True
    for line in lines[head + 1 :]:
        if not line.startswith(("GET ", " ")):
            break
        if not line.startswith(" "):
            is_wanted = not routes or line.partition("  ")[0] in routes
        rows += [line] if is_wanted else []
    return rows


def finding_text(route: str) -> list[str]:
    """Return one finding of the doctor as printed, its long lines broken as a terminal does."""
    lines = printed_lines("example-doctor")
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"- {route} "))
    end = next(i for i, line in enumerate(lines) if i > begin and line.startswith(("- ", "route ")))
    shown: list[str] = []
    for line in lines[begin:end]:
        indent = " " * (len(line) - len(line.lstrip(" -")))
        shown += textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return shown


def quote_run(name: str, write: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
    """Return what writes a block from the summary of a stored run."""
    return lambda: write(stored_summary(name))


BLOCKS: dict[str, Callable[[], str]] = {
    "routes": lambda: sentences.code_block(table_rows("example")),
    "reading": quote_run("example", sentences.read_table),
    "doctor": lambda: sentences.code_block(table_rows("example-doctor", DOCTOR_ROUTES)),
    "finding": lambda: sentences.code_block(finding_text("GET /report/blocked")),
    "scores": lambda: sentences.corpus_scores(SCORES.read_text(encoding="utf-8")),
    "guide": lambda: markdown(build_guide(stored_report("example"))).rstrip(),
    "claims": quote_run("example", sentences.claims_table),
    "accuracy": quote_run("example-selfcheck", sentences.selfcheck_accuracy),
    "theory": quote_run("example", sentences.closed_theory),
    "little": quote_run("example", sentences.little_law),
    "plain-locust": lambda: sentences.plain_locust(stored_figures("plain-locust.json")),
    "fairness": quote_run("example", sentences.loop_fairness),
    "probe": lambda: sentences.probe_cost(stored_figures("probe-cost.json")),
    "sharing": quote_run("example", sentences.sharing_cost),
}


def rewrite_figures(text: str) -> str:
    """Return a document with every block written anew. Raises KeyError for an unknown block."""
    return BLOCK.sub(lambda match: f"{match[1]}{BLOCKS[match[2]]()}\n{match[3]}", text)


def main() -> None:
    """Rewrite every document."""
    for path in FILES:
        path.write_text(rewrite_figures(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
