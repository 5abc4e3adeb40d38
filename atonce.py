"""How many requests can your FastAPI route really serve at once? The front door: the command line.

A room is opened only when its command is typed, so that `--help` answers at once and loads no pandas, matplotlib,
Locust or FastAPI. This is the only place that prints a trouble and exits with its code.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from importlib import metadata, util
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reports.report import Report
    from results.trouble import Trouble

HERE = Path(__file__).resolve().parent
app = typer.Typer(
    name="atonce",
    help="How many requests can your FastAPI route really serve at once?\n\n"
    "Start with: atonce reproduce   (two minutes: blocking inside `async def` makes requests queue, with proof)",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


class Loop(StrEnum):
    """The event loops that uvicorn can run."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


Json = Annotated[bool, typer.Option("--json", help="Print summary.json on stdout, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 3 for a suspect run too, not only for an untrusted one.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser when it is ready.")]
OneLoop = Annotated[Loop, typer.Option("--loop", help="The event loop that uvicorn runs.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for the runs. Default: results/ in a clone, else ./atonce-results.")
]


def tell_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Print the version and leave."""
    if asked:
        typer.echo(f"atonce {metadata.version('atonce')}")
        raise typer.Exit


@app.callback()
def front_door(
    *,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", is_eager=True, callback=tell_version)
    ] = False,
) -> None:
    """What all commands share."""


@app.command(epilog="Examples:  atonce reproduce   |   atonce reproduce --loop uvloop   |   atonce reproduce --dry-run")
def reproduce(  # noqa: PLR0913 - one parameter per flag
    *,
    loop: OneLoop = Loop.ASYNCIO,
    seconds: Annotated[float, typer.Option(help="How long the work takes: the wait in every variant.")] = 0.1,
    out: Out = None,
    seed: Annotated[int, typer.Option(help="Seed of the neighbours' Poisson schedule.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be sent, and send nothing.")] = False,
    open_page: Open = False,
    as_json: Json = False,
    quiet: Quiet = False,
    strict: Strict = False,
) -> None:
    """Reproduce the claim: one wait, four ways, under load.

    Serves the bundled app, drives async def, def, broken async def and asyncio.to_thread, and writes a report.
    """
    from reports.console import Progress  # noqa: PLC0415
    from results.store import RunFolder, default_root  # noqa: PLC0415
    from results.trouble import Exit, Trouble  # noqa: PLC0415
    from scenarios._plan import outline, reproduction  # noqa: PLC0415

    plan = reproduction(seconds)
    if dry_run:
        may_be_cut_short()
        typer.echo("\n".join([*outline(plan), "next: atonce reproduce"]))
        return
    if util.find_spec(loop) is None:
        sentence = f"The {loop} loop is not installed in this environment. Install it, or leave --loop out."
        raise Trouble(sentence, Exit.USAGE)
    from scenarios._driver import Settings, drive  # noqa: PLC0415

    run = RunFolder.create(out or default_root(clone()), "reproduce")
    trouble = None
    with Progress(plan.estimate(), quiet=quiet or as_json) as progress:
        try:
            drive(plan, Settings(loop=loop, seed=seed, server_env={}), run, progress)
        except Trouble as caught:
            trouble = caught
        progress.tell("drawing the report", progress.done)
        finished = present(run.path, trouble)
    conclude(*finished, as_json=as_json, strict=strict, open_page=open_page, following="atonce serve", trouble=trouble)


@app.command(epilog="Examples:  atonce report   |   atonce report results/example   |   atonce report --json | python -m json.tool")
def report(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run. Default: the newest.")] = None,
    *,
    open_page: Open = False,
    as_json: Json = False,
    strict: Strict = False,
) -> None:
    """Render a stored run again: page, charts, summary."""
    from results.store import default_root, newest  # noqa: PLC0415

    path = run or newest(default_root(clone()))
    conclude(*present(path, None), as_json=as_json, strict=strict, open_page=open_page, following="atonce reproduce", trouble=None)


@app.command(epilog="Examples:  atonce serve   |   atonce serve --port 9000 --loop uvloop   |   atonce serve --threads 80")
def serve(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8002,
    loop: OneLoop = Loop.ASYNCIO,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 1,
    threads: Annotated[int, typer.Option(min=1, max=1000, help="AnyIO's thread tokens per worker.")] = 40,
) -> None:
    """Serve the bundled app, for curl or plain Locust. Ctrl-C ends it."""
    import socket  # noqa: PLC0415

    from results.trouble import Exit, Trouble  # noqa: PLC0415

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sentence = f"Port {port} cannot be used ({error.strerror}). Choose another: atonce serve --port {port % 65535 + 1}"
            raise Trouble(sentence, Exit.TARGET) from error
    from targets.__main__ import serve as serve_target  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.default_int_handler)  # as uvicorn expects it: Ctrl-C is its ordinary end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve_target(port, loop, workers, threads)


def present(path: Path, trouble: "Trouble | None") -> "tuple[Report | None, dict[str, Any]]":
    """Judge and render a run. After a trouble, a run with nothing to show is no second trouble."""
    from reports.report import explain, write  # noqa: PLC0415
    from results.trouble import Trouble  # noqa: PLC0415

    try:
        found = explain(path)
        return found, write(found)
    except Trouble:
        if trouble is None:
            raise
        return None, {}


def conclude(  # noqa: PLR0913 - the last lines depend on all of it
    found: "Report | None",
    data: dict[str, Any],
    *,
    as_json: bool,
    strict: bool,
    open_page: bool,
    following: str,
    trouble: "Trouble | None",
) -> None:
    """Print the result, then leave with the exit code that weighs most: 2, 4, 130, 3, 1, 0."""
    if found is None:
        assert trouble is not None  # noqa: S101 - nothing to show only after a trouble
        raise trouble
    may_be_cut_short()
    page = found.path / "report" / "index.html"
    code = trouble.code if trouble else found.exit_code(strict=strict)
    if as_json:
        typer.echo(json.dumps({**data, "exit_code": code}, indent=1, allow_nan=False))
    else:
        from reports.console import console  # noqa: PLC0415
        from reports.terminal import show  # noqa: PLC0415

        show(found, console(sys.stdout))
        typer.echo(f"report: {relative(page)}   next: {following}")
    if open_page:
        import webbrowser  # noqa: PLC0415

        webbrowser.open(page.resolve().as_uri())
    if trouble:
        typer.echo(f"atonce: {trouble.sentence}", err=True)
    raise typer.Exit(code)


def relative(path: Path) -> Path:
    """A path as short as it can be said from here."""
    with suppress(ValueError):
        return path.resolve().relative_to(Path.cwd())
    return path


def rooms() -> Path:
    """The folder that holds the four rooms: one level down in a wheel, beside this file in a clone."""
    return private if (private := HERE / "atonce_rooms").is_dir() else HERE


def clone() -> Path | None:
    """The clone that this file lies in, or None when it was installed from a wheel."""
    return HERE if rooms() == HERE else None


def guarded(run: Callable[[], Any]) -> int:
    """Run the command line; whatever stops it becomes a sentence and a code, never a traceback."""
    from results.trouble import Exit, Trouble  # noqa: PLC0415

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Nothing to save here: what was measured lies in files already. Raising would be lost inside a destructor.
        told = Trouble("Interrupted. What was measured so far lies in the run's folder.", Exit.INTERRUPTED)
        tell(told)
        os._exit(told.code)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        run()
    except Trouble as trouble:
        tell(trouble)
        return trouble.code
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours must not look like a refuted claim
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        sentence = f"a fault of atonce itself ({type(error).__name__}: {error}, {where}). Files are kept; please report it."
        typer.echo(f"atonce: {sentence}", err=True)
        return Exit.UNTRUSTED
    return 0


def tell(trouble: "Trouble") -> None:
    """A sentence on stderr, and JSON on stdout for whom asked. Unbuffered, for a signal's handler may be the caller."""
    if "--json" in sys.argv:
        data = {"format": 1, "error": trouble.sentence, "exit_code": trouble.code}
        os.write(1, (json.dumps(data, indent=1) + "\n").encode())
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar may have hidden it
    os.write(2, f"{show_cursor}atonce: {trouble.sentence}\n".encode())


def may_be_cut_short() -> None:
    """From here on we only print: if the reader leaves (`| head`), end as quietly as any other Unix command."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def main() -> None:
    """The `atonce` command."""
    sys.path.insert(0, str(rooms()))
    sys.exit(guarded(app))


if __name__ == "__main__":
    main()
