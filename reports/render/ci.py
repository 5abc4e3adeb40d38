"""What continuous integration shows of a run: a Markdown step summary, and annotations on the guilty lines.

All of it comes from the summary. Whatever came from outside - routes, files, calls, sentences - is escaped, since a path
may hold a pipe, a backtick, a tag or a colon that would mean something here.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.formatting import count, places, seconds, share
from reports.gates.metrics import Entry, Reading, at_level, bounds, level, of_route, told, top, worst_of
from reports.verdicts.model import WORST_FIRST

ACCUSED = {  # verdict -> kind of annotation, title
    "loop-blocked": ("error", "Blocks the event loop"),
    "loop-busy": ("error", "Computes on the event loop"),
    "wrong-answer": ("error", "Answers wrongly"),
    "executor-pool": ("warning", "Queues for the executor's threads"),
    "thread-pool": ("warning", "Queues for a worker thread"),
    "pool-limited": ("warning", "Queues for a pool"),
    "gil-bound": ("warning", "Computes in threads that share the GIL"),
}
HOLDS_LOOP = ("loop-blocked", "loop-busy")
MOST_BYTES = 1024 * 1024  # of all that one step writes into its summary
MOST_NOTES = 10  # of each kind: GitHub drops the rest silently
MOST_DOUBTS = 8
CUT = "\n(cut here: a step's summary holds 1 MiB; the report has the rest)\n"
OUTCOMES: dict[bool | None, str] = {True: "holds", False: "**fails**", None: "inconclusive"}
COLUMNS = ("route", "verdict", "served at once", "unloaded", "load", "p50", "p99", "errors", "innocent route beside it, p90")


def announce(data: Entry, environment: Mapping[str, str], roots: Sequence[Path] = (), *, as_json: bool) -> None:
    """Write the step summary where GitHub wants it, and the annotations; stdout belongs to the JSON where that was asked for."""
    if place := environment.get("GITHUB_STEP_SUMMARY"):
        path = Path(place)
        try:
            room = MOST_BYTES - (path.stat().st_size if path.exists() else 0)
            with path.open("ab") as file:
                file.write(shortened(step_summary(data), room).encode())
        except OSError as error:  # the result itself matters more
            print(f"atonce: the step summary cannot be written ({error.strerror or error}).", file=sys.stderr)
    for line in annotations(data, environment, roots):
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)


def worst_first(data: Entry) -> list[Entry]:
    """The routes by their verdicts; of those alike, the slowest first."""
    return sorted(data["routes"], key=lambda one: (WORST_FIRST.index(one["verdict"]), one.get("capacity_rps") or 0.0))


def doubted(data: Entry) -> list[Entry]:
    """The checks that take something away from the trust in a run."""
    return [one for one in data["trust"]["checks"] if one["status"] in {"fail", "warn"} and not one.get("finding")]


def annotations(data: Entry, environment: Mapping[str, str], roots: Sequence[Path] = ()) -> list[str]:
    """Workflow commands, worst first; none outside GitHub, none of a run that cannot be trusted.

    `roots` are the folders from which the report names its files.
    """
    if environment.get("GITHUB_ACTIONS") != "true" or data["trust"]["verdict"] == "untrusted":
        return []
    root, lines = Path(environment.get("GITHUB_WORKSPACE") or repository_root()), []
    left = Counter({"error": MOST_NOTES, "warning": MOST_NOTES})
    for entry in worst_first(data):
        kind, title = ACCUSED.get(entry["verdict"], ("", ""))
        if left[kind] > 0:
            left[kind] -= 1
            lines.append(annotation(kind, title, entry, root, roots))
    return lines


def annotation(kind: str, title: str, entry: Entry, root: Path, roots: Sequence[Path]) -> str:
    """One workflow command, on the line that holds most of the time; without one on the route's own, if that is known."""
    blamed: Entry = max(entry["blame"], key=lambda one: one.get("share") or 0.0, default=entry)
    marks = {"file": path_in_checkout(blamed["file"], root, roots), "line": blamed.get("line")} if blamed.get("file") else {}
    pieces = ",".join(f"{name}={mark(str(one))}" for name, one in {**marks, "title": title}.items() if one)
    held = f"held {seconds(entry['hold_s'])} per request" if entry.get("hold_s") else "held"
    by = f"{held} by {blamed['call']}. " if blamed.get("call") and entry["verdict"] in HOLDS_LOOP else ""
    words = "\n".join(filter(None, (by + entry["sentence"], entry["remedy"])))
    return f"::{kind} {pieces}::{message(words)}"


def repository_root() -> Path:
    """The folder of the repository that this one lies in; this one where it is in none."""
    here = Path.cwd()
    return next((one for one in (here, *here.parents) if (one / ".git").exists()), here)


def path_in_checkout(file: str, root: Path, roots: Sequence[Path]) -> str:
    """A file as GitHub knows it: relative to the checkout, where it lies in there."""
    tries = [Path(os.path.normpath(one / file)) for one in (*roots, Path.cwd())]
    path = next((one for one in tries if one.is_file()), tries[-1])
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def message(text: str) -> str:
    """Text as the data of a workflow command."""
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def mark(text: str) -> str:
    """Text as a property of a workflow command."""
    return message(text).replace(":", "%3A").replace(",", "%2C")


def printable(text: str) -> str:
    """Without what moves a cursor, turns the writing direction or cannot be encoded."""
    return "".join(one if one.isprintable() else " " for one in text)


def plain(value: Any) -> str:
    """Text on one line in which no character means anything to Markdown or HTML."""
    text = " ".join(printable(str(value).replace("\n", " ")).split())
    return re.sub(r"[^\w\s/.,()=+%-]|_", lambda found: f"&#{ord(found[0])};", text)


def shortened(text: str, room: int) -> str:
    """Whole lines of a text, as many bytes of it as there is room for, and a word where it was cut."""
    if len(text.encode()) <= room:
        return text
    kept = text.encode()[: max(0, room - len(CUT.encode()))]
    return kept[: kept.rfind(b"\n") + 1].decode() + CUT if room >= len(CUT.encode()) else ""


def step_summary(data: Entry) -> str:
    """The whole step summary."""
    doubts = sorted(doubted(data), key=lambda one: one["status"])  # what failed comes first
    blocks = [f"## {plain(headline(data))}", plain(standing(data))]
    reasons = ["{status}: {name}, {cell}: {why}".format(**one) for one in doubts[:MOST_DOUBTS]]
    blocks += ["\n".join(f"- {plain(one)}" for one in reasons)]
    gates = [(plain(one["expression"]), OUTCOMES[one["holds"]], plain(one.get("words", one["actual"]))) for one in data["gates"]]
    blocks += [table(("gate", "outcome", "what was measured"), gates)]
    if data["trust"]["verdict"] != "untrusted":
        found = worst_first(data)
        blocks += [table(COLUMNS, [tuple(map(plain, row(one))) for one in found])]
        blocks += ["\n".join(f"- {line}" for one in found for line in guilty(one))]
    blocks += [f"<sub>{plain(where(data))}</sub>"]
    return "\n\n".join(filter(None, blocks)) + "\n"


def headline(data: Entry) -> str:
    """The one sentence that somebody reads."""
    if data["trust"]["verdict"] == "untrusted":
        return "atonce: this run cannot be trusted, so it says nothing"
    verdicts = Counter(one["verdict"] for one in data["routes"])
    held, wrong = sum(verdicts[one] for one in HOLDS_LOOP), verdicts["wrong-answer"]
    words = f"{count(held, 'route')} of {len(data['routes'])} {'holds' if held == 1 else 'hold'} the event loop"
    return f"atonce: {words}" + (f", {count(wrong, 'route')} answered wrongly" if wrong else "")


def standing(data: Entry) -> str:
    """How the gates came out, and how far the run may be believed."""
    found = Counter(one["holds"] for one in data["gates"])
    names: dict[bool | None, str] = {False: "failed", None: "inconclusive", True: "held"}
    gates = ", ".join(f"{found[one]} {word}" for one, word in names.items() if found[one])
    state = "" if data["status"] == "complete" else f", {data['status']}"
    return f"Run: {data['trust']['verdict']}{state}. Gates: {gates or 'none were asked for'}."


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table of cells that are escaped already; nothing without rows."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) if lines[2:] else ""


def row(entry: Entry) -> Iterator[str]:
    """One route; `-` for what is not known."""
    load = top(entry)
    kind = worst_of(entry["neighbours"])
    beside, at = entry["neighbours"].get(kind, {}), entry.get("neighbours_at")
    besides = (f" @ {level(at)}" if at else "") + (f" ({kind})" if kind != "async" else "")
    yield from (entry["route"], entry["verdict"])
    yield said(of_route(entry, "served_at_once"), places)
    yield said(bounds(entry, "service_s"))
    yield str(level(load)) if load else "-"
    for name in ("p50_s", "p99_s"):
        one = bounds(load, name)
        yield f"n={load['completed']}" if load and one.why else said(one)
    yield share(at_level("errors", entry, load).low) if load else "-"
    yield f"{said(bounds(beside, 'idle_p90_s'))} to {said(bounds(beside, 'loaded_p90_s'))}{besides}" if beside else "-"


def said(one: Reading, say: Callable[[float], str] = seconds) -> str:
    """A number in words, or its bounds; its interval stands elsewhere."""
    return "-" if one.why else told(one, say).removeprefix("= ").partition(" [")[0]


def guilty(entry: Entry) -> Iterator[str]:
    """The lines that are to blame, with the remedy below."""
    for one in entry["blame"]:
        place = f"{one['file']}:{one['line']}" if one.get("line") else one["file"]
        part = "" if one.get("share") is None else f" ({share(one['share'])} of the held time)"
        yield f"{plain(entry['route'])}: <code>{plain(one.get('call') or '?')}</code> at <code>{plain(place)}</code>{part}"
    if entry["blame"] and entry["remedy"]:
        yield f"{plain(entry['route'])}: {plain(entry['remedy'])}"


def where(data: Entry) -> str:
    """On what machine, with what."""
    facts = data["environment"]
    versions = ", ".join(f"{name} {facts['packages'][name]}" for name in ("fastapi", "uvicorn") if facts["packages"].get(name))
    words = [data["run"], count(facts["cpus"], "CPU"), f"Python {facts['python']}", f"loop {facts['loop']}", versions]
    return "; ".join(filter(None, words))
