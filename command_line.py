"""The command line: ten commands, each of which imports what it needs only when it runs.

So `--help` answers at once and loads no pandas, matplotlib, Locust or FastAPI. Settings come from
`[tool.atonce]` in pyproject.toml, then `ATONCE_*`, then the flags.
"""

import functools
import inspect
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

from scenarios.doctor.options import DoctorFlags, DoctorOptions

if TYPE_CHECKING:
    from reports.render.output import OutputOptions
    from scenarios.plans.model import Plan

cli = typer.Typer(
    help="""How many requests can your FastAPI route really serve at once?

Start with `atonce reproduce`. It takes two minutes and shows how blocking inside `async def` makes
requests queue.

Then examine your own app with `atonce doctor shop.main:app`. It finds the routes that queue, what
they wait for, and the line to fix.

You can also set every flag as ATONCE_<FLAG>, or in [tool.atonce] of pyproject.toml.""",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

Texts = list[str] | None
LoopFlag = Annotated[
    Literal["asyncio", "uvloop"], Option("--loop", help="Event loop that uvicorn runs.")
]
OutFlag = Annotated[
    Path | None,
    Option("--out", help="Folder of runs. Default: results/ in a clone, else ./atonce-results."),
]
RunArgument = Annotated[
    str | None,
    Argument(metavar="[RUN]", help="Folder of a run, or part of its name. Default: the newest."),
]


@dataclass(frozen=True, kw_only=True)
class OutputFlags:
    """Flags of every command that prints a report."""

    out: OutFlag = None
    open_page: Annotated[bool, Option("--open", help="Open the page in a browser.")] = False
    as_json: Annotated[bool, Option("--json", help="Print only summary.json to stdout.")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Show no progress.")] = False
    strict: Annotated[bool, Option("--strict", help="Exit 3 for a suspect run as well.")] = False

    def output_options(self, junit: Path | None = None) -> "OutputOptions":
        """Return the flags without the folder, as the report takes them."""
        from reports.render.output import OutputOptions

        names = ("open_page", "as_json", "quiet", "strict")
        return OutputOptions(**{name: getattr(self, name) for name in names}, junit=junit)


@dataclass(frozen=True, kw_only=True)
class MeasureFlags(OutputFlags):
    """Flags of every command that sends load."""

    seed: Annotated[int, Option(help="Seed of all Poisson arrivals.")] = 1
    dry_run: Annotated[bool, Option("--dry-run", help="Print the plan; send no load.")] = False


@dataclass(frozen=True, kw_only=True)
class HostFlags:
    """Flags for an app that already runs."""

    allow_host: Annotated[str | None, Option(help="Another machine that you may load.")] = None
    cacert: Annotated[Path | None, Option(help="PEM file of CAs for an https URL.")] = None
    insecure: Annotated[bool, Option("--insecure", help="Accept any certificate.")] = False


@dataclass(frozen=True, kw_only=True)
class LoadFlags:
    """Flags of `atonce run` on the load."""

    host: Annotated[str, Option("--host", "-H", help="URL of the server, on this machine.")] = ""
    route: Annotated[
        Texts, Option(help="Route to load, e.g. 'GET /items/1'. Repeatable. [ATONCE_ROUTE: a,b]")
    ] = None
    users: Annotated[
        str, Option("--users", "-u", help="Users of burst (default 20), crowd (1,50), knee (64).")
    ] = ""
    rate: Annotated[str, Option(help="Arrivals of steady (default 20/s), neighbours (24/s).")] = ""
    run_time: Annotated[str, Option("--run-time", "-t", help="Duration of each level.")] = "10s"
    repeat: Annotated[int, Option(min=1, max=100, help="Repetitions of all levels.")] = 1
    arrivals: Annotated[
        Literal["poisson", "constant"], Option(help="Distribution of the gaps between arrivals.")
    ] = "poisson"
    shape: Annotated[
        Literal["flat", "steps", "ramp", "spike"],
        Option(help="How the rate changes over time; --rate is the highest."),
    ] = "flat"
    connections: Annotated[
        Literal["warm", "cold", "fresh"],
        Option(
            "--connections",
            "--pool",
            help="Open connections: warm, before the load; cold, on first use; fresh, per request.",
        ),
    ] = "warm"
    cap: Annotated[
        int,
        Option(min=1, max=1000, help="Maximum requests in flight; drop and count all others."),
    ] = 900
    think: Annotated[str, Option(help="Pause of a user between two requests.")] = "0s"
    drain: Annotated[str, Option(help="Maximum wait for late answers after a level.")] = "10s"


def _command(
    *examples: str, name: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command. A parameter that is a dataclass becomes one flag per field."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        parameters = inspect.signature(function).parameters.values()
        groups: dict[str, Any] = {
            item.name: item.annotation for item in parameters if is_dataclass(item.annotation)
        }
        keyword = inspect.Parameter.KEYWORD_ONLY
        flags = [
            inspect.Parameter(item.name, keyword, default=item.default, annotation=item.type)
            for item in chain.from_iterable(map(fields, groups.values()))
        ]

        @functools.wraps(function)
        def call_with_groups(**values: Any) -> None:
            for key, group in groups.items():
                values[key] = group(**{item.name: values.pop(item.name) for item in fields(group)})
            function(**values)

        own = [item for item in parameters if item.name not in groups]
        signature = inspect.Signature([*own, *flags])
        call_with_groups.__signature__ = signature  # type: ignore[attr-defined]
        # \b: click keeps these lines as they are
        epilog = "\n".join(["\b", "Examples:", *(f"  {example}" for example in examples)])
        return cli.command(name, epilog=epilog)(call_with_groups)

    return register


def _print_version(is_requested: bool) -> None:  # noqa: FBT001 - typer calls it so
    if is_requested:
        typer.echo(f"atonce {metadata.version('atonce')}")
        raise typer.Exit


@cli.callback()
def root_options(
    *,
    version: Annotated[
        bool,
        Option(
            "--version", "-V", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Define the flags that come before a command."""


@_command("atonce reproduce", "atonce reproduce --full --dry-run", "atonce reproduce --repeat 5")
def reproduce(
    *,
    loop: LoopFlag = "asyncio",
    seconds: Annotated[float, Option(help="Duration of the wait in every variant.")] = 0.1,
    full: Annotated[
        bool,
        Option("--full/--quick", help="Also run open loads, and the blocked route on both loops."),
    ] = False,
    repeat: Annotated[
        int, Option(min=1, max=20, help="Repetitions; confidence intervals need 5.")
    ] = 1,
    no_probe: Annotated[
        bool, Option("--no-probe", help="Measure in the client only, not inside the app.")
    ] = False,
    flags: MeasureFlags,
) -> None:
    """Reproduce the claim: one wait, written four ways, under load.

    Serves the bundled app, loads its four routes (async def, def, async def that blocks,
    asyncio.to_thread), and writes a report.
    """
    from scenarios.plans import model, reproduce

    plan = reproduce.expand_plan(model.quick_plan(seconds), repeat, full=full)
    _run_bundled_plan("reproduce", plan, flags, loop=loop, probe=not no_probe)


def _run_bundled_plan(command: str, plan: "Plan", flags: MeasureFlags, **settings: Any) -> None:
    from scenarios import commands

    _run_or_outline(
        lambda: commands.outline_plan(plan),
        lambda: commands.prepare_bundled_run(
            command, plan, commands.Settings(seed=flags.seed, **settings), flags.out
        ),
        plan.estimate(),
        "atonce serve" if command == "reproduce" else "atonce reproduce",
        flags,
    )


def _run_or_outline(
    outline: Callable[[], Iterable[str]],
    prepare: Callable[[], Any],
    seconds: float,
    next_command: str,
    flags: MeasureFlags,
    *,
    junit: Path | None = None,
) -> None:
    """Run a plan and exit with its code; with --dry-run, print what it would send."""
    if flags.dry_run:
        _print_lines([*outline(), "next: the same without --dry-run"])
        return
    from reports.render.output import run_and_report

    run, drive = prepare()
    options = flags.output_options(junit)
    raise typer.Exit(run_and_report(run.path, drive, seconds, next_command, options))


@_command(
    "atonce run crowd --host http://127.0.0.1:8002 --route /broken-async -u 1,8,32",
    "atonce run steady --host :8002 --route 'GET /async' --rate 200/s -t 30s",
    "atonce run knee --host :8002 --route /sync",
)
def run(
    scenario: Annotated[
        Literal["burst", "crowd", "steady", "neighbours", "knee"],
        Argument(help="Kind of load.", show_default=False),
    ],
    *,
    load: LoadFlags,
    remote: HostFlags,
    flags: MeasureFlags,
) -> None:
    """Load-test a host with one scenario.

    burst: all requests at one instant. crowd: users that wait for each answer. steady: requests at
    a fixed rate, answered or not. neighbours: a few requests to the control routes of the bundled
    app. knee: finds the capacity, then measures latency at 20 % to 120 % of it.
    """
    from scenarios import commands

    options = commands.parse_run_options(scenario, **vars(load), **vars(remote))
    plan = commands.plan_from_options(options)
    _run_or_outline(
        lambda: commands.outline_plan(plan),
        lambda: commands.prepare_external_run(plan, options, flags.seed, flags.out),
        plan.estimate(),
        "atonce ls",
        flags,
    )


@_command(
    "atonce report", "atonce report results/example", "atonce report --json | python -m json.tool"
)
def report(run: RunArgument = None, *, flags: OutputFlags) -> None:
    """Render the report of a stored run again: page, charts, summary."""
    from reports.render.output import build_and_write, print_result
    from results.listing import find_run

    rendered, data = build_and_write(find_run(flags.out, run), None)
    code = print_result(rendered, data, None, "atonce reproduce", flags.output_options())
    raise typer.Exit(code)


@_command("atonce selfcheck", "atonce selfcheck --loop uvloop", "atonce selfcheck --dry-run")
def selfcheck(*, loop: LoopFlag = "asyncio", flags: MeasureFlags) -> None:
    """Check atonce's accuracy on servers of known speed. Takes five minutes."""
    from scenarios.plans.selfcheck import selfcheck_plan

    _run_bundled_plan("selfcheck", selfcheck_plan(), flags, loop=loop)


@_command(
    "atonce claims --list",
    "atonce claims gather-overlaps",
    "atonce claims blocks-loop def-pool --dry-run",
)
def claims(
    ids: Annotated[
        Texts, Argument(metavar="[ID]...", help="Claims to measure. Default: list them all.")
    ] = None,
    *,
    list_all: Annotated[
        bool, Option("--list", help="List all claims, and how many seconds each takes.")
    ] = False,
    loop: LoopFlag = "asyncio",
    flags: MeasureFlags,
) -> None:
    """Measure single claims of the lesson, or list them all."""
    from reports.claims import claim_lines, claim_needs
    from scenarios.plans.reproduce import plan_for_claims

    if list_all or not ids:
        _print_lines(claim_lines(lambda needs: plan_for_claims(needs).estimate()))
        return
    _run_bundled_plan("claims", plan_for_claims(claim_needs(ids)), flags, loop=loop, claims=ids)


@_command(
    "atonce doctor shop.main:app",
    "atonce doctor http://127.0.0.1:8000",
    "atonce doctor shop.main:app --gate 'served_at_once(GET /search) >= 20' --dry-run",
)
def doctor(
    context: typer.Context,
    target: Annotated[
        str, Argument(metavar="MODULE:APP | URL", help="Your app, or its URL.", show_default=False)
    ] = "",
    *,
    app: DoctorFlags,
    remote: HostFlags,
    junit: Annotated[Path | None, Option(help="Also write JUnit XML to this file.")] = None,
    flags: MeasureFlags,
) -> None:
    """Examine your app: which routes queue, and which line to fix.

    Starts your app unchanged, with its own interpreter. Sends only GET and HEAD unless you add
    routes with --route, with at most 64 users and 20,000 requests per route.
    Even a GET may call paid or remote services: check with --dry-run first.
    """
    from results.config import given_flags, resolve_target
    from scenarios.doctor import commands

    given = frozenset(given_flags(context, commands.LAUNCH_FLAGS))
    names = resolve_target(context, target=target, start=app.start, url=app.url)
    options = {**vars(app), **vars(remote), **names, "seed": flags.seed, "given": given}
    settings = commands.parse_options(DoctorOptions(**options))
    _run_or_outline(
        lambda: commands.outline_doctor_run(settings),
        lambda: commands.prepare_doctor_run(settings, flags.out),
        settings.budget,
        "atonce report",
        flags,
        junit=junit,
    )


@_command("atonce ls", "atonce ls --out elsewhere", name="ls")
def list_runs(*, out: OutFlag = None) -> None:
    """List the stored runs, the newest last."""
    from results.listing import format_run_list

    next_line = "next: atonce show RUN" + (f" --out {out}" if out else "")
    _print_lines([*format_run_list(out), next_line])


@_command("atonce show", "atonce show results/example", "atonce show 7f3a --json")
def show(
    run: RunArgument = None,
    *,
    out: OutFlag = None,
    as_json: Annotated[bool, Option("--json", help="Print run.json.")] = False,
) -> None:
    """Show the facts of a stored run: plan, machine, versions, files."""
    from results.listing import describe_run, find_run, run_json_text

    path = find_run(out, run)
    _print_lines(
        [run_json_text(path)] if as_json else [*describe_run(path), f"next: atonce report {path}"]
    )


@_command("atonce scenarios", "locust -f $(atonce scenarios crowd) --host http://127.0.0.1:8002")
def scenarios(
    name: Annotated[str | None, Argument(help="Scenario: print only its path.")] = None,
) -> None:
    """Print the paths of the scenario files, for plain Locust."""
    from scenarios.commands import describe_scenarios, scenario_path

    _print_lines([str(scenario_path(name))] if name else describe_scenarios())


@_command("atonce serve", "atonce serve --port 9000 --loop uvloop", "atonce serve --threads 80")
def serve(
    *,
    port: Annotated[int, Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8002,
    loop: LoopFlag = "asyncio",
    workers: Annotated[int, Option(min=1, max=32, help="Worker processes.")] = 1,
    threads: Annotated[int, Option(min=1, max=1000, help="Threads for `def`, per worker.")] = 40,
) -> None:
    """Serve the bundled app, for curl or plain Locust. Ctrl-C stops it.

    Each answer has the server's times in a header, unless ATONCE_TARGET_PROBE is 0.
    """
    from scenarios.commands import check_port_free

    check_port_free(port)
    from targets.__main__ import serve_example_app

    # as uvicorn expects it: Ctrl-C is its ordinary end
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve_example_app(port, loop, workers, threads)


def _print_lines(lines: Iterable[str]) -> None:
    """Print lines; end quietly when the reader leaves."""
    from results.errors import restore_sigpipe

    restore_sigpipe()
    typer.echo("\n".join(lines))


def _dispatch_command() -> None:
    """Read the settings, then the command line; a usage error also names the settings."""
    from results.config import apply_settings

    command_line = typer.main.get_command(cli)
    settings_note = apply_settings(command_line)
    try:
        command_line(prog_name="atonce")
    except SystemExit as end:
        if end.code == 2 and settings_note:  # noqa: PLR2004 - ExitCode.USAGE, not imported yet
            typer.echo(f"({settings_note})", err=True)
        raise


def run_command_line() -> int:
    """Run the command of `sys.argv`; return its exit code."""
    from results.errors import run_cli

    return run_cli(_dispatch_command)
