"""The stored runs: a list, one run's facts, and the run that a name means. Never writes."""

from collections.abc import Iterator
from pathlib import Path

from results.errors import AtonceError, UsageError
from results.schema import Status
from results.store import default_root, read_run

_RUN_COLUMNS = "{:<44} {:<20} {:<20} {:>5} {:>8}  {}"
_NO_RUN = "There is no run in {} yet. Make one: atonce reproduce"


def _list_runs(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/run.json"))


def find_run(out: Path | None, name: str | None) -> Path:
    """Return a run by its path or a part of its name; for None the newest, but no example."""
    root = out or default_root()
    if name is None:
        runs = [run for run in _list_runs(root) if not run.name.startswith("example")]
        if not runs:
            raise UsageError(_NO_RUN.format(root))
        return runs[-1]
    if Path(name).exists():
        return Path(name)
    matches = [run for run in _list_runs(root) if name in run.name]
    if len(matches) == 1:
        return matches[0]
    several = f"{len(matches)} runs in {root} have it in their name"
    why = several if matches else f"there is no such folder, and no run in {root} has this name"
    raise UsageError(f"{name!r} is not a run of atonce: {why}. See: atonce ls")


def format_run_list(out: Path | None) -> Iterator[str]:
    """Yield a line per run, the newest last; an unreadable run says why."""
    root = out or default_root()
    paths = _list_runs(root)
    if not paths:
        raise UsageError(_NO_RUN.format(root))
    yield _RUN_COLUMNS.format("run", "started (UTC)", "what", "cells", "seconds", "status")
    for path in paths:
        try:
            run = read_run(path)
            started = run.started.partition("+")[0].replace("T", " ")
            seconds = "-" if run.seconds is None else f"{run.seconds:.1f}"
            facts = [started, run.label, str(len(run.plan.cells)), seconds, str(run.status)]
        except AtonceError as error:
            facts = [*"----", f"not readable: {error.sentence}"]
        yield _RUN_COLUMNS.format(path.name, *facts)


def describe_run(path: Path) -> Iterator[str]:
    """Yield a run's plan, place and versions, and its files."""
    run = read_run(path)
    machine = {name: getattr(run.machine, name) for name in ("system", "python", "cpus")}
    packages = [f"{name} {version}" for name, version in run.packages.items() if version]
    is_running = run.status is Status.RUNNING
    lines = {
        "run": run.run,
        "what": run.label,
        "status": run.status + (" (never closed: still running, or killed)" if is_running else ""),
        "started": run.started,
        "target": run.host or f"the bundled app, {run.loop} loop",
        "seed": run.seed,
        "connections": run.connections,
        "machine": ", ".join(f"{name} {value}" for name, value in machine.items()),
        "packages": ", ".join(packages),
        "cells": " ".join(f"[{cell.name}]" for cell in run.plan.cells),
    }
    yield from (f"{name:<12} {value}" for name, value in lines.items())
    yield from (f"{'trouble':<12} {sentence}" for sentence in run.troubles)
    for file in sorted(path.rglob("*")):
        if file.is_file() and "report" not in file.relative_to(path).parts:
            yield f"{'file':<12} {file.relative_to(path)}  {file.stat().st_size:,} bytes"


def run_json_text(path: Path) -> str:
    """Return run.json as stored, for programs."""
    read_run(path)  # raises a sentence for what is no run
    return (path / "run.json").read_text(encoding="utf-8")
