"""The stored runs: a list, one run's facts, and the run that a name means. Never writes."""

from collections.abc import Iterator
from pathlib import Path

from results.errors import AtonceError, ExitCode
from results.run_info import encode_run_info
from results.schema import Status
from results.store import newest_run, no_run_error, read_run

_RUN_COLUMNS = "{:<44} {:<20} {:<20} {:>5} {:>8}  {}"


def find_run(root: Path, name: str | None) -> Path:
    """Return the run with a folder, a name below `root` or a part of it; the newest for None."""
    if name is None:
        return newest_run(root)
    if Path(name).exists():
        return Path(name)
    matches = [path.parent for path in sorted(root.glob("*/run.json")) if name in path.parent.name]
    if len(matches) == 1:
        return matches[0]
    several = f"{len(matches)} runs in {root} have it in their name"
    why = several if matches else f"there is no such folder, and no run in {root} is called so"
    raise AtonceError(f"{name!r} is not a run of atonce: {why}. See: atonce ls", ExitCode.USAGE)


def format_run_list(root: Path) -> Iterator[str]:
    """Yield a line per run, the newest last; an unreadable run says why."""
    paths = sorted(path.parent for path in root.glob("*/run.json"))
    if not paths:
        raise no_run_error(root)
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
    return encode_run_info(read_run(path))
