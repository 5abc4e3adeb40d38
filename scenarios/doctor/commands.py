"""What the front door opens for `atonce doctor`: somebody's words become an order, an outline, or an examination."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from results.errors import Exit, Trouble
from results.gate_expression import parse
from results.store import RunFolder, default_root
from results.thresholds import FEW, MANY
from scenarios.doctor.app import Patient
from scenarios.doctor.examine import A_CLEAR_ROUTE, examine, listed
from scenarios.doctor.levels import FASTEST
from scenarios.doctor.openapi.route_request import Asked
from scenarios.doctor.openapi.route_selection import parse_choice
from scenarios.doctor.options import A_ROUTE, BEFORE, Listener, Order, in_turn, left_out, too_few_requests
from scenarios.plans.custom import parse_duration
from scenarios.system.child_process import STOP_WITHIN
from scenarios.system.redact import secrets_of
from scenarios.system.tls import DEFAULT_TRUST, Trust

OURS = ("app_dir", "factory", "python", "workers", "loop", "env", "env_file")  # flags for an app that we start


def patient_of(  # noqa: PLR0913, PLR0917 - what somebody may say
    target: str, start: str, url: str, allowed: str | None, typed: set[str], trust: Trust = DEFAULT_TRUST, **words: Any
) -> Patient:
    """Whose app it is. Raises Trouble, also for flags that would not be heard."""
    if start or url:
        if target or not (start and url):
            raise Trouble("--start 'COMMAND' and --url URL belong together, and take the place of MODULE:APP.", Exit.USAGE)
        must_be_heard(typed - {"env", "env_file"}, "your own command of --start says it by itself")
        return Patient.of_command(start, url, env=words["env"] or (), env_file=words["env_file"], trust=trust)
    if not target:
        raise Trouble("Name your app: atonce doctor shop.main:app, or atonce doctor http://127.0.0.1:8000", Exit.USAGE)
    if "//" in target or target.startswith((":", "localhost:")) or target[:1].isdigit():
        must_be_heard(typed, "what runs already has been started without it")
        return Patient.of_url(target, allowed, trust)
    if trust != DEFAULT_TRUST:
        raise Trouble("--cacert and --insecure are for a URL: an app that we start is asked over plain HTTP.", Exit.USAGE)
    return Patient.of_module(target, **{**words, "env": words["env"] or (), "loop": str(words["loop"])})


def must_be_heard(typed: set[str], why: str) -> None:
    """Raises Trouble for a flag that says how we are to start an app, where we do not."""
    if strange := [f"--{name.replace('_', '-')}" for name in OURS if name in typed]:
        raise Trouble(f"{strange[0]} is only for MODULE:APP: {why}. Leave it out.", Exit.USAGE)


def order_of(  # noqa: PLR0913, PLR0917 - what somebody may say
    patient: Patient,
    words: dict[str, list[str] | None],
    gates: Iterable[str],
    budget: str,
    requests: int,
    seed: int,
    stop_within: str = f"{STOP_WITHIN:g}s",
) -> Order:
    """What is to be examined. Raises Trouble for what cannot be understood, before anything is started."""
    choice = parse_choice(**{name: given or () for name, given in words.items()})
    allowed = parse_duration(budget)
    if allowed < BEFORE + A_CLEAR_ROUTE:
        least = f"the app's start, its neighbours at rest and one route take about {BEFORE + A_CLEAR_ROUTE:.0f} s"
        sentence = (
            f"--budget {budget} is too short for any route: {least}. Give it that at least: --budget {BEFORE + A_CLEAR_ROUTE:.0f}s"
        )
        raise Trouble(sentence, Exit.USAGE)
    demands = tuple(parse(one) for one in gates)
    for one in demands:
        most = {"u": float(MANY), "/s": FASTEST}
        if one.level and one.level.amount > most[one.level.unit]:
            sentence = f"the gate {one.expression!r} asks for more than an examination sends: at most {MANY}u, or {FASTEST:g}/s."
            raise Trouble(sentence, Exit.USAGE)
    secrets = secrets_of([*patient.env.values(), *choice.headers.values(), *choice.params.values()])
    patient = replace(patient, secrets=secrets)
    limits: dict[str, Any] = {"budget": allowed, "requests": requests, "stop_within": parse_duration(stop_within, least=0.1)}
    return Order(patient=patient, choice=choice, gates=demands, seed=seed, **limits)


def outline(order: Order) -> Iterator[str]:
    """What would be asked. The app is started to learn its routes, and asked nothing but that."""
    routes, notes = listed_aside(order)
    wide = max(len(one.route) for one in routes)
    turn = in_turn(order, routes)
    late, sentence = left_out(order, turn, BEFORE, A_ROUTE)
    for one in routes:
        others = f"; where that is answered 404 or 422, as {', '.join(other.path for other in one.others)}" if one.others else ""
        yield f"{one.route:<{wide}}  " + (f"skipped: {one.skipped}" if one.skipped else f"asked as {one.path}{others}")
        if one in late:
            yield f"{'':<{wide}}  left out, unless there is time"
    yield (
        f"{len(turn)} routes: one user, {FEW} users and, where those leave it open, {MANY}; at most {order.requests:,} requests each, "
        f"about {min(order.budget, BEFORE + A_ROUTE * len(turn)):.0f} s; nothing was loaded"
    )
    if sentence:
        yield sentence
    yield from too_few_requests(order)
    yield from notes
    yield "a GET may change data, or call paid or remote services, too: --exclude what should be left alone"


def listed_aside(order: Order) -> tuple[list[Asked], list[str]]:
    """The routes, and notes on how the app was had, learnt in a folder that goes.

    Where its log is named as what the app said, it is kept.
    """
    folder = Path(tempfile.mkdtemp(prefix="atonce-"))
    is_named = False
    try:
        run = RunFolder(folder, "doctor")
        return listed(order, run), run.facts["plan"]["notes"]
    except Trouble as trouble:
        is_named = str(folder) in trouble.sentence
        raise
    finally:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        if not is_named:
            shutil.rmtree(folder)


def prepared(order: Order, out: Path | None) -> tuple[RunFolder, Callable[[Listener], Trouble | None]]:
    """A run about to begin. Trouble comes back as a value: a report follows all the same."""
    run = RunFolder.create(out or default_root(), "doctor")

    def go(audience: Listener) -> Trouble | None:
        try:
            examine(order, run, audience)
        except Trouble as trouble:
            return trouble
        return None

    return run, go
