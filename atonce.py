"""How many requests can your FastAPI route really serve at once? The command line.

A room is opened only when its command is typed, so that `--help` answers at once and loads no
pandas, matplotlib, Locust or FastAPI. Settings come from `[tool.atonce]` in pyproject.toml, then
`ATONCE_*`, then the flags.
"""

import signal
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

_HERE = Path(__file__).resolve().parent
cli = typer.Typer(
    help=(
        "How many requests can your FastAPI route really serve at once?\n\nStart with: atonce"
        " reproduce   (two minutes: blocking inside `async def` makes requests queue, with"
        " proof)\n\nThen your own app: atonce doctor shop.main:app   (which routes queue, behind"
        " what, at which line)\n\nEvery flag may be set as ATONCE_<FLAG>, or in [tool.atonce] of"
        " pyproject.toml."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

_Loop = StrEnum("_Loop", ["ASYNCIO", "UVLOOP"])
AppLoop = StrEnum("AppLoop", ["AUTO", "ASYNCIO", "UVLOOP"])
ScenarioName = StrEnum("ScenarioName", ["BURST", "CROWD", "STEADY", "NEIGHBOURS", "KNEE"])
ArrivalGaps = StrEnum("ArrivalGaps", ["POISSON", "CONSTANT"])
RateShape = StrEnum("RateShape", ["FLAT", "STEPS", "RAMP", "SPIKE"])
ConnectionChoice = StrEnum("ConnectionChoice", ["WARM", "COLD", "FRESH"])
JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print summary.json on stdout, and nothing else.")
]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
StrictFlag = Annotated[
    bool,
    typer.Option("--strict", help="Exit 3 for a suspect run too, not only for an untrusted one."),
]
OpenFlag = Annotated[
    bool, typer.Option("--open", help="Open the page in a browser when it is ready.")
]
LoopFlag = Annotated[_Loop, typer.Option("--loop", help="The event loop that uvicorn runs.")]
DryRunFlag = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be sent, and send nothing.")
]
SeedFlag = Annotated[int, typer.Option(help="Seed of all Poisson arrivals.")]
CaCertFlag = Annotated[
    Path | None,
    typer.Option("--cacert", help="Certificates, in PEM, that may have signed an https target's."),
]
InsecureFlag = Annotated[
    bool, typer.Option("--insecure", help="Accept any certificate of an https target.")
]
OutFlag = Annotated[
    Path | None,
    typer.Option(
        "--out", help="Folder for the runs. Default: results/ in a clone, else ./atonce-results."
    ),
]
RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN]", help="A run's folder, or part of its name. Default: the newest."
    ),
]


def _print_version(is_requested: bool) -> None:  # noqa: FBT001 - typer calls it so
    """Print the version and exit."""
    if is_requested:
        typer.echo(f"atonce {metadata.version('atonce')}")
        raise typer.Exit


@cli.callback()
def root_options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """What all commands share."""


@cli.command(
    epilog=(
        "Examples:  atonce reproduce   |   atonce reproduce --full --dry-run   |   atonce reproduce"
        " --repeat 5"
    )
)
def reproduce(  # noqa: PLR0913 - one parameter per flag
    *,
    loop: LoopFlag = _Loop.ASYNCIO,
    seconds: Annotated[
        float, typer.Option(help="How long the work takes: the wait in every variant.")
    ] = 0.1,
    full: Annotated[
        bool,
        typer.Option("--full/--quick", help="Also open loads, and the frozen route on both loops."),
    ] = False,
    repeat: Annotated[
        int,
        typer.Option(
            min=1, max=20, help="How often, with every server started anew; intervals from 5 on."
        ),
    ] = 1,
    no_probe: Annotated[
        bool,
        typer.Option("--no-probe", help="Leave the probe out of the app: clients' moments only."),
    ] = False,
    out: OutFlag = None,
    seed: SeedFlag = 1,
    dry_run: DryRunFlag = False,
    open_page: OpenFlag = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
    strict: StrictFlag = False,
) -> None:
    """Reproduce the claim: one wait, four ways, under load.

    Serves the bundled app, drives async def, def, broken async def and asyncio.to_thread, and
    writes a report.
    """
    from scenarios.plans import model, reproduce  # noqa: PLC0415

    plan = reproduce.expand_plan(model.quick_plan(seconds), repeat, full=full)
    settings = {"loop": loop, "seed": seed, "probe": not no_probe}
    _run_bundled_plan(
        "reproduce",
        plan,
        settings,
        out,
        dry_run=dry_run,
        as_json=as_json,
        quiet=quiet,
        strict=strict,
        open_page=open_page,
    )


def _run_bundled_plan(
    command: str,
    plan: Any,
    settings: dict[str, Any],
    out: Path | None,
    *,
    dry_run: bool,
    **output_options: Any,
) -> None:
    """Run a plan on servers of our own."""
    from scenarios import commands  # noqa: PLC0415

    next_command = "atonce serve" if command == "reproduce" else "atonce reproduce"
    outline_lines = commands.outline_plan(plan) if dry_run else None
    _run_or_outline(
        outline_lines,
        lambda: commands.prepare_bundled_run(command, plan, commands.Settings(**settings), out),
        plan.estimate(),
        next_command,
        **output_options,
    )


def _run_or_outline(
    outline_lines: Iterable[str] | None,
    prepare: Callable[[], Any],
    seconds: float,
    next_command: str,
    **output_options: Any,
) -> None:
    """Run a plan and exit with its code; or print what it would send."""
    if outline_lines is not None:
        _print_lines([*outline_lines, "next: the same without --dry-run"])
        return
    from reports.render.output import OutputOptions, run_and_report  # noqa: PLC0415

    run, drive = prepare()
    raise typer.Exit(
        run_and_report(run.path, drive, seconds, next_command, OutputOptions(**output_options))
    )


@cli.command(
    epilog=(
        "Examples:  atonce run crowd --host http://127.0.0.1:8002 --route /broken-async -u 1,8,32  "
        " |   atonce run steady --host :8002 --route 'GET /async' --rate 200/s -t 30s   |   atonce"
        " run knee --host :8002 --route /sync"
    )
)
def run(  # noqa: PLR0913 - one parameter per flag
    scenario: Annotated[ScenarioName, typer.Argument(help="How to press.", show_default=False)],
    *,
    host: Annotated[
        str, typer.Option("--host", "-H", help="URL of what to press, served on this machine.")
    ] = "",
    route: Annotated[
        list[str] | None,
        typer.Option(
            "--route",
            help="What to ask, such as 'GET /items/1'. Again for more. [ATONCE_ROUTE: commas]",
        ),
    ] = None,
    users: Annotated[
        str,
        typer.Option(
            "--users", "-u", help="Levels of users: burst, crowd, knee. [default: 20; 1,50; 64]"
        ),
    ] = "",
    rate: Annotated[
        str, typer.Option(help="Levels of arrivals: steady, neighbours. [default: 20/s; 24/s]")
    ] = "",
    run_time: Annotated[
        str, typer.Option("--run-time", "-t", help="How long each level lasts.")
    ] = "10s",
    repeat: Annotated[int, typer.Option(min=1, max=100, help="How often to measure it all.")] = 1,
    arrivals: Annotated[
        ArrivalGaps, typer.Option(help="Spread of the gaps between arrivals.")
    ] = ArrivalGaps.POISSON,
    shape: Annotated[
        RateShape, typer.Option(help="How the rate moves; --rate is its highest.")
    ] = RateShape.FLAT,
    connections: Annotated[
        ConnectionChoice,
        typer.Option("--connections", "--pool", help="Opened before, on demand, or anew."),
    ] = ConnectionChoice.WARM,
    cap: Annotated[
        int,
        typer.Option(
            min=1, max=1000, help="Requests in flight at most; what is refused is counted."
        ),
    ] = 900,
    think: Annotated[
        str, typer.Option(help="Pause of a user between answer and next question.")
    ] = "0s",
    drain: Annotated[
        str, typer.Option(help="How long to wait for answers after each level.")
    ] = "10s",
    allow_host: Annotated[
        str | None,
        typer.Option(help="Name of another machine that may be loaded, because it is yours."),
    ] = None,
    cacert: CaCertFlag = None,
    insecure: InsecureFlag = False,
    out: OutFlag = None,
    seed: SeedFlag = 1,
    dry_run: DryRunFlag = False,
    open_page: OpenFlag = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
    strict: StrictFlag = False,
) -> None:
    """Press any host on this machine with one scenario.

    burst: all at once. crowd: users who wait for their answers. steady: arrivals at a rate,
    whatever becomes of them. neighbours: both innocent routes of the bundled app. knee: latency
    from 20 % to 120 % of the capacity it measures first.
    """
    from scenarios import commands  # noqa: PLC0415
    from scenarios.system.tls import TlsTrust  # noqa: PLC0415

    option_texts = {
        "users": users,
        "rates": rate,
        "seconds": run_time,
        "think": think,
        "drain": drain,
    }
    choices = {
        "distribution": arrivals,
        "shape": shape,
        "pool": connections,
        "cap": cap,
        "repeat": repeat,
    }
    run_options = commands.parse_run_options(
        scenario,
        host,
        allow_host,
        route or [],
        option_texts,
        choices,
        TlsTrust.from_flags(cacert, host, insecure=insecure),
    )
    plan = commands.plan_from_options(run_options)
    output_options = {"as_json": as_json, "quiet": quiet, "strict": strict, "open_page": open_page}
    outline_lines = commands.outline_plan(plan) if dry_run else None
    _run_or_outline(
        outline_lines,
        lambda: commands.prepare_external_run(plan, run_options, seed, out),
        plan.estimate(),
        "atonce ls",
        **output_options,
    )


@cli.command(
    epilog=(
        "Examples:  atonce report   |   atonce report results/example   |   atonce report --json |"
        " python -m json.tool"
    )
)
def report(
    run: RunArgument = None,
    *,
    out: OutFlag = None,
    open_page: OpenFlag = False,
    as_json: JsonFlag = False,
    strict: StrictFlag = False,
) -> None:
    """Render a stored run again: page, charts, summary."""
    from reports.render.output import OutputOptions, build_and_write, print_result  # noqa: PLC0415
    from results.listing import find_run  # noqa: PLC0415
    from results.store import default_root  # noqa: PLC0415

    output_options = OutputOptions(as_json=as_json, quiet=True, strict=strict, open_page=open_page)
    report_and_data = build_and_write(find_run(out or default_root(), run), None)
    raise typer.Exit(print_result(*report_and_data, None, "atonce reproduce", output_options))


@cli.command(
    epilog=(
        "Examples:  atonce selfcheck   |   atonce selfcheck --loop uvloop   |   atonce selfcheck"
        " --dry-run"
    )
)
def selfcheck(  # noqa: PLR0913 - one parameter per flag
    *,
    loop: LoopFlag = _Loop.ASYNCIO,
    out: OutFlag = None,
    seed: SeedFlag = 1,
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Check the harness itself, on servers whose truth is known: how far off is it on this machine?
    Five minutes.
    """  # noqa: D205 - the summary is one paragraph
    from scenarios.plans.selfcheck import selfcheck_plan  # noqa: PLC0415

    output_options = {"as_json": as_json, "quiet": quiet, "strict": False, "open_page": False}
    _run_bundled_plan(
        "selfcheck",
        selfcheck_plan(),
        {"loop": loop, "seed": seed},
        out,
        dry_run=dry_run,
        **output_options,
    )


@cli.command(
    epilog=(
        "Examples:  atonce claims --list   |   atonce claims gather-overlaps   |   atonce claims"
        " blocks-loop def-pool --dry-run"
    )
)
def claims(  # noqa: PLR0913 - one parameter per flag
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Which claims to measure; none: list them all."),
    ] = None,
    *,
    list_all: Annotated[
        bool, typer.Option("--list", help="List all claims, with the seconds that each one takes.")
    ] = False,
    loop: LoopFlag = _Loop.ASYNCIO,
    out: OutFlag = None,
    seed: SeedFlag = 1,
    dry_run: DryRunFlag = False,
    open_page: OpenFlag = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
    strict: StrictFlag = False,
) -> None:
    """Measure single statements of the lesson, each with its prediction; or list them."""
    from reports.claims import claim_lines, claim_needs  # noqa: PLC0415
    from scenarios.plans.reproduce import plan_for_claims  # noqa: PLC0415

    if list_all or not ids:
        _print_lines(claim_lines(lambda needs: plan_for_claims(needs).estimate()))
        return
    output_options = {"as_json": as_json, "quiet": quiet, "strict": strict, "open_page": open_page}
    _run_bundled_plan(
        "claims",
        plan_for_claims(claim_needs(ids)),
        {"loop": loop, "seed": seed, "claims": ids},
        out,
        dry_run=dry_run,
        **output_options,
    )


@cli.command(
    epilog=(
        "Examples:  atonce doctor shop.main:app   |   atonce doctor http://127.0.0.1:8000   |   "
        "atonce doctor shop.main:app --gate 'served_at_once(GET /search) >= 20' --dry-run"
    )
)
def doctor(  # noqa: PLR0913 - one parameter per flag
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:APP | URL", help="Your app, or where it answers.", show_default=False
        ),
    ] = "",
    *,
    app_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that the module is looked for in. Default: this one."),
    ] = None,
    factory: Annotated[
        bool, typer.Option("--factory", help="MODULE:APP is a function that makes the app.")
    ] = False,
    python: Annotated[
        str | None,
        typer.Option(help="Interpreter, or environment, of the app. Default: the active one."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes of the app.")] = 1,
    loop: Annotated[
        AppLoop, typer.Option("--loop", help="The event loop of the app.")
    ] = AppLoop.AUTO,
    env: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for the app; never shown. Again for more.")
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="A file of KEY=VALUE lines for the app.")
    ] = None,
    start: Annotated[str, typer.Option(help="Your own command that starts it; with --url.")] = "",
    url: Annotated[str, typer.Option(help="Where it answers then.")] = "",
    route: Annotated[
        list[str] | None,
        typer.Option(help="Examine this one, even if it may change data: 'POST /search'."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Examine routes like this glob: '/api/*'.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out routes like this glob.")
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="A parameter's value: item_id=1.")] = None,
    header: Annotated[
        list[str] | None, typer.Option(help="Sent along, never shown: 'Authorization: Bearer ...'.")
    ] = None,
    body: Annotated[
        list[str] | None, typer.Option(help="A route's body: 'POST /search=@query.json'.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="How long it may take in all; what does not fit is unknown.")
    ] = "8m",
    requests: Annotated[
        int, typer.Option(min=1000, max=200_000, help="Requests per route, at most.")
    ] = 20_000,
    stop_within: Annotated[
        str,
        typer.Option(help="How long the app may take to end when asked to, until it is killed."),
    ] = "10s",
    gate: Annotated[
        list[str] | None, typer.Option(help="Must hold, else exit 1: 'p99(GET /x) @ 16u < 250ms'.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML there.")] = None,
    allow_host: Annotated[
        str | None,
        typer.Option(help="Name of another machine that may be loaded, because it is yours."),
    ] = None,
    cacert: CaCertFlag = None,
    insecure: InsecureFlag = False,
    out: OutFlag = None,
    seed: SeedFlag = 1,
    dry_run: DryRunFlag = False,
    open_page: OpenFlag = False,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
    strict: StrictFlag = False,
) -> None:
    """Examine your own app: which routes queue, behind what, at which line, and what to write
    instead.

    Starts it with its own interpreter, unchanged, a fresh process per route; asks only GET and HEAD
    unless you name others; at most 64 users and 20,000 requests per route. A GET may call paid or
    remote services too: look at --dry-run first.
    """  # noqa: D205 - the summary is one paragraph
    from results.config import given_flags, resolve_target  # noqa: PLC0415
    from scenarios.doctor import commands  # noqa: PLC0415
    from scenarios.doctor.options import DoctorOptions  # noqa: PLC0415

    target, start, url = resolve_target(context, target=target, start=start, url=url)
    settings = commands.parse_options(
        DoctorOptions(
            target=target,
            app_dir=app_dir,
            factory=factory,
            python=python,
            workers=workers,
            loop=loop,
            env=env,
            env_file=env_file,
            start=start,
            url=url,
            route=route,
            only=only,
            exclude=exclude,
            param=param,
            header=header,
            body=body,
            budget=budget,
            requests=requests,
            stop_within=stop_within,
            gate=gate,
            allow_host=allow_host,
            cacert=cacert,
            insecure=insecure,
            seed=seed,
            given=frozenset(given_flags(context, commands.LAUNCH_FLAGS)),
        )
    )
    output_options = {
        "as_json": as_json,
        "quiet": quiet,
        "strict": strict,
        "open_page": open_page,
        "junit": junit,
    }
    outline_lines = commands.outline_doctor_run(settings) if dry_run else None
    _run_or_outline(
        outline_lines,
        lambda: commands.prepare_doctor_run(settings, out),
        settings.budget,
        "atonce report",
        **output_options,
    )


@cli.command("ls", epilog="Examples:  atonce ls   |   atonce ls --out elsewhere")
def list_runs(*, out: OutFlag = None) -> None:
    """List the stored runs, the newest last."""
    from results.listing import format_run_list  # noqa: PLC0415
    from results.store import default_root  # noqa: PLC0415

    _print_lines(
        [
            *format_run_list(out or default_root()),
            "next: atonce show RUN" + (f" --out {out}" if out else ""),
        ]
    )


@cli.command(
    epilog="Examples:  atonce show   |   atonce show results/example   |   atonce show 7f3a --json"
)
def show(
    run: RunArgument = None,
    *,
    out: OutFlag = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print run.json.")] = False,
) -> None:
    """Show a stored run: what, where, when, with which plan and versions."""
    from results.listing import describe_run, find_run, run_json_text  # noqa: PLC0415
    from results.store import default_root  # noqa: PLC0415

    path = find_run(out or default_root(), run)
    _print_lines(
        [run_json_text(path)] if as_json else [*describe_run(path), f"next: atonce report {path}"]
    )


@cli.command(
    epilog=(
        "Examples:  atonce scenarios   |   locust -f $(atonce scenarios crowd) --host"
        " http://127.0.0.1:8002"
    )
)
def scenarios(
    name: Annotated[str | None, typer.Argument(help="One scenario: print its path alone.")] = None,
) -> None:
    """Print where the scenario files lie, for plain Locust."""
    from scenarios.commands import describe_scenarios, scenario_path  # noqa: PLC0415

    _print_lines([str(scenario_path(name))] if name else describe_scenarios())


@cli.command(
    epilog=(
        "Examples:  atonce serve   |   atonce serve --port 9000 --loop uvloop   |   atonce serve"
        " --threads 80"
    )
)
def serve(
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8002,
    loop: LoopFlag = _Loop.ASYNCIO,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 1,
    threads: Annotated[
        int, typer.Option(min=1, max=1000, help="AnyIO's thread tokens per worker.")
    ] = 40,
) -> None:
    """Serve the bundled app, for curl or plain Locust. Ctrl-C ends it.

    It carries the probe, whose moments travel in a header; ATONCE_TARGET_PROBE=0 leaves it out.
    """
    from scenarios.commands import check_port_free  # noqa: PLC0415

    check_port_free(port)
    from targets.__main__ import serve_example_app as serve_target  # noqa: PLC0415

    # as uvicorn expects it: Ctrl-C is its ordinary end
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve_target(port, loop, workers, threads)


def _print_lines(lines: Any) -> None:
    """Print lines, and end quietly when the reader is gone."""
    from results.errors import restore_sigpipe  # noqa: PLC0415

    restore_sigpipe()
    typer.echo("\n".join(lines))


def _package_root() -> Path:
    """The folder of the four rooms: one level down in a wheel, beside this file in a clone."""
    return private if (private := _HERE / "atonce_rooms").is_dir() else _HERE


def _dispatch_command() -> None:
    """Read the settings, then the command line; a usage error names the settings, too."""
    from results.config import apply_settings  # noqa: PLC0415

    command_line = typer.main.get_command(cli)
    settings_note = apply_settings(command_line)
    try:
        command_line(prog_name="atonce")
    except SystemExit as end:
        if end.code == 2 and settings_note:  # noqa: PLR2004 - ExitCode.USAGE, not imported yet
            typer.echo(f"({settings_note})", err=True)
        raise


def main() -> None:
    """The `atonce` command."""
    sys.path.insert(0, str(_package_root()))
    from results.errors import run_cli  # noqa: PLC0415

    sys.exit(run_cli(_dispatch_command))


if __name__ == "__main__":
    main()
