"""How often `atonce doctor` is right about known apps: `python -m benchmarks.doctor`.

Every folder of tests/corpus is an app with a `truth.json`: the flags to examine it with and, route
by route, the verdict, bounds of served at once, the culprit's line (the line that contains `text`),
the lines at which its requests, or the threads that work for them, wait, and the size of that pool,
or a pattern for the reason why the route is skipped ("" where it need not be mentioned). Files in
`untouched` appear when a route is called that must not be.

`--keep DIR` keeps the runs, a folder for each examination, and `--judge DIR` judges what is kept
there by today's rules. `--out` fills `scores.template.md`, which has the text and the first run's
scores: three repetitions of the healthy routes are

    python -m benchmarks.doctor --keep runs
    python -m benchmarks.doctor --keep runs --only-healthy --repeat 2
    python -m benchmarks.doctor --judge runs --out tests/corpus/scores.md
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.render.summary import build_summary
from reports.report import build_report

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "corpus"
TEMPLATE = CORPUS / "scores.template.md"
HOLDING, HEALTHY, SKIPPED = ("loop-blocked", "loop-busy"), "scales", "skipped"
NO_CHARGE = (HEALTHY, "unknown", "untrusted", "missing", SKIPPED)


@dataclass(frozen=True, slots=True)
class Row:
    """A route in an examination, beside its truth; None where the truth says nothing."""

    app: str
    route: str
    truth: str
    verdict: str
    right: bool
    served: float | None = None
    served_right: bool | None = None
    guilty_right: bool | None = None
    waits_right: bool | None = None  # the line at which its requests wait
    size_right: bool | None = None  # or not known
    note: str = ""


def lines_with(text: str, source: str) -> list[int]:
    """Numbers of the lines that contain the text."""
    return [number for number, line in enumerate(source.splitlines(), 1) if text in line]


def load(folder: Path) -> dict[str, Any]:
    """An app's truth, with the line number of each culprit."""
    truth: dict[str, Any] = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    for route in truth["routes"]:
        if guilty := route.get("guilty"):
            source = (folder / guilty["file"]).read_text(encoding="utf-8")
            [guilty["line"]] = lines_with(guilty["text"], source)
        for waits in route.get("waits", {}).get("lines", []):
            source = (folder / waits["file"]).read_text(encoding="utf-8")
            [waits["line"]] = lines_with(waits["text"], source)
    return truth


def named(blame: list[dict[str, Any]], guilty: dict[str, Any]) -> bool:
    """Whether the first culprit is the true one."""
    return (
        bool(blame)
        and f"/{blame[0]['file']}".endswith(f"/{guilty['file']}")
        and blame[0]["line"] == guilty["line"]
    )


def waits_named(
    waits: list[dict[str, Any]], truth: dict[str, Any]
) -> tuple[bool | None, bool | None]:
    """Whether the first line at which they wait is a true one, and no size read is another."""
    if not truth:
        return None, None
    places = [wait for wait in waits if wait["file"] and wait["what"] != "running"]
    main = next(iter(places), None)
    lines = {(it["file"], it["line"]) for it in truth["lines"]}
    is_right = main is not None and any(
        f"/{main['file']}".endswith(f"/{file}") and main["line"] == line for file, line in lines
    )
    sizes = {wait["size"] for wait in waits if wait["size"] and wait["what"] == truth["kind"]}
    return is_right, not truth["size"] or not sizes or truth["size"] in sizes


def reason(truth: dict[str, Any], summary: dict[str, Any]) -> str | None:
    """Why the route was skipped, or None if it was not; a WebSocket is known by its path."""
    method, path = truth["route"].split()
    for skipped in summary.get("skipped", []):
        words = skipped["route"].split()
        if words[-1] == path and method in ("WEBSOCKET", words[0]):
            return str(skipped["why"])
    return None


def compare(app: str, truth: dict[str, Any], summary: dict[str, Any]) -> Row:
    """A route's truth beside its part of the summary."""
    routes = summary.get("routes", [])
    seen = next((route for route in routes if route["route"] == truth["route"]), None)
    why = reason(truth, summary)
    verdict = "missing" if why is None else SKIPPED
    if seen:
        verdict = str(seen["verdict"])
    if "skipped" in truth:
        right = (
            "routes" in summary
            and seen is None
            and re.search(truth["skipped"], why or "", re.IGNORECASE) is not None
        )
        return Row(app, truth["route"], SKIPPED, verdict, right, note=why or "")
    served = (seen or {}).get("served_at_once")
    bounds, guilty = truth["served"], truth["guilty"]
    blame = (seen or {}).get("blame") or []
    waits = waits_named((seen or {}).get("waits") or [], truth.get("waits", {}))
    return Row(
        app,
        truth["route"],
        truth["verdict"],
        verdict,
        verdict == truth["verdict"],
        served,
        bounds and served is not None and bounds[0] <= served <= bounds[1],
        named(blame, guilty) if guilty else None,
        *waits,
        why or ", ".join(f"{culprit['file']}:{culprit['line']}" for culprit in blame[:1]),
    )


def examine(folder: Path, out: Path, *, healthy: bool) -> tuple[dict[str, Any], float, str]:
    """The doctor's summary of an app, or its healthy routes; seconds taken, and what went wrong."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    words = [
        sys.executable,
        str(ROOT / "atonce.py"),
        "doctor",
        truth["app"],
        "--app-dir",
        str(folder),
        "--json",
        "-q",
    ]
    only: list[str] = []
    if healthy:
        for route in asked(truth, healthy=True):
            only += ["--only", route["route"]]
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    line = [*words, "--out", str(out.resolve()), *truth["args"], *only]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    touched = [name for name in truth.get("untouched", []) if (folder / name).exists()]
    for name in touched:
        (folder / name).unlink()
    trouble = "a route was called that must not be" if touched else ""
    try:
        return json.loads(done.stdout), seconds, trouble
    except json.JSONDecodeError:
        return (
            {},
            seconds,
            f"exit {done.returncode}, {(done.stderr.strip().splitlines() or ['no word'])[-1]}",
        )


def asked(truth: dict[str, Any], *, healthy: bool) -> list[dict[str, Any]]:
    """The routes of an app's truth, or only the healthy ones."""
    return [route for route in truth["routes"] if not healthy or route.get("verdict") == HEALTHY]


def kept(out: Path) -> tuple[dict[str, Any], float, str]:
    """A kept examination by today's rules; an empty summary where there is no run."""
    paths = sorted(out.glob("*/run.json"))
    if not paths:
        return {}, 0.0, "no run was kept"
    summary = build_summary(build_report(paths[-1].parent))
    return summary, summary["seconds_total"] or 0.0, ""


def scores(rows: list[Row]) -> list[tuple[str, int, int]]:
    """Each count's name, its hits, and its total."""
    holding = [row for row in rows if row.truth in HOLDING]
    healthy = [row for row in rows if row.truth == HEALTHY]
    others = [row for row in rows if row.truth not in (*HOLDING, HEALTHY, SKIPPED)]
    counted: list[tuple[str, list[Row], Callable[[Row], bool | None]]] = [
        ("loop-holding routes found", holding, lambda row: row.verdict in HOLDING),
        ("of these, waiting told from computing", holding, lambda row: row.right),
        (
            "guilty lines right",
            [row for row in rows if row.guilty_right is not None],
            lambda row: row.guilty_right,
        ),
        (
            "waiting lines right",
            [row for row in rows if row.waits_right is not None],
            lambda row: row.waits_right,
        ),
        (
            "sizes of pools right, or not known",
            [row for row in rows if row.size_right is not None],
            lambda row: row.size_right,
        ),
        ("healthy routes accused", healthy, lambda row: row.verdict not in NO_CHARGE),
        ("healthy routes cleared", healthy, lambda row: row.right),
        ("other verdicts right", others, lambda row: row.right),
        (
            "skipped for the right reason",
            [row for row in rows if row.truth == SKIPPED],
            lambda row: row.right,
        ),
        (
            "served at once within its bounds",
            [row for row in rows if row.served_right is not None],
            lambda row: row.served_right,
        ),
    ]
    return [(name, sum(map(bool, map(holds, some))), len(some)) for name, some, holds in counted]


def tally(values: list[str]) -> str:
    """The different values, with their counts if there are several."""
    return ", ".join(
        f"{value} x{values.count(value)}" if len(set(values)) > 1 else value
        for value in dict.fromkeys(values)
    )


def table(rows: list[Row]) -> str:
    """A line per route in Markdown, all its examinations together."""
    lines = [
        "| app | route | truth | verdict | served at once | guilty line right? |",
        "|---|---|---|---|---|---|",
    ]
    for app, route in dict.fromkeys((row.app, row.route) for row in rows):
        same = [row for row in rows if (row.app, row.route) == (app, route)]
        said = tally([row.verdict if row.right else f"**{row.verdict}**" for row in same])
        served = ", ".join("-" if row.served is None else f"{row.served:.3g}" for row in same)
        lines_right = [row for row in same if row.guilty_right is not None]
        missed = tally([row.note or "none named" for row in lines_right if not row.guilty_right])
        guilty = (
            f"{sum(map(bool, (row.guilty_right for row in lines_right)))} of {len(lines_right)}"
            if lines_right
            else ""
        )
        notes = (
            f" ({tally([row.note for row in same])})"
            if not all(row.right for row in same) and any(row.note for row in same)
            else ""
        )
        lines.append(
            f"| {app} | `{route}` | {same[0].truth} | {said}{notes} | {served} |"
            f" {guilty}{f': {missed}' if missed else ''} |"
        )
    return "\n".join(lines)


def report(rows: list[Row]) -> str:
    """The template, filled with the scores and the table."""
    counts = {name: f"{hits} of {total}" if total else "-" for name, hits, total in scores(rows)}
    return TEMPLATE.read_text(encoding="utf-8").format_map({**counts, "table": table(rows)})


def main() -> None:
    """Examine the apps, or judge what is kept of them, and print the table and the scores."""
    parser = argparse.ArgumentParser(
        description="How often `atonce doctor` is right about apps whose truth is known."
    )
    parser.add_argument(
        "--apps", help="names of folders in tests/corpus, with commas; all by default"
    )
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument(
        "--only-healthy", action="store_true", help="examine only routes whose truth is `scales`"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the runs here")
    parser.add_argument(
        "--judge", type=Path, metavar="DIR", help="measure nothing: judge the runs kept here"
    )
    parser.add_argument("--out", type=Path, help="write the Markdown here, too")
    options = parser.parse_args()
    names = (
        options.apps.split(",")
        if options.apps
        else sorted(path.parent.name for path in CORPUS.glob("*/truth.json"))
    )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.judge or options.keep or Path(scratch)
        kind = "healthy" if options.only_healthy else "whole"
        planned = [
            folder / f"{name}-{kind}-{turn}"
            for turn in range(1, options.repeat + 1)
            for name in names
        ]
        if options.judge:
            known = [path for path in folder.iterdir() if path.name.partition("-")[0] in names]
            planned = sorted(
                known,
                key=lambda path: (path.name.partition("-")[0], "-healthy-" in path.name, path.name),
            )
        for path in planned:
            name, healthy = path.name.partition("-")[0], "-healthy-" in path.name
            summary, seconds, trouble = (
                kept(path) if options.judge else examine(CORPUS / name, path, healthy=healthy)
            )
            rows += [
                compare(name, truth, summary)
                for truth in asked(load(CORPUS / name), healthy=healthy)
            ]
            print(
                f"- {path.name}: {seconds:.0f} s{trouble and f' - {trouble}'}",
                file=sys.stderr,
                flush=True,
            )
    text = report(rows)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
