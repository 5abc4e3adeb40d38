"""How often `atonce doctor` is right about apps whose truth is known: `python -m benchmarks.doctor`.

Every folder of tests/corpus is an app with a `truth.json`: the flags to examine it with and, route
by route, the verdict, bounds of served at once, the guilty line (the one that contains `text`), or
words that must occur in the reason why the route is skipped ("" where nobody needs to mention it; a
pattern). Files in `untouched` appear when a route is called that must not be.

`--keep DIR` keeps the runs, a folder for each examination, and `--judge DIR` judges what is kept
there by today's rules. `--out` fills `scores.template.md`, which has the words and the first run's
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
    """One route in one examination, beside its truth; None where the truth has nothing to say."""

    app: str
    route: str
    truth: str
    verdict: str
    right: bool
    served: float | None = None
    served_right: bool | None = None
    guilty_right: bool | None = None
    note: str = ""


def lines_with(text: str, source: str) -> list[int]:
    """Numbers of the lines that contain the text."""
    return [number for number, line in enumerate(source.splitlines(), 1) if text in line]


def load(folder: Path) -> dict[str, Any]:
    """An app's truth; each guilty place with the number of its line."""
    truth: dict[str, Any] = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    for guilty in filter(None, (one.get("guilty") for one in truth["routes"])):
        [guilty["line"]] = lines_with(
            guilty["text"], (folder / guilty["file"]).read_text(encoding="utf-8")
        )
    return truth


def named(blame: list[dict[str, Any]], guilty: dict[str, Any]) -> bool:
    """Whether the first that is blamed is the guilty line."""
    return (
        bool(blame)
        and f"/{blame[0]['file']}".endswith(f"/{guilty['file']}")
        and blame[0]["line"] == guilty["line"]
    )


def reason(truth: dict[str, Any], summary: dict[str, Any]) -> str | None:
    """Why the route was skipped; None when it is not among the skipped. A WebSocket is known by its path."""
    method, path = truth["route"].split()
    for one in summary.get("skipped", []):
        if one["route"].split()[-1] == path and method in ("WEBSOCKET", one["route"].split()[0]):
            return str(one["why"])
    return None


def compare(app: str, truth: dict[str, Any], summary: dict[str, Any]) -> Row:
    """One route's truth beside what the summary says about it."""
    seen = next((one for one in summary.get("routes", []) if one["route"] == truth["route"]), None)
    why = reason(truth, summary)
    verdict = str(seen["verdict"]) if seen else "missing" if why is None else SKIPPED
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
    return Row(
        app,
        truth["route"],
        truth["verdict"],
        verdict,
        verdict == truth["verdict"],
        served,
        bounds and served is not None and bounds[0] <= served <= bounds[1],
        named(blame, guilty) if guilty else None,
        why or ", ".join(f"{one['file']}:{one['line']}" for one in blame[:1]),
    )


def examine(folder: Path, out: Path, *, healthy: bool) -> tuple[dict[str, Any], float, str]:
    """The doctor's summary of one app, or of its healthy routes only; the seconds it took, and what went wrong."""
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
    only = (
        [word for one in asked(truth, healthy=True) for word in ("--only", one["route"])]
        if healthy
        else []
    )
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
    """The routes of an app's truth, or the healthy ones."""
    return [one for one in truth["routes"] if not healthy or one.get("verdict") == HEALTHY]


def kept(out: Path) -> tuple[dict[str, Any], float, str]:
    """An earlier examination by today's rules; nothing where it left no run."""
    found = [
        build_summary(build_report(path.parent)) for path in sorted(out.glob("*/run.json"))[-1:]
    ]
    return (
        (found[0], found[0]["seconds_total"] or 0.0, "") if found else ({}, 0.0, "no run was kept")
    )


def scores(rows: list[Row]) -> list[tuple[str, int, int]]:
    """What is counted, how often it was so, and of how many."""
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
    """Each different value, with how often it came where they differ."""
    return ", ".join(
        f"{one} x{values.count(one)}" if len(set(values)) > 1 else one
        for one in dict.fromkeys(values)
    )


def table(rows: list[Row]) -> str:
    """One line per route in Markdown, all its examinations together."""
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
    """The scores and the table, put where the template names them."""
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
            known = [one for one in folder.iterdir() if one.name.partition("-")[0] in names]
            planned = sorted(
                known,
                key=lambda one: (one.name.partition("-")[0], "-healthy-" in one.name, one.name),
            )
        for one in planned:
            name, healthy = one.name.partition("-")[0], "-healthy-" in one.name
            found, seconds, trouble = (
                kept(one) if options.judge else examine(CORPUS / name, one, healthy=healthy)
            )
            rows += [
                compare(name, truth, found) for truth in asked(load(CORPUS / name), healthy=healthy)
            ]
            print(
                f"- {one.name}: {seconds:.0f} s{trouble and f' - {trouble}'}",
                file=sys.stderr,
                flush=True,
            )
    text = report(rows)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
