"""The entry points of `atonce doctor`: flags become settings, an outline, or an examination."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from results.errors import AtonceError, UsageError
from results.gate_expression import Gate, parse_gate
from results.store import RunWriter, default_root
from results.thresholds import FEW_USERS, MANY_USERS
from scenarios.doctor.app import AppUnderTest
from scenarios.doctor.examine import MIN_ROUTE_SECONDS, discover_routes, examine_app
from scenarios.doctor.levels import MAX_GENERATOR_RATE
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.route_selection import parse_route_selection
from scenarios.doctor.options import DoctorOptions
from scenarios.doctor.settings import (
    ROUTE_SECONDS,
    SETUP_SECONDS,
    DoctorSettings,
    find_over_budget,
    loadable_requests,
    warn_too_few_requests,
)
from scenarios.plans.custom import parse_duration
from scenarios.runner.recorded_run import return_error
from scenarios.runner.run_plan import ProgressListener
from scenarios.system.redact import secret_forms
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

# Flags for an app that we start
LAUNCH_FLAGS = ("app_dir", "factory", "python", "workers", "loop", "env", "env_file")
_MAX_GATE_AMOUNTS = {"u": float(MANY_USERS), "/s": MAX_GENERATOR_RATE}


def _create_app(options: DoctorOptions) -> AppUnderTest:
    """Return the app that the flags name. Raises UsageError, also for flags without effect."""
    target, start, url = options.target, options.start, options.url
    trust = TlsTrust.from_flags(options.cacert, url or target, insecure=options.insecure)
    if start or url:
        if target or not (start and url):
            raise UsageError(
                "--start 'COMMAND' and --url URL belong together and replace MODULE:APP."
            )
        given = options.given - {"env", "env_file"}
        _reject_unused_flags(given, "your own command of --start sets it")
        return AppUnderTest.from_command(options, trust)
    if not target:
        examples = "atonce doctor shop.main:app, or atonce doctor http://127.0.0.1:8000"
        raise UsageError(f"Name your app. Examples: {examples}")
    if "//" in target or target.startswith((":", "localhost:")) or target[:1].isdigit():
        _reject_unused_flags(options.given, "the app at a URL is already running")
        return AppUnderTest.from_url(target, options.allow_host, trust)
    if trust != DEFAULT_TLS_TRUST:
        raise UsageError(
            "--cacert and --insecure are for a URL: an app that we start is loaded over plain HTTP."
        )
    return AppUnderTest.from_module(options)


def _reject_unused_flags(given: frozenset[str], why: str) -> None:
    """Raise UsageError for a flag on how to start an app, where we do not start it."""
    for name in LAUNCH_FLAGS:
        if name in given:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is only for MODULE:APP: {why}. Omit {flag}.")


def parse_options(options: DoctorOptions) -> DoctorSettings:
    """Parse the flags. Raises AtonceError for invalid values, before anything starts."""
    app = _create_app(options)
    selection = parse_route_selection(options)
    budget, shortest = parse_duration(options.budget), SETUP_SECONDS + MIN_ROUTE_SECONDS
    if budget < shortest:
        raise UsageError(
            f"invalid --budget {options.budget}: too short for any route. The app's start and one"
            f" route take about {shortest:.0f} s. Example: --budget {shortest:.0f}s"
        )
    secrets = (*app.env.values(), *selection.headers.values(), *selection.params.values())
    return DoctorSettings(
        app=replace(app, secrets=secret_forms(secrets)),
        selection=selection,
        gates=tuple(map(_parse_doctor_gate, options.gate or ())),
        budget=budget,
        requests=options.requests,
        seed=options.seed,
        stop_within=parse_duration(options.stop_within, least=0.1),
    )


def _parse_doctor_gate(text: str) -> Gate:
    gate = parse_gate(text)
    if gate.level and gate.level.amount > _MAX_GATE_AMOUNTS[gate.level.unit]:
        raise UsageError(
            f"invalid gate {gate.expression!r}: the doctor sends at most {MANY_USERS}u, or"
            f" {MAX_GENERATOR_RATE:g}/s."
        )
    return gate


def outline_doctor_run(settings: DoctorSettings) -> Iterator[str]:
    """Describe the planned requests. The app is started only to learn its routes."""
    route_requests, notes = discover_in_temp_folder(settings)
    width = max(len(request.route) for request in route_requests)
    loadable = loadable_requests(settings, route_requests)
    over_budget, sentence = find_over_budget(settings, loadable, SETUP_SECONDS)
    for request in route_requests:
        plan = f"skipped: {request.skipped}" if request.skipped else f"requested as {request.path}"
        others = ", ".join(other.path for other in request.alternatives)
        if others and not request.skipped:
            plan += f"; after a 404 or 422 as {others}"
        yield f"{request.route:<{width}}  {plan}"
        if request in over_budget:
            yield f"{'':<{width}}  only if there is time"
    seconds = min(settings.budget, SETUP_SECONDS + ROUTE_SECONDS * len(loadable))
    count = f"{len(loadable)} route{'s' * (len(loadable) != 1)}"
    yield (
        f"{count}: one user, {FEW_USERS} users and, if those are not enough for a"
        f" verdict, {MANY_USERS}; at most {settings.requests:,} requests per route, about"
        f" {seconds:.0f} s; nothing was loaded"
    )
    if sentence:
        yield sentence
    yield from warn_too_few_requests(settings)
    yield from notes
    yield (
        "a GET may also change data, or call paid or remote services: use --exclude for such routes"
    )


def discover_in_temp_folder(settings: DoctorSettings) -> tuple[list[RouteRequest], list[str]]:
    """Discover the routes, with notes, in a temporary folder; keep it if an error names its log."""
    folder = Path(tempfile.mkdtemp(prefix="atonce-"))
    is_named = False
    try:
        run = RunWriter(folder, "doctor")
        return discover_routes(settings, run), run.info.plan.notes
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
    settings: DoctorSettings, out: Path | None
) -> tuple[RunWriter, Callable[[ProgressListener], AtonceError | None]]:
    """Create a run, and a function that executes it and returns its error."""
    run = RunWriter.create(out or default_root(), "doctor")
    return run, return_error(partial(examine_app, settings, run))
