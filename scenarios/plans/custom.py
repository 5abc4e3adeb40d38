"""The load that a command line asks for, and its cells: for `atonce run` and plain Locust alike."""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

from results.errors import AtonceError, ExitCode
from results.schema import (
    MAX_RATE,
    MAX_USERS,
    ArrivalDistribution,
    Arrivals,
    Cell,
    ConnectionMode,
    Scenario,
    repeat_suffix,
)
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

HTTP_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MAX_DURATION = 3600.0  # seconds that one cell may last
# times a level's length, or a pause, in which whole rounds of its users are waited for
_MAX_ROUNDS_STRETCH = 3.0
NEIGHBOUR_ROUTES = ("GET /neighbour/async", "GET /neighbour/def")  # of the bundled app
PING_RATE = 24.0
# addresses that mean this machine
_WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
# shares of the measured capacity: where latency bends, and one point past it
CAPACITY_SHARES = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.2)
RATE_SHAPES: dict[str, Callable[[float, float], tuple[tuple[float, float, float], ...]]] = {
    "flat": lambda rate, seconds: ((seconds, rate, rate),),
    "steps": lambda rate, seconds: tuple(
        (seconds / 4, rate * k / 4, rate * k / 4) for k in (1, 2, 3, 4)
    ),
    "ramp": lambda rate, seconds: ((seconds, 0.0, rate),),
    "spike": lambda rate, seconds: (
        (seconds * 0.4, rate / 4, rate / 4),
        (seconds * 0.2, rate, rate),
        (seconds * 0.4, rate / 4, rate / 4),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How to send load. Seconds and requests per second; `rates` are the highest of their shape."""

    scenario: str
    routes: tuple[str, ...]
    users: tuple[int, ...] = (1,)
    rates: tuple[float, ...] = (20.0,)
    seconds: float = 10.0
    think: float = 0.0
    distribution: ArrivalDistribution = ArrivalDistribution.POISSON
    shape: str = "flat"
    pool: ConnectionMode = ConnectionMode.WARM
    cap: int = 900
    drain: float = 10.0
    repeat: int = 1
    host: str = ""
    prefix: str = ""  # what its URL says after the host's name
    trust: TlsTrust = DEFAULT_TLS_TRUST

    @property
    def connections(self) -> str:
        """Where the connections come from, in words for the run."""
        if self.pool is ConnectionMode.COLD:
            return (
                "cold: opened by the first request that needs them, kept alive; open model: at"
                f" most {self.cap} in flight"
            )
        return (
            f"{self.pool} in the open model, at most {self.cap} in flight; a crowd's users keep one"
            " each, opened before the load"
        )

    def cells(self) -> Iterator[Cell]:
        """All cells in order. A knee's open part follows when its capacity is known."""
        for repeat in range(1, self.repeat + 1):
            for route in self.routes:
                match self.scenario:
                    case "burst":
                        yield from (
                            self.base_cell(Scenario.BURST, route, users, repeat)
                            for users in self.users
                        )
                    case "crowd":
                        yield from (self.crowd_cell(route, users, repeat) for users in self.users)
                    case "knee":
                        yield from (
                            self.crowd_cell(route, users, repeat)
                            for users in (1, max(2, *self.users))
                        )
                    case _:
                        yield from (self.steady_cell(route, rate, repeat) for rate in self.rates)

    def open_loop_cells(self, route: str, repeat: int, capacity: float) -> Iterator[Cell]:
        """The open part of a knee: a route at shares of a measured capacity (requests/s)."""
        for share in CAPACITY_SHARES:
            yield replace(
                self.steady_cell(route, float(f"{share * capacity:.4g}"), repeat), share=share
            )

    def base_cell(self, scenario: Scenario, route: str, level: float, repeat: int) -> Cell:
        """A cell without its durations."""
        return Cell(
            name=f"{scenario}/{route}/{level:g}{repeat_suffix(repeat)}",
            scenario=scenario,
            variant=route,
            route=route,
            path=self.prefix + route.partition(" ")[2],
            expects="",
            users=0 if scenario is Scenario.STEADY else int(level),
            warm_up=0.0,
            window=0.0,
            drain=self.drain,
            repeat=repeat,
            cold=self.pool is ConnectionMode.COLD and scenario is not Scenario.STEADY,
        )

    def crowd_cell(self, route: str, users: int, repeat: int) -> Cell:
        """N users in a closed loop, started one by one: started at once, they would march in step.

        Users that pause start over one pause. Whole rounds of all users may take longer than
        planned, up to a bound.
        """
        warm_up = _warm_up_time(self.seconds)
        cell, longest = (
            self.base_cell(Scenario.CROWD, route, users, repeat),
            _MAX_ROUNDS_STRETCH * max(self.seconds, self.think),
        )
        cell = replace(
            cell, warm_up=max(warm_up, self.think), window=self.seconds - warm_up, longest=longest
        )
        return replace(cell, stagger=max(warm_up / 2, self.think), think=self.think)

    def steady_cell(self, route: str, rate: float, repeat: int) -> Cell:
        """Arrivals at a rate."""
        warm_up = _warm_up_time(self.seconds)
        warm = 0 if self.pool is ConnectionMode.COLD else min(self.cap, int(rate) + 32)
        profile = RATE_SHAPES[self.shape](rate, self.seconds)
        arrivals = Arrivals(
            law=self.distribution, profile=profile, pool=self.pool, warm=warm, cap=self.cap
        )
        cell = self.base_cell(Scenario.STEADY, route, rate, repeat)
        return replace(cell, warm_up=warm_up, window=self.seconds - warm_up, arrivals=arrivals)


def _warm_up_time(seconds: float) -> float:
    """What is left out at the start, while the queue builds: a fifth, at most 2 s."""
    return min(2.0, seconds / 5)


def parse_route(text: str) -> str:
    """`GET /x`, or `/x` for short. Raises AtonceError for what could not be asked as it stands."""
    method, _, path = text.strip().rpartition(" ")
    method = method.strip().upper() or "GET"
    why = None
    if method not in HTTP_METHODS:
        why = f"{method} is none of {', '.join(HTTP_METHODS)}"
    elif not path.startswith("/"):
        why = "a path begins with /"
    elif not re.fullmatch(r"[!-~]+", path):
        why = "a path has no blanks and no letters outside ASCII; write them as %20"
    elif "{" in path:
        why = "fill in what stands in braces"
    if why:
        raise AtonceError(
            f"{text!r} is no route: {why}. For example: --route 'GET /items/1?full=true'",
            ExitCode.USAGE,
        )
    return f"{method} {path}"


def parse_rate(text: str) -> float:
    """`50/s` or `300/m`: requests per second. Raises AtonceError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(s|m)", text.strip())
    rate = float(match[1]) / _UNIT_SECONDS[match[2]] if match else 0.0
    if not 0 < rate <= MAX_RATE:
        sentence = (
            f"{text!r} is no rate: write requests per second as 50/s, or per minute as 300/m; at"
            f" most {MAX_RATE:,.0f}/s."
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    return rate


def parse_duration(text: str, least: float = 1.0) -> float:
    """`90s`, `1m30s`, `500ms`: seconds. Raises AtonceError otherwise, and below `least`."""
    pieces = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in pieces)
    if (
        "".join(number + unit for number, unit in pieces) != text.strip()
        or not pieces
        or not least <= seconds <= MAX_DURATION
    ):
        raise AtonceError(
            f"{text!r} is no duration here: write 20s or 1m30s, from {least:g} s to"
            f" {MAX_DURATION / 3600:g} h.",
            ExitCode.USAGE,
        )
    return seconds


def parse_levels(text: str) -> tuple[int, ...]:
    """`1,8,32`: numbers of users, each once, ascending. Raises AtonceError otherwise."""
    parts = [word.strip() for word in text.split(",")]
    levels = sorted({int(word) for word in parts if word.isascii() and word.isdigit()})
    if (
        not all(word.isascii() and word.isdigit() for word in parts)
        or not 1 <= levels[0] <= levels[-1] <= MAX_USERS
    ):
        raise AtonceError(
            f"{text!r} are no levels of users: write 50, or 1,8,32; from 1 to {MAX_USERS}.",
            ExitCode.USAGE,
        )
    return tuple(levels)


def parse_host(text: str, allowed: str | None) -> SplitResult:
    """The target's URL. Raises AtonceError for none, and for another machine not in `allowed`."""
    text = f"127.0.0.1{text}" if text.startswith(":") else text
    try:
        url = urlsplit(text if "//" in text else f"http://{text}")
        valid = (
            url.scheme in {"http", "https"}
            and bool(url.hostname)
            and (url.port is None or url.port > 0)
            and not url.query
        )
    except ValueError:
        url, valid = SplitResult("", "", "", "", ""), False
    # as servers say that they listen everywhere
    if everywhere := _WILDCARD_HOSTS.get(str(url.hostname)):
        url = url._replace(netloc=everywhere + (f":{url.port}" if url.port else ""))
    if not valid or "@" in text:
        shown = (
            "What is written there with @ or ? (perhaps a password: it is not repeated)"
            if re.search("[@?]", text)
            else repr(text)
        )
        raise AtonceError(
            f"{shown} is no URL of a host. For example: --host http://127.0.0.1:8002",
            ExitCode.USAGE,
        )
    if not is_loopback(str(url.hostname)) and url.hostname != allowed:
        sentence = (
            f"{url.hostname} is not this machine. Load only what is yours; if it is, add:"
            f" --allow-host {url.hostname}"
        )
        raise AtonceError(sentence, ExitCode.USAGE)
    return url


def is_loopback(name: str) -> bool:
    """Whether a host's name can only mean this machine."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
