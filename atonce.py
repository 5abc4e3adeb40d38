"""How many requests can your FastAPI route really serve at once? The front door: the command line.

A room is opened only when its command is typed, so that `--help` answers at once and loads no pandas, matplotlib,
Locust or FastAPI. Settings come from `[tool.atonce]` in pyproject.toml, then `ATONCE_*`, then the flags.
"""

import signal
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

HERE = Path(__file__).resolve().parent
app = typer.Typer(
    help="How many requests can your FastAPI route really serve at once?\n\n"
    "Start with: atonce reproduce   (two minutes: blocking inside `async def` makes requests queue, with proof)\n\n"
    "Then your own app: atonce doctor shop.main:app   (which routes queue, behind what, at which line)\n\n"
    "Every flag may be set as ATONCE_<FLAG>, or in [tool.atonce] of pyproject.toml.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Loop = StrEnum("Loop", ["ASYNCIO", "UVLOOP"])
ItsLoop = StrEnum("ItsLoop", ["AUTO", "ASYNCIO", "UVLOOP"])
Kind = StrEnum("Kind", ["BURST", "CROWD", "STEADY", "NEIGHBOURS", "KNEE"])
Gaps = StrEnum("Gaps", ["POISSON", "CONSTANT"])
Shape = StrEnum("Shape", ["FLAT", "STEPS", "RAMP", "SPIKE"])
Pool = StrEnum("Pool", ["WARM", "COLD", "FRESH"])
Json = Annotated[bool, typer.Option("--json", help="Print summary.json on stdout, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 3 for a suspect run too, not only for an untrusted one.")]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser when it is ready.")]
OneLoop = Annotated[Loop, typer.Option("--loop", help="The event loop that uvicorn runs.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Tell what would be sent, and send nothing.")]
Seed = Annotated[int, typer.Option(help="Seed of all Poisson arrivals.")]
CaCert = Annotated[Path | None, typer.Option("--cacert", help="Certificates, in PEM, that may have signed an https target's.")]
Insecure = Annotated[bool, typer.Option("--insecure", help="Accept any certificate of an https target.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for the runs. Default: results/ in a clone, else ./atonce-results.")
]
OneRun = Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's folder, or part of its name. Default: the newest.")]


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


@app.command(epilog="Examples:  atonce reproduce   |   atonce reproduce --full --dry-run   |   atonce reproduce --repeat 5")
def reproduce(  # noqa: PLR0913 - one parameter per flag
    *,
    loop: OneLoop = Loop.ASYNCIO,
    seconds: Annotated[float, typer.Option(help="How long the work takes: the wait in every variant.")] = 0.1,
    full: Annotated[bool, typer.Option("--full/--quick", help="Also open loads, and the frozen route on both loops.")] = False,
    repeat: Annotated[int, typer.Option(min=1, max=20, help="How often, with every server started anew; intervals from 5 on.")] = 1,
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Leave the probe out of the app: clients' moments only.")] = False,
    out: Out = None,
    seed: Seed = 1,
    dry_run: Dry = False,
    open_page: Open = False,
    as_json: Json = False,
    quiet: Quiet = False,
    strict: Strict = False,
) -> None:
    """Reproduce the claim: one wait, four ways, under load.

    Serves the bundled app, drives async def, def, broken async def and asyncio.to_thread, and writes a report.
    """
    from scenarios.plans import model, reproduce  # noqa: PLC0415

    plan = reproduce.extended(model.reproduction(seconds), repeat, full=full)
    settings = {"loop": loop, "seed": seed, "probe": not no_probe}
    play("reproduce", plan, settings, out, dry_run=dry_run, as_json=as_json, quiet=quiet, strict=strict, open_page=open_page)


def play(command: str, plan: Any, settings: dict[str, Any], out: Path | None, *, dry_run: bool, **manners: Any) -> None:
    """Play a plan on servers of our own."""
    from scenarios import commands  # noqa: PLC0415

    after = "atonce serve" if command == "reproduce" else "atonce reproduce"
    told = commands.outline(plan) if dry_run else None
    go(told, lambda: commands.bundled(command, plan, commands.Settings(**settings), out), plan.estimate(), after, **manners)


def go(told: Iterable[str] | None, begin: Callable[[], Any], seconds: float, after: str, **manners: Any) -> None:
    """Begin a run and drive it, to the exit code; or tell what it would send."""
    if told is not None:
        echo([*told, "next: the same without --dry-run"])
        return
    from reports.render.output import Manners, watched  # noqa: PLC0415

    run, drive = begin()
    raise typer.Exit(watched(run.path, drive, seconds, after, Manners(**manners)))


@app.command(
    epilog="Examples:  atonce run crowd --host http://127.0.0.1:8002 --route /broken-async -u 1,8,32   |   "
    "atonce run steady --host :8002 --route 'GET /async' --rate 200/s -t 30s   |   atonce run knee --host :8002 --route /sync"
)
def run(  # noqa: PLR0913 - one parameter per flag
    scenario: Annotated[Kind, typer.Argument(help="How to press.", show_default=False)],
    *,
    host: Annotated[str, typer.Option("--host", "-H", help="URL of what to press, served on this machine.")] = "",
    route: Annotated[
        list[str] | None,
        typer.Option("--route", help="What to ask, such as 'GET /items/1'. Again for more. [ATONCE_ROUTE: commas]"),
    ] = None,
    users: Annotated[str, typer.Option("--users", "-u", help="Levels of users: burst, crowd, knee. [default: 20; 1,50; 64]")] = "",
    rate: Annotated[str, typer.Option(help="Levels of arrivals: steady, neighbours. [default: 20/s; 24/s]")] = "",
    run_time: Annotated[str, typer.Option("--run-time", "-t", help="How long each level lasts.")] = "10s",
    repeat: Annotated[int, typer.Option(min=1, max=100, help="How often to measure it all.")] = 1,
    arrivals: Annotated[Gaps, typer.Option(help="Spread of the gaps between arrivals.")] = Gaps.POISSON,
    shape: Annotated[Shape, typer.Option(help="How the rate moves; --rate is its highest.")] = Shape.FLAT,
    connections: Annotated[Pool, typer.Option("--connections", "--pool", help="Opened before, on demand, or anew.")] = Pool.WARM,
    cap: Annotated[int, typer.Option(min=1, max=1000, help="Requests in flight at most; what is refused is counted.")] = 900,
    think: Annotated[str, typer.Option(help="Pause of a user between answer and next question.")] = "0s",
    drain: Annotated[str, typer.Option(help="How long to wait for answers after each level.")] = "10s",
    allow_host: Annotated[str | None, typer.Option(help="Name of another machine that may be loaded, because it is yours.")] = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
    out: Out = None,
    seed: Seed = 1,
    dry_run: Dry = False,
    open_page: Open = False,
    as_json: Json = False,
    quiet: Quiet = False,
    strict: Strict = False,
) -> None:
    """Press any host on this machine with one scenario.

    burst: all at once. crowd: users who wait for their answers. steady: arrivals at a rate, whatever becomes of them.
    neighbours: both innocent routes of the bundled app. knee: latency from 20 % to 120 % of the capacity it measures first.
    """
    from scenarios import commands  # noqa: PLC0415
    from scenarios.system.tls import Trust  # noqa: PLC0415

    words = {"users": users, "rates": rate, "seconds": run_time, "think": think, "drain": drain}
    chosen = {"law": arrivals, "shape": shape, "pool": connections, "cap": cap, "repeat": repeat}
    order = commands.order_of(scenario, host, allow_host, route or [], words, chosen, Trust.of(cacert, host, insecure=insecure))
    plan = commands.plan_of(order)
    manners = {"as_json": as_json, "quiet": quiet, "strict": strict, "open_page": open_page}
    told = commands.outline(plan) if dry_run else None
    go(told, lambda: commands.press(plan, order, seed, out), plan.estimate(), "atonce ls", **manners)


@app.command(epilog="Examples:  atonce report   |   atonce report results/example   |   atonce report --json | python -m json.tool")
def report(run: OneRun = None, *, out: Out = None, open_page: Open = False, as_json: Json = False, strict: Strict = False) -> None:
    """Render a stored run again: page, charts, summary."""
    from reports.render.output import Manners, conclude, present  # noqa: PLC0415
    from results.listing import find  # noqa: PLC0415
    from results.store import default_root  # noqa: PLC0415

    manners = Manners(as_json=as_json, quiet=True, strict=strict, open_page=open_page)
    found = present(find(out or default_root(), run), None)
    raise typer.Exit(conclude(*found, None, "atonce reproduce", manners))


@app.command(epilog="Examples:  atonce selfcheck   |   atonce selfcheck --loop uvloop   |   atonce selfcheck --dry-run")
def selfcheck(  # noqa: PLR0913 - one parameter per flag
    *,
    loop: OneLoop = Loop.ASYNCIO,
    out: Out = None,
    seed: Seed = 1,
    dry_run: Dry = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the harness itself, on servers whose truth is known: how far off is it on this machine? Five minutes."""
    from scenarios.plans.selfcheck import plan_of  # noqa: PLC0415

    manners = {"as_json": as_json, "quiet": quiet, "strict": False, "open_page": False}
    play("selfcheck", plan_of(), {"loop": loop, "seed": seed}, out, dry_run=dry_run, **manners)


@app.command(
    epilog="Examples:  atonce claims --list   |   atonce claims gather-overlaps   |   atonce claims blocks-loop def-pool --dry-run"
)
def claims(  # noqa: PLR0913 - one parameter per flag
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Which claims to measure; none: list them all.")
    ] = None,
    *,
    list_all: Annotated[bool, typer.Option("--list", help="List all claims, with the seconds that each one takes.")] = False,
    loop: OneLoop = Loop.ASYNCIO,
    out: Out = None,
    seed: Seed = 1,
    dry_run: Dry = False,
    open_page: Open = False,
    as_json: Json = False,
    quiet: Quiet = False,
    strict: Strict = False,
) -> None:
    """Measure single statements of the lesson, each with its prediction; or list them."""
    from reports.claims import listing, needs_of  # noqa: PLC0415
    from scenarios.plans.reproduce import chosen  # noqa: PLC0415

    if list_all or not ids:
        echo(listing(lambda needs: chosen(needs).estimate()))
        return
    manners = {"as_json": as_json, "quiet": quiet, "strict": strict, "open_page": open_page}
    play("claims", chosen(needs_of(ids)), {"loop": loop, "seed": seed, "claims": ids}, out, dry_run=dry_run, **manners)


@app.command(
    epilog="Examples:  atonce doctor shop.main:app   |   atonce doctor http://127.0.0.1:8000   |   "
    "atonce doctor shop.main:app --gate 'served_at_once(GET /search) >= 20' --dry-run"
)
def doctor(  # noqa: PLR0913 - one parameter per flag
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="MODULE:APP | URL", help="Your app, or where it answers.", show_default=False)
    ] = "",
    *,
    app_dir: Annotated[Path | None, typer.Option(help="Folder that the module is looked for in. Default: this one.")] = None,
    factory: Annotated[bool, typer.Option("--factory", help="MODULE:APP is a function that makes the app.")] = False,
    python: Annotated[str | None, typer.Option(help="Interpreter, or environment, of the app. Default: the active one.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes of the app.")] = 1,
    loop: Annotated[ItsLoop, typer.Option("--loop", help="The event loop of the app.")] = ItsLoop.AUTO,
    env: Annotated[list[str] | None, typer.Option(help="KEY=VALUE for the app; never shown. Again for more.")] = None,
    env_file: Annotated[Path | None, typer.Option(help="A file of KEY=VALUE lines for the app.")] = None,
    start: Annotated[str, typer.Option(help="Your own command that starts it; with --url.")] = "",
    url: Annotated[str, typer.Option(help="Where it answers then.")] = "",
    route: Annotated[list[str] | None, typer.Option(help="Examine this one, even if it may change data: 'POST /search'.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Examine routes like this glob: '/api/*'.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out routes like this glob.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter's value: item_id=1.")] = None,
    header: Annotated[list[str] | None, typer.Option(help="Sent along, never shown: 'Authorization: Bearer ...'.")] = None,
    body: Annotated[list[str] | None, typer.Option(help="A route's body: 'POST /search=@query.json'.")] = None,
    budget: Annotated[str, typer.Option(help="How long it may take in all; what does not fit is unknown.")] = "8m",
    requests: Annotated[int, typer.Option(min=1000, max=200_000, help="Requests per route, at most.")] = 20_000,
    stop_within: Annotated[str, typer.Option(help="How long the app may take to end when asked to, until it is killed.")] = "10s",
    gate: Annotated[list[str] | None, typer.Option(help="Must hold, else exit 1: 'p99(GET /x) @ 16u < 250ms'.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML there.")] = None,
    allow_host: Annotated[str | None, typer.Option(help="Name of another machine that may be loaded, because it is yours.")] = None,
    cacert: CaCert = None,
    insecure: Insecure = False,
    out: Out = None,
    seed: Seed = 1,
    dry_run: Dry = False,
    open_page: Open = False,
    as_json: Json = False,
    quiet: Quiet = False,
    strict: Strict = False,
) -> None:
    """Examine your own app: which routes queue, behind what, at which line, and what to write instead.

    Starts it with its own interpreter, unchanged, a fresh process per route; asks only GET and HEAD unless you name others;
    at most 64 users and 20,000 requests per route. A GET may call paid or remote services too: look at --dry-run first.
    """
    from results.config import named, typed  # noqa: PLC0415
    from scenarios.doctor import commands  # noqa: PLC0415
    from scenarios.system.tls import Trust  # noqa: PLC0415

    target, start, url = named(context, target=target, start=start, url=url)
    served = {"app_dir": app_dir, "factory": factory, "python": python, "workers": workers, "loop": loop}
    trust = Trust.of(cacert, url or target, insecure=insecure)
    patient = commands.patient_of(
        target, start, url, allow_host, typed(context, commands.OURS), trust, **served, env=env, env_file=env_file
    )
    chosen = {"routes": route, "only": only, "exclude": exclude, "params": param, "bodies": body, "headers": header}
    order = commands.order_of(patient, chosen, gate or [], budget, requests, seed, stop_within)
    manners = {"as_json": as_json, "quiet": quiet, "strict": strict, "open_page": open_page, "junit": junit}
    told = commands.outline(order) if dry_run else None
    go(told, lambda: commands.prepared(order, out), order.budget, "atonce report", **manners)


@app.command("ls", epilog="Examples:  atonce ls   |   atonce ls --out elsewhere")
def list_runs(*, out: Out = None) -> None:
    """List the stored runs, the newest last."""
    from results.listing import listing  # noqa: PLC0415
    from results.store import default_root  # noqa: PLC0415

    echo([*listing(out or default_root()), "next: atonce show RUN" + (f" --out {out}" if out else "")])


@app.command(epilog="Examples:  atonce show   |   atonce show results/example   |   atonce show 7f3a --json")
def show(
    run: OneRun = None, *, out: Out = None, as_json: Annotated[bool, typer.Option("--json", help="Print run.json.")] = False
) -> None:
    """Show a stored run: what, where, when, with which plan and versions."""
    from results.listing import description, facts, find  # noqa: PLC0415
    from results.store import default_root  # noqa: PLC0415

    path = find(out or default_root(), run)
    echo([facts(path)] if as_json else [*description(path), f"next: atonce report {path}"])


@app.command(epilog="Examples:  atonce scenarios   |   locust -f $(atonce scenarios crowd) --host http://127.0.0.1:8002")
def scenarios(name: Annotated[str | None, typer.Argument(help="One scenario: print its path alone.")] = None) -> None:
    """Print where the scenario files lie, for plain Locust."""
    from scenarios.commands import place, places  # noqa: PLC0415

    echo([str(place(name))] if name else places())


@app.command(epilog="Examples:  atonce serve   |   atonce serve --port 9000 --loop uvloop   |   atonce serve --threads 80")
def serve(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8002,
    loop: OneLoop = Loop.ASYNCIO,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 1,
    threads: Annotated[int, typer.Option(min=1, max=1000, help="AnyIO's thread tokens per worker.")] = 40,
) -> None:
    """Serve the bundled app, for curl or plain Locust. Ctrl-C ends it.

    It carries the probe, whose moments travel in a header; ATONCE_TARGET_PROBE=0 leaves it out.
    """
    from scenarios.commands import must_be_free  # noqa: PLC0415

    must_be_free(port)
    from targets.__main__ import serve as serve_target  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.default_int_handler)  # as uvicorn expects it: Ctrl-C is its ordinary end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve_target(port, loop, workers, threads)


def echo(lines: Any) -> None:
    """Print lines, and end quietly when the reader has left."""
    from results.errors import may_be_cut_short  # noqa: PLC0415

    may_be_cut_short()
    typer.echo("\n".join(lines))


def rooms() -> Path:
    """The folder that holds the four rooms: one level down in a wheel, beside this file in a clone."""
    return private if (private := HERE / "atonce_rooms").is_dir() else HERE


def start() -> None:
    """Read the settings, then the command line. Who typed nothing wrong may have written it down wrong."""
    from results.config import settle  # noqa: PLC0415

    built = typer.main.get_command(app)
    settings = settle(built)
    try:
        built(prog_name="atonce")
    except SystemExit as end:
        if end.code == 2 and settings:  # noqa: PLR2004 - Exit.USAGE, before any room is open
            typer.echo(f"({settings})", err=True)
        raise


def main() -> None:
    """The `atonce` command."""
    sys.path.insert(0, str(rooms()))
    from results.errors import guarded  # noqa: PLC0415

    sys.exit(guarded(start))


if __name__ == "__main__":
    main()
