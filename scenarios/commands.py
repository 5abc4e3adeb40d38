"""What the front door opens in this room: a plan on our own servers, a scenario against somebody's host, and where the scenarios lie."""

import ast
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

from results.errors import Exit, Trouble
from results.schema import Law, Pool
from results.store import RunFolder, default_root
from scenarios.plans.custom import INNOCENT, PING_RATE, Order, parse_duration, parse_host, parse_levels, parse_rate, parse_route
from scenarios.plans.knee import plan_of
from scenarios.plans.model import Plan, outline
from scenarios.runner.preflight import routes_of
from scenarios.runner.run_plan import LOCUSTFILES, Audience, Settings, drive
from scenarios.system.child_process import ROOMS
from scenarios.system.tls import DEFAULT_TRUST, Trust

__all__ = ["Settings", "bundled", "order_of", "outline", "plan_of", "press"]
Drive = Callable[[Audience], Trouble | None]
USERS = {"burst": (20,), "crowd": (1, 50), "knee": (64,)}


def bundled(command: str, plan: Plan, settings: Settings, out: Path | None) -> tuple[RunFolder, Drive]:
    """A folder for a plan on our own servers, and how to drive it into there."""
    loop = settings.loop
    wanted = {loop, *(act.loop for act in plan.acts if act.loop)}
    if absent := [one for one in sorted(wanted) if util.find_spec(one) is None]:
        flag = "--loop" if loop in absent else "--full"
        raise Trouble(f"The {absent[0]} loop is not installed in this environment. Install it, or leave {flag} out.", Exit.USAGE)
    return prepared(plan, settings, RunFolder.create(out or default_root(), command))


def press(plan: Plan, order: Order, seed: int, out: Path | None) -> tuple[RunFolder, Drive]:
    """The same for one scenario against a host that somebody else serves."""
    told = order.connections
    settings = Settings(loop="unknown", seed=seed, host=order.host, scenario=order.scenario, connections=told, trust=order.trust)
    run = RunFolder.create(out or default_root(), order.scenario)
    run.facts["command"] = "run"
    return prepared(plan, settings, run)


def prepared(plan: Plan, settings: Settings, run: RunFolder) -> tuple[RunFolder, Drive]:
    """A run about to be driven. Trouble comes back as a value: a report follows all the same."""

    def go(audience: Audience) -> Trouble | None:
        try:
            drive(plan, settings, run, audience)
        except Trouble as trouble:
            return trouble
        return None

    return run, go


def order_of(  # noqa: PLR0913, PLR0917 - what somebody may say
    scenario: str,
    host: str,
    allowed: str | None,
    routes: list[str],
    words: dict[str, str],
    chosen: dict[str, Any],
    trust: Trust = DEFAULT_TRUST,
) -> Order:
    """What somebody's words amount to. Raises Trouble for what cannot be understood, or must not be loaded."""
    if not host:
        raise Trouble("Name what to press: --host http://127.0.0.1:8002 (atonce serve would serve there).", Exit.USAGE)
    url = parse_host(host, allowed)
    base = f"{url.scheme}://{url.netloc}"
    usual = PING_RATE if scenario == "neighbours" else 20.0
    order = Order(
        scenario=scenario,
        host=base,
        prefix=url.path.rstrip("/"),
        trust=trust,
        routes=tuple(parse_route(route) for route in routes) or (INNOCENT if scenario == "neighbours" else ()),
        users=parse_levels(words["users"]) if words["users"] else USERS.get(scenario, (1,)),
        rates=tuple(parse_rate(one) for one in words["rates"].split(",")) if words["rates"] else (usual,),
        seconds=parse_duration(words["seconds"]),
        think=parse_duration(words["think"], least=0.0),
        drain=parse_duration(words["drain"], least=0.0),
        **{**chosen, "law": Law(chosen["law"]), "pool": Pool(chosen["pool"])},
    )
    if not order.routes:
        known = routes_of(base, trust)
        offer = f" It describes {', '.join(known)}." if known else ""
        raise Trouble(f"Name what to press: --route 'GET /x'.{offer}", Exit.USAGE)
    return order


def must_be_free(port: int) -> None:
    """Raises Trouble when a port cannot be listened at."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sentence = f"Port {port} cannot be used ({error.strerror}). Choose another: atonce serve --port {port % 65535 + 1}"
            raise Trouble(sentence, Exit.TARGET) from error


def places() -> Iterator[str]:
    """Where the scenario files lie, and how plain Locust takes them."""
    for name in LOCUSTFILES:
        path = ROOMS / "scenarios" / name
        caption = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        yield f"{path}  {caption}"
    locust = "locust" if shutil.which("locust") else f"{sys.executable} -m locust"
    yield ""
    yield "Plain Locust takes them by path, from any folder; no environment variable is needed:"
    yield f"  {locust} -f {ROOMS / 'scenarios' / 'crowd.py'} --host http://127.0.0.1:8002 -u 50 -t 20s --headless"


def place(name: str) -> Path:
    """Where one scenario lies."""
    if f"{name}.py" not in LOCUSTFILES:
        names = ", ".join(file.removesuffix(".py") for file in LOCUSTFILES)
        raise Trouble(f"There is no scenario {name!r}. There are: {names}", Exit.USAGE)
    return ROOMS / "scenarios" / f"{name}.py"
