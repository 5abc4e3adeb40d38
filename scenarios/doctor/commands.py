"""The entry points of `atonce doctor`: flags become options, an outline, or an examination."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from results.errors import AtonceError, ExitCode
from results.gate_expression import parse_gate
from results.store import RunWriter, default_root
from results.thresholds import FEW_USERS, MANY_USERS
from scenarios.doctor.app import AppUnderTest
from scenarios.doctor.examine import MIN_ROUTE_SECONDS, discover_routes, examine_app
from scenarios.doctor.levels import MAX_GENERATOR_RATE
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.route_selection import parse_route_selection
from scenarios.doctor.options import (
    ROUTE_SECONDS,
    SETUP_SECONDS,
    DoctorOptions,
    DoctorProgressListener,
    find_over_budget,
    loadable_requests,
    warn_too_few_requests,
)
from scenarios.plans.custom import parse_duration
from scenarios.system.child_process import STOP_TIMEOUT
from scenarios.system.redact import secret_forms
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

# Flags for an app that we start
LAUNCH_FLAGS = ("app_dir", "factory", "python", "workers", "loop", "env", "env_file")


def create_app_under_test(  # noqa: PLR0913, PLR0917 - one parameter per flag
    target: str,
    start: str,
    url: str,
    allowed: str | None,
    typed: set[str],
    trust: TlsTrust = DEFAULT_TLS_TRUST,
    **launch_flags: Any,
) -> AppUnderTest:
    """The app that the flags name. Raises AtonceError, also for flags without effect."""
    if start or url:
        if target or not (start and url):
            raise AtonceError(
                "--start 'COMMAND' and --url URL belong together, and take the place of"
                " MODULE:APP.",
                ExitCode.USAGE,
            )
        _reject_unused_flags(
            typed - {"env", "env_file"}, "your own command of --start says it by itself"
        )
        return AppUnderTest.from_command(
            start,
            url,
            env=launch_flags["env"] or (),
            env_file=launch_flags["env_file"],
            trust=trust,
        )
    if not target:
        raise AtonceError(
            "Name your app: atonce doctor shop.main:app, or atonce doctor http://127.0.0.1:8000",
            ExitCode.USAGE,
        )
    if "//" in target or target.startswith((":", "localhost:")) or target[:1].isdigit():
        _reject_unused_flags(typed, "what runs already has been started without it")
        return AppUnderTest.from_url(target, allowed, trust)
    if trust != DEFAULT_TLS_TRUST:
        raise AtonceError(
            "--cacert and --insecure are for a URL: an app that we start is asked over plain HTTP.",
            ExitCode.USAGE,
        )
    return AppUnderTest.from_module(
        target,
        **{**launch_flags, "env": launch_flags["env"] or (), "loop": str(launch_flags["loop"])},
    )


def _reject_unused_flags(typed: set[str], why: str) -> None:
    """Raises AtonceError for a flag on how to start an app, where we do not start it."""
    if unused := [f"--{name.replace('_', '-')}" for name in LAUNCH_FLAGS if name in typed]:
        raise AtonceError(
            f"{unused[0]} is only for MODULE:APP: {why}. Leave it out.", ExitCode.USAGE
        )


def create_doctor_options(  # noqa: PLR0913, PLR0917 - one parameter per flag
    app: AppUnderTest,
    route_flags: dict[str, list[str] | None],
    gates: Iterable[str],
    budget: str,
    requests: int,
    seed: int,
    stop_within: str = f"{STOP_TIMEOUT:g}s",
) -> DoctorOptions:
    """The options of a run. Raises AtonceError for invalid values, before anything starts."""
    selection = parse_route_selection(**{name: given or () for name, given in route_flags.items()})
    allowed = parse_duration(budget)
    if allowed < SETUP_SECONDS + MIN_ROUTE_SECONDS:
        least = (
            "the app's start, its neighbours at rest and one route take about"
            f" {SETUP_SECONDS + MIN_ROUTE_SECONDS:.0f} s"
        )
        sentence = (
            f"--budget {budget} is too short for any route: {least}. Give it that at least:"
            f" --budget {SETUP_SECONDS + MIN_ROUTE_SECONDS:.0f}s"
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    parsed_gates = tuple(parse_gate(gate) for gate in gates)
    for gate in parsed_gates:
        max_amounts = {"u": float(MANY_USERS), "/s": MAX_GENERATOR_RATE}
        if gate.level and gate.level.amount > max_amounts[gate.level.unit]:
            sentence = (
                f"the gate {gate.expression!r} asks for more than an examination sends: at most"
                f" {MANY_USERS}u, or {MAX_GENERATOR_RATE:g}/s."
            )
            raise AtonceError(sentence, ExitCode.USAGE)
    secrets = secret_forms(
        [*app.env.values(), *selection.headers.values(), *selection.params.values()]
    )
    app = replace(app, secrets=secrets)
    limits: dict[str, Any] = {
        "budget": allowed,
        "requests": requests,
        "stop_within": parse_duration(stop_within, least=0.1),
    }
    return DoctorOptions(app=app, selection=selection, gates=parsed_gates, seed=seed, **limits)


def outline_doctor_run(options: DoctorOptions) -> Iterator[str]:
    """Describe the planned requests. The app is started only to learn its routes."""
    route_requests, notes = discover_in_temp_folder(options)
    width = max(len(request.route) for request in route_requests)
    loadable = loadable_requests(options, route_requests)
    over_budget, sentence = find_over_budget(options, loadable, SETUP_SECONDS, ROUTE_SECONDS)
    for request in route_requests:
        others = (
            "; where that is answered 404 or 422, as"
            f" {', '.join(other.path for other in request.alternatives)}"
            if request.alternatives
            else ""
        )
        yield f"{request.route:<{width}}  " + (
            f"skipped: {request.skipped}" if request.skipped else f"asked as {request.path}{others}"
        )
        if request in over_budget:
            yield f"{'':<{width}}  left out, unless there is time"
    yield (
        f"{len(loadable)} routes: one user, {FEW_USERS} users and, where those leave it open,"
        f" {MANY_USERS}; at most {options.requests:,} requests each, about"
        f" {min(options.budget, SETUP_SECONDS + ROUTE_SECONDS * len(loadable)):.0f} s; nothing was"
        " loaded"
    )
    if sentence:
        yield sentence
    yield from warn_too_few_requests(options)
    yield from notes
    yield (
        "a GET may change data, or call paid or remote services, too: --exclude what should be left"
        " alone"
    )


def discover_in_temp_folder(options: DoctorOptions) -> tuple[list[RouteRequest], list[str]]:
    """Discover the routes, with notes on the app's start, in a temporary folder.

    The folder is kept if an error names it, for the app's log is there.
    """
    folder = Path(tempfile.mkdtemp(prefix="atonce-"))
    is_named = False
    try:
        run = RunWriter(folder, "doctor")
        return discover_routes(options, run), run.metadata["plan"]["notes"]
    except AtonceError as error:
        is_named = str(folder) in error.sentence
        raise
    finally:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        if not is_named:
            shutil.rmtree(folder)


def prepare_doctor_run(
    options: DoctorOptions, out: Path | None
) -> tuple[RunWriter, Callable[[DoctorProgressListener], AtonceError | None]]:
    """A run, and a function that executes it. That returns the error: a report follows anyway."""
    run = RunWriter.create(out or default_root(), "doctor")

    def run_examination(listener: DoctorProgressListener) -> AtonceError | None:
        try:
            examine_app(options, run, listener)
        except AtonceError as error:
            return error
        return None

    return run, run_examination
