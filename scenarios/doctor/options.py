"""The options of a doctor run, and what the run keeps of them: no header, body or variable."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from results.gate_expression import Gate
from results.thresholds import MANY_USERS, MIN_WINDOW_SECONDS
from scenarios.doctor.app import AppUnderTest
from scenarios.doctor.levels import MAX_GENERATOR_RATE, MIN_WARM_UP, OWN_LEVELS, sufficient_requests
from scenarios.doctor.openapi.route_request import RouteRequest
from scenarios.doctor.openapi.route_selection import RouteSelection
from scenarios.runner.run_plan import ProgressListener
from scenarios.system.child_process import STOP_TIMEOUT
from scenarios.system.machine import app_cores, describe_machine, package_versions, pinned_cores

ROUTE_SECONDS = 15.0  # seconds per route, a first estimate
SETUP_SECONDS = 10.0  # seconds until the first route: the app's start, its neighbours at rest
_MIN_LEVEL_SECONDS = MIN_WARM_UP + MIN_WINDOW_SECONDS  # seconds per level, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    """What to examine, and the time it may take, in seconds."""

    app: AppUnderTest
    selection: RouteSelection
    gates: tuple[Gate, ...]
    budget: float
    requests: int  # per route, at most
    seed: int
    stop_within: float = STOP_TIMEOUT  # seconds that an app of ours may take to stop


def warn_too_few_requests(options: DoctorOptions) -> Iterator[str]:
    """Warn before any load which routes have too few requests, and how many suffice."""
    if (per_level := options.requests // OWN_LEVELS) < MAX_GENERATOR_RATE * _MIN_LEVEL_SECONDS:
        sentence = (
            f"--requests {options.requests:,} are too few for routes that take less than"
            f" {MANY_USERS * _MIN_LEVEL_SECONDS / per_level:.2g} s"
        )
        yield (
            f"{sentence}, unless they hold the event loop; any route can do with --requests"
            f" {sufficient_requests(MAX_GENERATOR_RATE * _MIN_LEVEL_SECONDS):,}"
        )


class DoctorProgressListener(ProgressListener, Protocol):
    """A progress listener that also gets updates of the total time."""

    def set_total(self, seconds: float) -> None:
        """Take a better estimate of the total."""


class NoProgress:
    """A listener that ignores everything."""

    def on_progress(self, step: str, seconds_done: float) -> None:
        """Ignored."""

    def set_total(self, seconds: float) -> None:
        """Ignored too."""


def doctor_run_metadata(options: DoctorOptions) -> dict[str, Any]:
    """The metadata of a run before it begins."""
    app_core, locust_core = pinned_cores()
    app = options.app
    is_ours = app.launch_mode == "module"
    host_facts = {} if is_ours else {"host": app.url}
    return {
        **host_facts,
        "patient": {**app.metadata(), "home": str(app.app_dir), "cwd": str(Path.cwd())},
        "seed": options.seed,
        "acts": [],
        "plan": {"seconds": None, "notes": [], "cells": []},
        "schedule": "made from seed and plan",
        "loop": app.loop if is_ours and app.loop != "auto" else "unknown",
        "workers": app.workers,
        "machine": {
            **describe_machine(),
            "app_core": app_core if is_ours and len(app_cores() or ()) == 1 else None,
            "locust_core": locust_core,
        },
        "packages": package_versions(),
        "connections": (
            "opened before the load, one per user, kept alive; the neighbours on their own"
        ),
        "budget": options.budget,
        "gates": [gate.expression for gate in options.gates],
        "routes": [],
    }


def loadable_requests(
    options: DoctorOptions, route_requests: Iterable[RouteRequest]
) -> list[RouteRequest]:
    """The routes that can be loaded: those that gates name first, then in declared order."""
    loadable = [request for request in route_requests if not request.skipped]
    return sorted(
        loadable,
        key=lambda request: (
            not any(gate.scope and gate.matches(request.route) for gate in options.gates)
        ),
    )


def find_over_budget(
    options: DoctorOptions, ordered: list[RouteRequest], elapsed: float, route_seconds: float
) -> tuple[list[RouteRequest], str]:
    """The routes that probably exceed the budget at `route_seconds` each; a sentence on them."""
    over_budget = ordered[max(1, int((options.budget - elapsed) / route_seconds)) :]
    if not over_budget:
        return [], ""
    count, total = len(ordered) - len(over_budget), len(ordered)
    return (
        over_budget,
        (
            f"About {count} of {total} routes fit the budget of {options.budget:.0f} s, "
            f"at {route_seconds:.0f} s each: those that gates name, then as the app declares them. "
            f"From {over_budget[0].route} on they are left out, unless there is time. "
            "More or others: --budget, --only, --exclude."
        ),
    )


def route_record(request: RouteRequest) -> dict[str, Any]:
    """What run.json keeps of a route: no headers, no body."""
    kept = {
        name: getattr(request, name)
        for name in ("route", "path", "skipped", "is_async", "file", "line")
    }
    return {**kept, "act": None, "wrong": None, "unfit": None, "notes": []}
