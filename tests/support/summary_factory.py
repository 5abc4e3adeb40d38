"""Summaries made up for a test: a run, its routes and their loads, as valid as real ones."""

from typing import Any

CHECKOUT = "GET /checkout"
NOTES = "GET /notes/{note_id}"


def crowd(users: int, **fields: Any) -> dict[str, Any]:
    """A crowd of which 2,000 requests were answered rightly."""
    quantiles = {"mean_s": 0.1, "p50_s": 0.1, "p95_s": 0.15, "p99_s": 0.2, "max_s": 0.3}
    counts = {"completed": 2000, "unfinished": 0, "errors": 0}
    theory = {"little_residual": 0.0, "little_identity": 0.0, "predicted_mean_s": None}
    return {"users": users, "rps": 100.0, **quantiles, **counts, **theory, **fields}


def arrivals(rate: float, **fields: Any) -> dict[str, Any]:
    """An open load of 2,000 requests, none of them refused."""
    counts = dict.fromkeys(("refused", "backlog", "unfinished", "errors"), 0) | dict.fromkeys(
        ("planned", "sent", "completed"), 2000
    )
    nothing = (
        "share",
        "lateness_p99_s",
        "arrivals_ks_p",
        "arrivals_cv",
        "busy_service_s",
        "closed_loop_view",
    )
    replay = {
        "places_from": "unknown",
        "places": None,
        "places_at_least": None,
        "model": None,
        "starved_connections": None,
    }
    quantiles = {"mean_s": 0.1, "p50_s": 0.1, "p95_s": 0.15, "p99_s": 0.2, "max_s": 0.3}
    rates = {"rate_rps": rate, "offered_rps": rate, "rps": rate, "growth_rps": 0.0}
    return {
        **rates,
        **counts,
        **dict.fromkeys(nothing),
        **quantiles,
        "replay": replay,
        "overloaded": False,
        **fields,
    }


def route(name: str = CHECKOUT, **fields: Any) -> dict[str, Any]:
    """A route that serves ten at once, 100/s of 0.1 s each, and slows no neighbour."""
    calm = {"idle_p90_s": 0.002, "loaded_p90_s": 0.003}
    words = {"verdict": "scales", "sentence": f"{name} serves 10 at once.", "remedy": ""}
    numbers = {
        "service_s": 0.1,
        "served_at_once": 10.0,
        "capacity_rps": 100.0,
        "is_bound": False,
        "limit": None,
    }
    loop = {
        "server_says_p99_s": None,
        "hold_s": 0.001,
        "loop_lag_p99_s": 0.004,
        "loop_lag_max_s": 0.02,
    }
    loads = {
        "levels": [crowd(16), crowd(64)],
        "offered": [arrivals(50.0)],
        "neighbours": {"async": calm, "def": calm},
    }
    return {
        "route": name,
        "variant": name,
        **words,
        **numbers,
        **loop,
        **loads,
        "blame": [],
        **fields,
    }


def run(
    *routes: dict[str, Any],
    trust: str = "trusted",
    cells: dict[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A whole summary."""
    environment = {
        "cpus": 2,
        "python": "3.11.7",
        "loop": "asyncio",
        "packages": {"fastapi": "0.165.0", "locust": None},
        "seed": 1,
    }
    data = {
        "format": 1,
        "run": "20260101-doctor-1",
        "command": "doctor",
        "status": "complete",
        "seconds_total": 12.5,
    }
    judged = {
        "trust": {"verdict": trust, "checks": [], "cells": cells or {}},
        "routes": list(routes),
    }
    return {
        **data,
        "environment": environment,
        **judged,
        "claims": [],
        "guide": [],
        "gates": [],
        "missing": [],
        **fields,
    }
