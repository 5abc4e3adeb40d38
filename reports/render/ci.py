"""What CI shows of a run: a Markdown step summary, and annotations on the culprits' lines.

All of it comes from the summary. Whatever came from outside - routes, files, calls, sentences - is
escaped, since a path may hold a pipe, a backtick, a tag or a colon that would mean something here.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.gates.evaluate import list_problem_checks, sort_worst_first
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
from reports.render.columns import Column, markdown_table
from reports.render.tables import GATE_COLUMNS
from results.formatting import format_count, format_seconds, format_served_at_once, format_share
from results.judgement.waits import RUNNING
from results.verdicts import VERDICTS, Verdict, VerdictFacts

MAX_SUMMARY_BYTES = 1024 * 1024  # of all that one step writes into its summary
_MAX_ANNOTATIONS = 10  # of each kind: GitHub drops the rest silently
_MAX_PROBLEMS = 8
CUT_NOTICE = "\n(cut here: a step's summary holds 1 MiB; the report has the rest)\n"


def report_to_ci(
    data: Entry, environment: Mapping[str, str], roots: Sequence[Path] = (), *, as_json: bool
) -> None:
    """Write GitHub's step summary and print the annotations; stdout stays free for JSON."""
    if file_name := environment.get("GITHUB_STEP_SUMMARY"):
        path = Path(file_name)
        try:
            free_bytes = MAX_SUMMARY_BYTES - (path.stat().st_size if path.exists() else 0)
            with path.open("ab") as file:
                file.write(_truncate_text(step_summary(data), free_bytes).encode())
        except OSError as error:  # the result itself matters more
            why = error.strerror or error
            print(f"atonce: the step summary cannot be written ({why}).", file=sys.stderr)
    for line in create_annotations(data, environment, roots):
        print(line, file=sys.stderr if as_json else sys.stdout, flush=True)


def create_annotations(
    data: Entry, environment: Mapping[str, str], roots: Sequence[Path] = ()
) -> list[str]:
    """Create workflow commands, worst first; none outside GitHub, none of an untrusted run.

    `roots` are the folders from which the report names its files.
    """
    if environment.get("GITHUB_ACTIONS") != "true" or data["trust"]["verdict"] == "untrusted":
        return []
    root, lines = Path(environment.get("GITHUB_WORKSPACE") or _repository_root()), []
    remaining = Counter({"error": _MAX_ANNOTATIONS, "warning": _MAX_ANNOTATIONS})
    for entry in sort_worst_first(data):
        facts = VERDICTS[Verdict(entry["verdict"])]
        if remaining[facts.ci_level] > 0:
            remaining[facts.ci_level] -= 1
            lines.append(_create_annotation(facts, entry, root, roots))
    return lines


def _create_annotation(facts: VerdictFacts, entry: Entry, root: Path, roots: Sequence[Path]) -> str:
    """Return a workflow command: where the loop is held, or most requests wait, or the route is."""
    waits = (wait for wait in entry.get("waits", []) if wait["file"] and wait["what"] != RUNNING)
    waiting: Entry = next(waits, entry)
    culprit: Entry = max(entry["blame"], key=lambda item: item.get("share") or 0.0, default=waiting)
    values: dict[str, Any] = {"title": facts.ci_title}
    if culprit.get("file"):
        file = _path_in_checkout(culprit["file"], root, roots)
        values = {"file": file, "line": culprit.get("line"), **values}
    pairs = [f"{name}={_escape_property(str(value))}" for name, value in values.items() if value]
    properties, text = ",".join(pairs), entry["sentence"]
    if culprit.get("call") and facts.holds_loop:
        hold = f" for {format_seconds(entry['hold_s'])} per request" if entry.get("hold_s") else ""
        text = f"{culprit['call']} holds the event loop{hold}. {text}"
    message = "\n".join(filter(None, (text, entry["remedy"])))
    return f"::{facts.ci_level} {properties}::{_escape_message(message)}"


def _repository_root() -> Path:
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)


def _path_in_checkout(file: str, root: Path, roots: Sequence[Path]) -> str:
    """Return a file as GitHub knows it: relative to the checkout, if it lies in there."""
    candidates = [Path(os.path.normpath(candidate / file)) for candidate in (*roots, Path.cwd())]
    path = next((candidate for candidate in candidates if candidate.is_file()), candidates[-1])
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _escape_message(text: str) -> str:
    return _replace_unprintable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _escape_property(text: str) -> str:
    return _escape_message(text).replace(":", "%3A").replace(",", "%2C")


def _replace_unprintable(text: str) -> str:
    """Replace what moves a cursor, turns the writing direction or cannot be encoded."""
    return "".join(character if character.isprintable() else " " for character in text)


def _escape_markdown(value: Any) -> str:
    """Return one line in which no character means anything to Markdown or HTML."""
    text = " ".join(_replace_unprintable(str(value).replace("\n", " ")).split())
    return re.sub(r"[^\w\s/.,()=+%-]|_", lambda match: f"&#{ord(match[0])};", text)


def _truncate_text(text: str, max_bytes: int) -> str:
    """Return the whole lines that fit into so many bytes, and a notice where the text was cut."""
    if len(text.encode()) <= max_bytes:
        return text
    room = max_bytes - len(CUT_NOTICE.encode())
    if room < 0:
        return ""
    kept = text.encode()[:room]
    return kept[: kept.rfind(b"\n") + 1].decode() + CUT_NOTICE


def step_summary(data: Entry) -> str:
    """Return the whole step summary as Markdown."""
    # What failed comes first
    problems = sorted(list_problem_checks(data), key=lambda entry: entry["status"])
    reasons = ["{status}: {name}, {cell}: {why}".format(**entry) for entry in problems]
    blocks = [
        f"## {_escape_markdown(_summary_headline(data))}",
        _escape_markdown(_describe_outcome(data)),
        "\n".join(f"- {_escape_markdown(reason)}" for reason in reasons[:_MAX_PROBLEMS]),
        markdown_table(GATE_COLUMNS, data["gates"], _escape_markdown),
    ]
    if data["trust"]["verdict"] != "untrusted":
        routes = sort_worst_first(data)
        blocks += [
            markdown_table(_SUMMARY_COLUMNS, routes, _escape_markdown),
            "\n".join(f"- {line}" for entry in routes for line in _culprit_lines(entry)),
        ]
    blocks += [f"<sub>{_escape_markdown(_describe_environment(data))}</sub>"]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _summary_headline(data: Entry) -> str:
    """Return how many routes hold the loop or answer wrongly."""
    if data["trust"]["verdict"] == "untrusted":
        return "atonce: this run cannot be trusted, so it shows nothing"
    verdicts = [Verdict(entry["verdict"]) for entry in data["routes"]]
    holding = sum(VERDICTS[verdict].holds_loop for verdict in verdicts)
    wrong = verdicts.count(Verdict.WRONG_ANSWER)
    verb, routes = "holds" if holding == 1 else "hold", format_count(holding, "route")
    text = f"atonce: {routes} of {len(verdicts)} {verb} the event loop"
    return f"{text}, {format_count(wrong, 'route')} answered wrongly" if wrong else text


def _describe_outcome(data: Entry) -> str:
    """Return how far the run can be trusted, and how the gates came out."""
    counts = Counter(gate["holds"] for gate in data["gates"])
    names: dict[bool | None, str] = {False: "failed", None: "inconclusive", True: "passed"}
    gates = ", ".join(f"{counts[holds]} {name}" for holds, name in names.items() if counts[holds])
    state = "" if data["status"] == "complete" else f", {data['status']}"
    return f"Run: {data['trust']['verdict']}{state}. Gates: {gates or 'none'}."


def _format_short_value(
    value: MetricValue, formatter: Callable[[float], str] = format_seconds
) -> str:
    """Return a number in words, or its bounds, without its interval."""
    if value.why:
        return "-"
    return format_metric_value(value, formatter).removeprefix("= ").partition(" [")[0]


def _format_top_quantile(entry: Entry, key: str) -> str:
    load = top_load(entry)
    value = summary_value(load, key)
    return f"n={load['completed']}" if load and value.why else _format_short_value(value)


def _format_top_errors(entry: Entry) -> str:
    load = top_load(entry)
    return format_share(load_value("errors", entry, load).low) if load else "-"


def _format_neighbour(entry: Entry) -> str:
    kind, load = worst_neighbour(entry["neighbours"]), entry.get("neighbours_at")
    if not kind:
        return "-"
    keys = "idle_p90_s", "loaded_p90_s"
    values = [_format_short_value(summary_value(entry["neighbours"][kind], key)) for key in keys]
    text = " to ".join(values) + (f" @ {load_level(load)}" if load else "")
    return text if kind == "async" else f"{text} ({kind})"


def _format_served(entry: Entry) -> str:
    return _format_short_value(route_value(entry, "served_at_once"), format_served_at_once)


_SUMMARY_COLUMNS: tuple[Column[Entry], ...] = (  # `-` for what is not known
    Column("route", lambda entry: entry["route"]),
    Column("verdict", lambda entry: entry["verdict"]),
    Column("served at once", _format_served),
    Column("unloaded", lambda entry: _format_short_value(summary_value(entry, "service_s"))),
    Column("load", lambda entry: str(load_level(load)) if (load := top_load(entry)) else "-"),
    Column("p50", lambda entry: _format_top_quantile(entry, "p50_s")),
    Column("p99", lambda entry: _format_top_quantile(entry, "p99_s")),
    Column("errors", _format_top_errors),
    Column("neighbour p90", _format_neighbour),
)


def _culprit_lines(entry: Entry) -> Iterator[str]:
    """Yield the culprits, with the remedy below."""
    route, remedy = _escape_markdown(entry["route"]), _escape_markdown(entry["remedy"])
    for culprit in entry["blame"]:
        call = _escape_markdown(culprit.get("call") or "?")
        line = f":{culprit['line']}" if culprit.get("line") else ""
        place = _escape_markdown(f"{culprit['file']}{line}")
        share = culprit.get("share")
        suffix = "" if share is None else f" ({format_share(share)} of the time the loop is held)"
        yield f"{route}: <code>{call}</code> at <code>{place}</code>{suffix}"
    if entry["blame"] and remedy:
        yield f"{route}: {remedy}"


def _describe_environment(data: Entry) -> str:
    """Return the run, the machine, and the versions of what matters."""
    facts = data["environment"]
    packages = {name: facts["packages"].get(name) for name in ("fastapi", "uvicorn")}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    machine = f"{format_count(facts['cpus'], 'CPU')}; Python {facts['python']}"
    text = f"{data['run']}; {machine}; loop {facts['loop']}"
    return f"{text}; {versions}" if versions else text
