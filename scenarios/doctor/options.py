"""What is to be examined, and what a run keeps of that: neither a header nor a body, nor a variable of somebody's environment."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from results.gate_expression import Gate
from results.thresholds import LEAST_WINDOW, MANY
from scenarios.doctor.app import Patient
from scenarios.doctor.levels import FASTEST, LEVELS, SHORTEST_WARM_UP, enough
from scenarios.doctor.openapi.route_request import Asked
from scenarios.doctor.openapi.route_selection import Choice
from scenarios.runner.run_plan import Audience
from scenarios.system.child_process import STOP_WITHIN
from scenarios.system.machine import cores, machine, packages, roomy

A_ROUTE = 15.0  # seconds that a route takes, more or less; the first guess
BEFORE = 10.0  # seconds until the first one: the app's start, and its neighbours at rest
WINDOW = SHORTEST_WARM_UP + LEAST_WINDOW  # seconds of a level, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody wants examined, and how much of their time it may take, in seconds."""

    patient: Patient
    choice: Choice
    gates: tuple[Gate, ...]
    budget: float
    requests: int  # per route, at most
    seed: int
    stop_within: float = STOP_WITHIN  # seconds that an app of ours may take to end when it is asked to


def too_few_requests(order: Order) -> Iterator[str]:
    """For which routes the requests are too few, and how many would do: told before anything is loaded."""
    if (most := order.requests // LEVELS) < FASTEST * WINDOW:
        told = f"--requests {order.requests:,} are too few for routes that take less than {MANY * WINDOW / most:.2g} s"
        yield f"{told}, unless they hold the event loop; any route can do with --requests {enough(FASTEST * WINDOW):,}"


class Listener(Audience, Protocol):
    """An audience that may hear more than once how long it all takes."""

    def expect(self, seconds: float) -> None:
        """Called when that is known better."""


class Nobody:
    """An audience where nobody listens."""

    def tell(self, step: str, seconds_done: float) -> None:
        """Not heard."""

    def expect(self, seconds: float) -> None:
        """Not heard either."""


def facts(order: Order) -> dict[str, Any]:
    """What is known of a run before it begins."""
    app_core, locust_core = cores()
    patient = order.patient
    is_ours = patient.how == "module"
    more = {} if is_ours else {"host": patient.url}
    return {
        **more,
        "patient": {**patient.facts(), "home": str(patient.home), "cwd": str(Path.cwd())},
        "seed": order.seed,
        "acts": [],
        "plan": {"seconds": None, "notes": [], "cells": []},
        "schedule": "made from seed and plan",
        "loop": patient.loop if is_ours and patient.loop != "auto" else "unknown",
        "workers": patient.workers,
        "machine": {**machine(), "app_core": app_core if is_ours and len(roomy() or ()) == 1 else None, "locust_core": locust_core},
        "packages": packages(),
        "connections": "opened before the load, one per user, kept alive; the neighbours on their own",
        "budget": order.budget,
        "gates": [one.expression for one in order.gates],
        "routes": [],
    }


def in_turn(order: Order, asked: Iterable[Asked]) -> list[Asked]:
    """The routes that can be loaded: those that gates name first, else as they are declared."""
    loadable = [one for one in asked if not one.skipped]
    return sorted(loadable, key=lambda one: not any(gate.scope and gate.matches(one.route) for gate in order.gates))


def left_out(order: Order, turn: list[Asked], spent: float, each: float) -> tuple[list[Asked], str]:
    """The routes that have hardly time, when each takes so many seconds; and a sentence on them."""
    late = turn[max(1, int((order.budget - spent) / each)) :]
    if not late:
        return [], ""
    count, all_ = len(turn) - len(late), len(turn)
    return late, (
        f"About {count} of {all_} routes fit the budget of {order.budget:.0f} s, "
        f"at {each:.0f} s each: those that gates name, then as the app declares them. "
        f"From {late[0].route} on they are left out, unless there is time. "
        "More or others: --budget, --only, --exclude."
    )


def entry(asked: Asked) -> dict[str, Any]:
    """What run.json keeps of a route: neither its headers nor its body."""
    kept = {name: getattr(asked, name) for name in ("route", "path", "skipped", "is_async", "file", "line")}
    return {**kept, "act": None, "wrong": None, "unfit": None, "notes": []}
