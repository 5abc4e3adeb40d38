"""What CI shows of a run: a Markdown step summary, and annotations on the culprits' lines.

All of it comes from the summary. Whatever came from outside - routes, files, calls, sentences - is
escaped, since a path may hold a pipe, a backtick, a tag or a colon that would mean something here.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.formatting import format_count, format_seconds, format_served_at_once, format_share
from reports.gates.metrics import (
    Entry,
    MetricValue,
    format_metric_value,
    load_level,
    load_value,
    route_value,
    summary_value,
    top_load,
    worst_neighbour,
)
from reports.verdicts.model import WORST_FIRST

_ANNOTATED_VERDICTS = {  # verdict -> kind of annotation, title
    "loop-blocked": ("error", "Blocks the event loop"),
    "loop-busy": ("error", "Computes on the event loop"),
    "wrong-answer": ("error", "Answers wrongly"),
    "executor-pool": ("warning", "Queues for the executor's threads"),
    "thread-pool": ("warning", "Queues for a worker thread"),
    "pool-limited": ("warning", "Queues for a pool"),
    "gil-bound": ("warning", "Computes in threads that share the GIL"),
}
_LOOP_VERDICT_NAMES = ("loop-blocked", "loop-busy")
MAX_SUMMARY_BYTES = 1024 * 1024  # of all that one step writes into its summary
_MAX_ANNOTATIONS = 10  # of each kind: GitHub drops the rest silently
_MAX_PROBLEMS = 8
CUT_NOTICE = "\n(cut here: a step's summary holds 1 MiB; the report has the rest)\n"
_OUTCOME_MARKDOWN: dict[bool | None, str] = {
    True: "holds",
    False: "**fails**",
    None: "inconclusive",
}
_SUMMARY_COLUMNS = (
    "route",
    "verdict",
    "served at once",
    "unloaded",
    "load",
    "p50",
    "p99",
    "errors",
    "innocent route beside it, p90",
)


def report_to_ci(
    data: Entry, environment: Mapping[str, str], roots: Sequence[Path] = (), *, as_json: bool
) -> None:
    """Write GitHub's step summary, print the annotations; stdout stays free for JSON."""
    if file_name := environment.get("GITHUB_STEP_SUMMARY"):
        path = Path(file_name)
        try:
            free_bytes = MAX_SUMMARY_BYTES - (path.stat().st_size if path.exists() else 0)
            with path.open("ab") as file:
                file.write(_truncate_text(step_summary(data), free_bytes).encode())
        except OSError as error:  # the result itself matters more
            print(
                f"atonce: the step summary cannot be written ({error.strerror or error}).",
                file=sys.stderr,
            )
    for line in create_annotations(data, environment, roots):
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)


def sort_worst_first(data: Entry) -> list[Entry]:
    """The routes by their verdicts; of those alike, the slowest first."""
    return sorted(
        data["routes"],
        key=lambda entry: (WORST_FIRST.index(entry["verdict"]), entry.get("capacity_rps") or 0.0),
    )


def list_problem_checks(data: Entry) -> list[Entry]:
    """The checks that lower the trust in a run."""
    return [
        check
        for check in data["trust"]["checks"]
        if check["status"] in {"fail", "warn"} and not check.get("finding")
    ]


def create_annotations(
    data: Entry, environment: Mapping[str, str], roots: Sequence[Path] = ()
) -> list[str]:
    """Workflow commands, worst first; none outside GitHub, none of a run that cannot be trusted.

    `roots` are the folders from which the report names its files.
    """
    if environment.get("GITHUB_ACTIONS") != "true" or data["trust"]["verdict"] == "untrusted":
        return []
    root, lines = Path(environment.get("GITHUB_WORKSPACE") or _repository_root()), []
    remaining = Counter({"error": _MAX_ANNOTATIONS, "warning": _MAX_ANNOTATIONS})
    for entry in sort_worst_first(data):
        kind, title = _ANNOTATED_VERDICTS.get(entry["verdict"], ("", ""))
        if remaining[kind] > 0:
            remaining[kind] -= 1
            lines.append(_create_annotation(kind, title, entry, root, roots))
    return lines


def _create_annotation(
    kind: str, title: str, entry: Entry, root: Path, roots: Sequence[Path]
) -> str:
    """One workflow command, on the line that holds most of the time, else on the route's own."""
    culprit: Entry = max(entry["blame"], key=lambda item: item.get("share") or 0.0, default=entry)
    location = (
        {"file": _path_in_checkout(culprit["file"], root, roots), "line": culprit.get("line")}
        if culprit.get("file")
        else {}
    )
    properties = ",".join(
        f"{name}={_escape_property(str(item))}"
        for name, item in {**location, "title": title}.items()
        if item
    )
    hold_text = (
        f"held {format_seconds(entry['hold_s'])} per request" if entry.get("hold_s") else "held"
    )
    culprit_text = (
        f"{hold_text} by {culprit['call']}. "
        if culprit.get("call") and entry["verdict"] in _LOOP_VERDICT_NAMES
        else ""
    )
    annotation_text = "\n".join(filter(None, (culprit_text + entry["sentence"], entry["remedy"])))
    return f"::{kind} {properties}::{_escape_message(annotation_text)}"


def _repository_root() -> Path:
    """The repository's folder around the working directory, or the latter where there is none."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def _path_in_checkout(file: str, root: Path, roots: Sequence[Path]) -> str:
    """A file as GitHub knows it: relative to the checkout, where it lies in there."""
    candidates = [Path(os.path.normpath(candidate / file)) for candidate in (*roots, Path.cwd())]
    path = next((candidate for candidate in candidates if candidate.is_file()), candidates[-1])
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _escape_message(text: str) -> str:
    """Text as the data of a workflow command."""
    return _replace_unprintable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _escape_property(text: str) -> str:
    """Text as a property of a workflow command."""
    return _escape_message(text).replace(":", "%3A").replace(",", "%2C")


def _replace_unprintable(text: str) -> str:
    """Without what moves a cursor, turns the writing direction or cannot be encoded."""
    return "".join(character if character.isprintable() else " " for character in text)


def _escape_markdown(value: Any) -> str:
    """Text on one line in which no character means anything to Markdown or HTML."""
    text = " ".join(_replace_unprintable(str(value).replace("\n", " ")).split())
    return re.sub(r"[^\w\s/.,()=+%-]|_", lambda match: f"&#{ord(match[0])};", text)


def _truncate_text(text: str, max_bytes: int) -> str:
    """The whole lines of a text that fit into so many bytes, and a notice where it was cut."""
    if len(text.encode()) <= max_bytes:
        return text
    kept = text.encode()[: max(0, max_bytes - len(CUT_NOTICE.encode()))]
    return (
        kept[: kept.rfind(b"\n") + 1].decode() + CUT_NOTICE
        if max_bytes >= len(CUT_NOTICE.encode())
        else ""
    )


def step_summary(data: Entry) -> str:
    """The whole step summary."""
    # What failed comes first
    problems = sorted(list_problem_checks(data), key=lambda entry: entry["status"])
    blocks = [
        f"## {_escape_markdown(_summary_headline(data))}",
        _escape_markdown(_describe_outcome(data)),
    ]
    reasons = [
        "{status}: {name}, {cell}: {why}".format(**entry) for entry in problems[:_MAX_PROBLEMS]
    ]
    blocks += ["\n".join(f"- {_escape_markdown(entry)}" for entry in reasons)]
    gates = [
        (
            _escape_markdown(entry["expression"]),
            _OUTCOME_MARKDOWN[entry["holds"]],
            _escape_markdown(entry.get("words", entry["actual"])),
        )
        for entry in data["gates"]
    ]
    blocks += [_markdown_table(("gate", "outcome", "what was measured"), gates)]
    if data["trust"]["verdict"] != "untrusted":
        routes = sort_worst_first(data)
        blocks += [
            _markdown_table(
                _SUMMARY_COLUMNS,
                [tuple(map(_escape_markdown, _summary_row(entry))) for entry in routes],
            )
        ]
        blocks += ["\n".join(f"- {line}" for entry in routes for line in _culprit_lines(entry))]
    blocks += [f"<sub>{_escape_markdown(_describe_environment(data))}</sub>"]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _summary_headline(data: Entry) -> str:
    """One sentence: how many routes hold the loop or answer wrongly."""
    if data["trust"]["verdict"] == "untrusted":
        return "atonce: this run cannot be trusted, so it says nothing"
    verdicts = Counter(item["verdict"] for item in data["routes"])
    holder_count, wrong_count = (
        sum(verdicts[item] for item in _LOOP_VERDICT_NAMES),
        verdicts["wrong-answer"],
    )
    loop_text = (
        f"{format_count(holder_count, 'route')} of {len(data['routes'])}"
        f" {'holds' if holder_count == 1 else 'hold'} the event loop"
    )
    return f"atonce: {loop_text}" + (
        f", {format_count(wrong_count, 'route')} answered wrongly" if wrong_count else ""
    )


def _describe_outcome(data: Entry) -> str:
    """How far the run can be trusted, and how the gates came out."""
    outcome_counts = Counter(item["holds"] for item in data["gates"])
    outcome_names: dict[bool | None, str] = {False: "failed", None: "inconclusive", True: "held"}
    gates = ", ".join(
        f"{outcome_counts[item]} {word}"
        for item, word in outcome_names.items()
        if outcome_counts[item]
    )
    state = "" if data["status"] == "complete" else f", {data['status']}"
    return f"Run: {data['trust']['verdict']}{state}. Gates: {gates or 'none were asked for'}."


def _markdown_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table of cells that are escaped already; nothing without rows."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) if lines[2:] else ""


def _summary_row(entry: Entry) -> Iterator[str]:
    """One route; `-` for what is not known."""
    load = top_load(entry)
    kind = worst_neighbour(entry["neighbours"])
    neighbour, neighbour_load = entry["neighbours"].get(kind, {}), entry.get("neighbours_at")
    suffix = (f" @ {load_level(neighbour_load)}" if neighbour_load else "") + (
        f" ({kind})" if kind != "async" else ""
    )
    yield from (entry["route"], entry["verdict"])
    yield _format_short_value(route_value(entry, "served_at_once"), format_served_at_once)
    yield _format_short_value(summary_value(entry, "service_s"))
    yield str(load_level(load)) if load else "-"
    for name in ("p50_s", "p99_s"):
        value = summary_value(load, name)
        yield f"n={load['completed']}" if load and value.why else _format_short_value(value)
    yield format_share(load_value("errors", entry, load).low) if load else "-"
    yield (
        f"{_format_short_value(summary_value(neighbour, 'idle_p90_s'))} to"
        f" {_format_short_value(summary_value(neighbour, 'loaded_p90_s'))}{suffix}"
        if neighbour
        else "-"
    )


def _format_short_value(
    value: MetricValue, formatter: Callable[[float], str] = format_seconds
) -> str:
    """A number in words, or its bounds; its interval stands elsewhere."""
    return (
        "-"
        if value.why
        else format_metric_value(value, formatter).removeprefix("= ").partition(" [")[0]
    )


def _culprit_lines(entry: Entry) -> Iterator[str]:
    """The culprits, with the remedy below."""
    for culprit in entry["blame"]:
        location = (
            f"{culprit['file']}:{culprit['line']}" if culprit.get("line") else culprit["file"]
        )
        share_text = (
            ""
            if culprit.get("share") is None
            else f" ({format_share(culprit['share'])} of the held time)"
        )
        yield (
            f"{_escape_markdown(entry['route'])}:"
            f" <code>{_escape_markdown(culprit.get('call') or '?')}</code> at"
            f" <code>{_escape_markdown(location)}</code>{share_text}"
        )
    if entry["blame"] and entry["remedy"]:
        yield f"{_escape_markdown(entry['route'])}: {_escape_markdown(entry['remedy'])}"


def _describe_environment(data: Entry) -> str:
    """On what machine, with what."""
    facts = data["environment"]
    versions = ", ".join(
        f"{name} {facts['packages'][name]}"
        for name in ("fastapi", "uvicorn")
        if facts["packages"].get(name)
    )
    details = [
        data["run"],
        format_count(facts["cpus"], "CPU"),
        f"Python {facts['python']}",
        f"loop {facts['loop']}",
        versions,
    ]
    return "; ".join(filter(None, details))
