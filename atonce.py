"""How many requests can your FastAPI route really serve at once? The API for programs.

    report = atonce.examine("shop.main:app")
    print(report.routes["GET /search"].verdict)

Importing it loads the standard library only. Each command runs in its own process, apart from your
packages.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

__all__ = [
    "AtonceError",
    "Claim",
    "Culprit",
    "Gate",
    "Level",
    "Neighbour",
    "Report",
    "Route",
    "Trust",
    "examine",
    "load",
]

Trust = Literal["trusted", "suspect", "untrusted"]
_T = TypeVar("_T")
_AnyPath = str | os.PathLike[str]
_SUMMARY_FORMAT = 1
_USAGE = 2  # exit code for wrong input
_HERE = Path(__file__).resolve().parent
# our packages: in a folder of this one in a wheel, in this one in a clone
_ROOMS = _HERE / "_rooms" if (_HERE / "_rooms").is_dir() else _HERE


class AtonceError(Exception):
    """A command failed; the text is the command's own sentence.

    `exit_code` is 2 for wrong input, 4 if the app cannot be started or reached, 130 after an
    interruption or a timeout. `report` has the measurements until then, if there are any.
    """

    def __init__(self, sentence: str, exit_code: int, report: "Report | None" = None) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
        self.report = report


@dataclass(frozen=True, slots=True)
class Culprit:
    """A line of code that holds the event loop; `share` is its part of that time, 0 to 1."""

    file: str
    line: int
    function: str
    call: str
    share: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A control route, idle and under load on the examined route."""

    idle_p90_s: float | None
    loaded_p90_s: float | None


@dataclass(frozen=True, slots=True)
class Level:
    """One load level; a latency is None if there are too few samples for it."""

    users: int
    rps: float
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None
    completed: int
    unfinished: int
    errors: int


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the app."""

    name: str
    verdict: str  # a code: scales, loop-blocked, thread-pool, ...
    holds_event_loop: bool  # waiting or computing
    sentence: str
    remedy: str
    service_s: float | None  # latency of lone requests
    served_at_once: float | None
    capacity_rps: float | None
    is_bound: bool  # the two above are lower bounds
    culprits: tuple[Culprit, ...]
    neighbours: Mapping[str, Neighbour]
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition; `holds` is None if the run leaves it open."""

    expression: str
    holds: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement of the lesson, and whether the run confirms it."""

    id: str
    sentence: str
    verdict: str
    predicted: str
    measured: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The results of a run.

    >>> report = load("results/example-doctor")
    >>> report.trust, len(report.routes), report.exit_code
    ('trusted', 33, None)
    """

    path: Path  # the run's folder
    command: str
    status: str
    trust: Trust
    exit_code: int | None  # of `examine`; None for a loaded run
    routes: Mapping[str, Route]
    gates: tuple[Gate, ...]
    claims: tuple[Claim, ...]
    skipped: Mapping[str, str]  # routes without load, and the reason
    raw: Mapping[str, Any] = field(repr=False)  # summary.json


def load(path: _AnyPath) -> Report:
    """Return the report of a stored run, a folder or a part of its name. Raises AtonceError.

    >>> route = load("results/example-doctor").routes["GET /report/blocked"]
    >>> route.verdict, round(route.served_at_once, 1)
    ('loop-blocked', 1.0)
    >>> [(line.file, line.line, line.call) for line in route.culprits]
    [('targets/antipatterns/blocking_io.py', 26, 'time.sleep')]
    >>> load("tests")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    atonce.AtonceError: tests is not a run of atonce: ...
    """
    with suppress(
        OSError, ValueError, KeyError, TypeError, AttributeError
    ):  # missing or cut: render it again
        summary = json.loads(Path(path, "report", "summary.json").read_text(encoding="utf-8"))
        return _read_summary(summary, Path(path), None)
    return replace(_run_command("report", ["--", os.fspath(path)]), exit_code=None)


def examine(  # noqa: PLR0913 - the flags of a command
    target: str = "",
    *flags: str,
    routes: Iterable[str] = (),
    only: Iterable[str] = (),
    exclude: Iterable[str] = (),
    params: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    bodies: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    env_file: _AnyPath | None = None,
    gates: Iterable[str] = (),
    budget: float | None = None,
    requests: int | None = None,
    python: _AnyPath | None = None,
    out: _AnyPath | None = None,
    cwd: _AnyPath | None = None,
    timeout: float | None = None,
) -> Report:
    """Run `atonce doctor` on an app, `module:attribute` or URL, and return the report.

    Each keyword is the flag of that name (`atonce doctor --help`); `flags` are others, such as
    "--factory". `budget` and `timeout` are seconds; the budget leaves routes out, the timeout
    interrupts the run. `cwd` is the folder of the app, its settings and all relative paths.
    Parameters, headers, bodies and variables never appear in a command line. A failed gate is no
    error: see `gates` and `exit_code` of the report.

    Raises AtonceError for wrong input, and if the app cannot be started or reached.

    >>> examine("shop", cwd="tests")
    Traceback (most recent call last):
    atonce.AtonceError: invalid app 'shop': not MODULE:ATTRIBUTE. Example: shop:app
    """
    repeated = {"route": routes, "only": only, "exclude": exclude, "gate": gates}
    single = {
        "env-file": env_file,
        "budget": None if budget is None else f"{budget}s",
        "requests": requests,
        "python": python,
        "out": out,
    }
    words = [f"--{name}={value}" for name, values in repeated.items() for value in _listed(values)]
    words += [f"--{name}={value}" for name, value in single.items() if value is not None]
    variables = _hide_values("PARAM", params) | _hide_values("HEADER", headers, ": ")
    variables |= _hide_values("BODY", bodies) | _hide_values("ENV", env)
    arguments = [*words, *flags, *(["--", target] if target else [])]
    return _run_command("doctor", arguments, variables, cwd, timeout)


def _listed(values: Iterable[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _hide_values(flag: str, values: Mapping[str, object] | None, sign: str = "=") -> dict[str, str]:
    words = [f"{name}{sign}{value}" for name, value in (values or {}).items()]
    return {f"ATONCE_{flag}": json.dumps(words)} if words else {}


def _run_command(
    command: str,
    arguments: list[str],
    variables: Mapping[str, str] | None = None,
    cwd: _AnyPath | None = None,
    timeout: float | None = None,
) -> Report:
    """Run a command in its own process, with -P to keep the caller's packages off its path."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, command, "--json", *arguments],
            cwd=cwd,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # an interruption of ours reaches it through us, once
        )
    except (OSError, ValueError) as error:
        raise AtonceError(f"atonce {command} cannot be started ({error}).", _USAGE) from error
    with process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException as error:
            process.terminate()  # it stops the app and reports its measurements so far
            output, errors = process.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
    try:
        document = json.loads(output)
    except ValueError:  # a usage error, or a flag like --dry-run
        why = errors.partition("Error: ")[2].strip() or errors.strip()
        document = {"error": why or f"atonce {command} printed no report."}
    code = process.returncode
    report = _read_summary(document, Path(document["path"]), code) if "routes" in document else None
    if report is None or "error" in document:
        raise AtonceError(document["error"], code or _USAGE, report)
    return report


def _read_summary(summary: dict[str, Any], path: Path, exit_code: int | None) -> Report:
    """Return a summary as a report. Raises KeyError or TypeError if it was cut or edited."""
    if summary["format"] != _SUMMARY_FORMAT:
        raise AtonceError(f"A newer atonce wrote the report of {path}. Upgrade atonce.", _USAGE)
    return _build(
        Report,
        summary,
        path=path,
        trust=summary["trust"]["verdict"],
        exit_code=exit_code,
        routes={entry["route"]: _read_route(entry) for entry in summary["routes"]},
        gates=tuple(_read_gate(entry) for entry in summary["gates"]),
        claims=tuple(_build(Claim, entry) for entry in summary["claims"]),
        skipped={entry["route"]: entry["why"] for entry in summary.get("skipped", [])},
        raw=summary,
    )


def _read_gate(entry: dict[str, Any]) -> Gate:
    return _build(Gate, entry, sentence=entry.get("words", entry["expression"]))


def _read_route(entry: dict[str, Any]) -> Route:
    neighbours = entry["neighbours"].items()
    return _build(
        Route,
        entry,
        name=entry["route"],
        is_bound=entry.get("is_bound", False),
        holds_event_loop=entry["holds_loop"],
        culprits=tuple(_build(Culprit, item) for item in entry["blame"]),
        neighbours={name: _build(Neighbour, item) for name, item in neighbours},
        levels=tuple(_build(Level, item) for item in entry["levels"]),
    )


def _build(kind: type[_T], entry: Mapping[str, Any], **others: Any) -> _T:
    """Return a `kind` whose fields are the entry's keys of the same names, or `others`."""
    same = {name: entry[name] for name in kind.__annotations__ if name not in others}
    return kind(**same, **others)


def main() -> None:
    """Run the `atonce` command."""
    sys.path.insert(0, str(_ROOMS))
    from command_line import run_command_line  # noqa: PLC0415 - loads more than the API needs

    sys.exit(run_command_line())


if __name__ == "__main__":
    main()
