"""What is to be examined, and what a run keeps of that: neither a header nor a body, nor a variable of somebody's environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from results.gate import Gate
from scenarios._doctor.asked import Asked
from scenarios._doctor.choice import Choice
from scenarios._doctor.patient import Patient
from scenarios._driver import Audience
from scenarios._machine import cores, machine, packages, roomy


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody wants examined, and how much of their time it may take, in seconds."""

    patient: Patient
    choice: Choice
    gates: tuple[Gate, ...]
    budget: float
    requests: int  # per route, at most
    seed: int


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


def entry(asked: Asked) -> dict[str, Any]:
    """What run.json keeps of a route: neither its headers nor its body."""
    kept = {name: getattr(asked, name) for name in ("route", "path", "skipped", "is_async", "file", "line")}
    return {**kept, "act": None, "wrong": None, "unfit": None, "notes": []}
