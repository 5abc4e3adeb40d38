"""Entry points of the commands: runs on our servers or a given host, and scenario paths."""

import ast
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import util
from pathlib import Path

from results.errors import AtonceError, ExitCode, UsageError
from results.schema import ArrivalDistribution, ConnectionMode
from results.store import RunWriter, default_root
from scenarios.plans.custom import (
    NEIGHBOUR_ROUTES,
    PING_RATE,
    RunOptions,
    parse_duration,
    parse_host,
    parse_levels,
    parse_rate,
    parse_route,
)
from scenarios.plans.knee import plan_from_options
from scenarios.plans.model import Plan, outline_plan
from scenarios.runner.preflight import list_openapi_routes
from scenarios.runner.recorded_run import return_error
from scenarios.runner.run_plan import LOCUSTFILES, ProgressListener, Settings, execute_plan
from scenarios.system.child_process import PACKAGE_ROOT
from scenarios.system.tls import TlsTrust

__all__ = [
    "Settings",
    "outline_plan",
    "parse_run_options",
    "plan_from_options",
    "prepare_bundled_run",
    "prepare_external_run",
]
_Drive = Callable[[ProgressListener], AtonceError | None]
_SCENARIOS = PACKAGE_ROOT / "scenarios"
_DEFAULT_USERS = {"burst": (20,), "crowd": (1, 50), "knee": (64,)}


def prepare_bundled_run(
    command: str, plan: Plan, settings: Settings, out: Path | None
) -> tuple[RunWriter, _Drive]:
    """Create the folder for a plan on our own servers; return it and what runs the plan."""
    loop = settings.loop
    wanted = {loop, *(session.loop for session in plan.sessions if session.loop)}
    if absent := [name for name in sorted(wanted) if util.find_spec(name) is None]:
        flag = "--loop" if loop in absent else "--full"
        raise UsageError(
            f"The {absent[0]} loop is not installed in this environment. Install it, or leave"
            f" {flag} out."
        )
    run = RunWriter.create(out or default_root(), command)
    return run, return_error(partial(execute_plan, plan, settings, run))


def prepare_external_run(
    plan: Plan, run_options: RunOptions, seed: int, out: Path | None
) -> tuple[RunWriter, _Drive]:
    """Create the folder for one scenario against a host that we do not serve."""
    settings = Settings(
        loop="unknown",
        seed=seed,
        host=run_options.host,
        scenario=run_options.scenario,
        connections=run_options.connections,
        trust=run_options.trust,
    )
    run = RunWriter.create(out or default_root(), run_options.scenario)
    run.info.command = "run"
    return run, return_error(partial(execute_plan, plan, settings, run))


def parse_run_options(  # noqa: PLR0913 - one parameter per flag
    scenario: str,
    *,
    host: str,
    route: list[str] | None,
    users: str,
    rate: str,
    run_time: str,
    repeat: int,
    arrivals: str,
    shape: str,
    connections: str,
    cap: int,
    think: str,
    drain: str,
    allow_host: str | None,
    cacert: Path | None,
    insecure: bool,
) -> RunOptions:
    """Parse the flags of `atonce run`. Raises AtonceError for unclear ones and forbidden hosts."""
    if not host:
        raise AtonceError(
            "Name a host: --host http://127.0.0.1:8002 (atonce serve starts one there).",
            ExitCode.USAGE,
        )
    trust = TlsTrust.from_flags(cacert, host, insecure=insecure)
    url = parse_host(host, allow_host)
    base = f"{url.scheme}://{url.netloc}"
    is_neighbours = scenario == "neighbours"
    usual_rate = PING_RATE if is_neighbours else 20.0
    run_options = RunOptions(
        scenario=scenario,
        host=base,
        prefix=url.path.rstrip("/"),
        trust=trust,
        routes=tuple(map(parse_route, route or ())) or (NEIGHBOUR_ROUTES if is_neighbours else ()),
        users=parse_levels(users) if users else _DEFAULT_USERS.get(scenario, (1,)),
        rates=tuple(map(parse_rate, rate.split(","))) if rate else (usual_rate,),
        seconds=parse_duration(run_time),
        think=parse_duration(think, least=0.0),
        drain=parse_duration(drain, least=0.0),
        distribution=ArrivalDistribution(arrivals),
        shape=shape,
        pool=ConnectionMode(connections),
        cap=cap,
        repeat=repeat,
    )
    if not run_options.routes:
        known = list_openapi_routes(base, trust)
        offer = f" It describes {', '.join(known)}." if known else ""
        raise AtonceError(f"Name a route: --route 'GET /x'.{offer}", ExitCode.USAGE)
    return run_options


def check_port_free(port: int) -> None:
    """Raise AtonceError when a port cannot be listened at."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise AtonceError(
                f"Port {port} cannot be used ({error.strerror}). Choose another: atonce serve"
                f" --port {port % 65535 + 1}",
                ExitCode.TARGET,
            ) from error


def describe_scenarios() -> Iterator[str]:
    """Yield where the scenario files are, and how plain Locust takes them."""
    for path in (_SCENARIOS / name for name in LOCUSTFILES):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        yield f"{path}  {docstring.partition(chr(10))[0]}"
    locust = "locust" if shutil.which("locust") else f"{sys.executable} -m locust"
    yield ""
    yield "Plain Locust takes them by path, from any folder; no environment variable is needed:"
    yield (
        f"  {locust} -f {_SCENARIOS / 'crowd.py'} --host http://127.0.0.1:8002 -u 50 -t 20s"
        " --headless"
    )


def scenario_path(name: str) -> Path:
    """Return the path of a scenario file. Raises AtonceError for an unknown name."""
    if f"{name}.py" not in LOCUSTFILES:
        names = ", ".join(file.removesuffix(".py") for file in LOCUSTFILES)
        raise UsageError(f"There is no scenario {name!r}. There are: {names}")
    return _SCENARIOS / f"{name}.py"
