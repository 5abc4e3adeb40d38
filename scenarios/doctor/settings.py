"""The parsed options of a doctor run, and what the run keeps of them: no header, body, variable."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from results.gate_expression import Gate
from results.run_info import RouteRecord, RunInfo
from results.thresholds import MANY_USERS, MIN_WINDOW_SECONDS
from scenarios.doctor.app import AppUnderTest
from scenarios.doctor.levels import MAX_GENERATOR_RATE, MIN_WARM_UP, OWN_LEVELS, sufficient_requests
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.route_selection import RouteSelection
from scenarios.system.child_process import STOP_TIMEOUT
from scenarios.system.machine import app_cores, describe_machine, package_versions, pinned_cores

ROUTE_SECONDS = 10.0  # seconds per route, a first estimate
SETUP_SECONDS = 10.0  # seconds until the first route: the app's start, its neighbours at rest
_MIN_LEVEL_SECONDS = MIN_WARM_UP + MIN_WINDOW_SECONDS  # seconds per level, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings:
    """What to examine, and the time it may take, in seconds."""

    app: AppUnderTest
    selection: RouteSelection
    gates: tuple[Gate, ...]
    budget: float
    requests: int  # per route, at most
    seed: int
    stop_within: float = STOP_TIMEOUT  # seconds that an app of ours may take to stop


def warn_too_few_requests(settings: DoctorSettings) -> Iterator[str]:
    """Warn before any load which routes have too few requests, and how many suffice."""
    per_level, needed = settings.requests // OWN_LEVELS, MAX_GENERATOR_RATE * _MIN_LEVEL_SECONDS
    if per_level < needed:
        shortest = MANY_USERS * _MIN_LEVEL_SECONDS / per_level
        yield (
            f"--requests {settings.requests:,} are too few for routes that take less than"
            f" {shortest:.2g} s, unless they hold the event loop; --requests"
            f" {sufficient_requests(needed):,} suffice for any route"
        )


def doctor_run_info(settings: DoctorSettings) -> RunInfo:
    """Return what run.json says before a run begins."""
    app_core, locust_core = pinned_cores()
    app = settings.app
    is_ours = app.launch_mode == "module"
    machine = describe_machine()
    machine.app_core = app_core if is_ours and len(app_cores() or ()) == 1 else None
    machine.locust_core = locust_core
    return RunInfo(
        host=None if is_ours else app.url,
        app=app.info(),
        seed=settings.seed,
        schedule="made from seed and plan",
        loop=app.loop if is_ours and app.loop != "auto" else "unknown",
        workers=app.workers or 0,
        machine=machine,
        packages=package_versions(),
        connections="opened before the load, one per user, kept alive; the neighbours on their own",
        budget=settings.budget,
        gates=[gate.expression for gate in settings.gates],
    )


def loadable_requests(
    settings: DoctorSettings, route_requests: Iterable[RouteRequest]
) -> list[RouteRequest]:
    """Return the routes that can be loaded: those that gates name first, then as selected."""
    named_gates = [gate for gate in settings.gates if gate.scope]
    loadable = [request for request in route_requests if not request.skipped]
    return sorted(loadable, key=lambda it: not any(gate.matches(it.route) for gate in named_gates))


def find_over_budget(
    settings: DoctorSettings, ordered: list[RouteRequest], elapsed: float
) -> tuple[list[RouteRequest], str]:
    """Return the routes that exceed the budget at ROUTE_SECONDS each, and a sentence on them."""
    over_budget = ordered[max(1, int((settings.budget - elapsed) / ROUTE_SECONDS)) :]
    if not over_budget:
        return [], ""
    return over_budget, (
        f"About {len(ordered) - len(over_budget)} of {len(ordered)} routes fit the budget of"
        f" {settings.budget:.0f} s, at {ROUTE_SECONDS:.0f} s each. Routes that gates or --route"
        f" name come first, then the app's order. {over_budget[0].route} and later routes run only"
        " if there is time. To change this: --budget, --only, --exclude."
    )


def route_record(request: RouteRequest) -> RouteRecord:
    """Return what run.json keeps of a route: no headers, no body."""
    names = ("route", "path", "skipped", "is_async", "file", "line")
    return RouteRecord(**{name: getattr(request, name) for name in names})
