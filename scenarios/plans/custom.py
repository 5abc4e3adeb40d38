"""The load that a command line describes, and its cells: for `atonce run` and plain Locust."""

import ipaddress
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

from results.errors import UsageError
from results.schema import (
    MAX_RATE,
    MAX_USERS,
    ArrivalDistribution,
    Arrivals,
    Cell,
    ConnectionMode,
    Scenario,
)
from scenarios.plans.cells import MAX_IN_FLIGHT, Target, Times, repeat_cell
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

HTTP_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MAX_DURATION = 3600.0  # seconds that one cell may last
# a level waits for whole rounds of its users for this many times its length, or their pause
_MAX_ROUNDS_STRETCH = 3.0
NEIGHBOUR_ROUTES = ("GET /neighbour/async", "GET /neighbour/def")  # of the bundled app
# addresses that mean this machine
_WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
# shares of the measured capacity: where latency bends, and one point past it
CAPACITY_SHARES = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.2)
# pieces: the share of the time, and of the highest rate at its start and at its end
RATE_SHAPES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "flat": ((1.0, 1.0, 1.0),),
    "steps": tuple((0.25, share, share) for share in (0.25, 0.5, 0.75, 1.0)),
    "ramp": ((1.0, 0.0, 1.0),),
    "spike": ((0.4, 0.25, 0.25), (0.2, 1.0, 1.0), (0.4, 0.25, 0.25)),
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
    cap: int = MAX_IN_FLIGHT
    drain: float = 10.0
    repeat: int = 1
    host: str = ""
    prefix: str = ""  # what its URL says after the host's name
    trust: TlsTrust = DEFAULT_TLS_TRUST

    @property
    def connections(self) -> str:
        """Where the connections come from, in words for the run."""
        limit = f"at most {self.cap} in flight"
        if self.pool is ConnectionMode.COLD:
            opened = "cold: opened by the first request that needs them, kept alive"
            return f"{opened}; open model: {limit}"
        crowd = "a crowd's users keep one each, opened before the load"
        return f"{self.pool} in the open model, {limit}; {crowd}"

    def cells(self) -> Iterator[Cell]:
        """Yield all cells in order. A knee's open part follows when its capacity is known."""
        for repeat, route in itertools.product(range(1, self.repeat + 1), self.routes):
            match self.scenario:
                case "burst":
                    yield from (self.burst_cell(route, users, repeat) for users in self.users)
                case "crowd":
                    yield from (self.crowd_cell(route, users, repeat) for users in self.users)
                case "knee":
                    yield self.crowd_cell(route, 1, repeat)
                    yield self.crowd_cell(route, max(2, *self.users), repeat)
                case _:
                    yield from (self.steady_cell(route, rate, repeat) for rate in self.rates)

    def open_loop_cells(self, route: str, repeat: int, capacity: float) -> Iterator[Cell]:
        """Yield the open part of a knee: a route at shares of a measured capacity (requests/s)."""
        for share in CAPACITY_SHARES:
            rate = float(f"{share * capacity:.4g}")
            yield replace(self.steady_cell(route, rate, repeat), share=share)

    def burst_cell(self, route: str, users: int, repeat: int) -> Cell:
        """Return N requests at one instant."""
        cell = self._target(route).create_cell(Scenario.BURST, users, Times(drain=self.drain))
        return repeat_cell(replace(cell, cold=self.pool is ConnectionMode.COLD), repeat)

    def crowd_cell(self, route: str, users: int, repeat: int) -> Cell:
        """Return N users in a closed loop. They start one by one, so as not to stay in step."""
        times = self._times
        cell = replace(
            self._target(route).create_cell(Scenario.CROWD, users, times),
            warm_up=max(times.warm_up, self.think),
            stagger=max(times.warm_up / 2, self.think),
            think=self.think,
            longest=_MAX_ROUNDS_STRETCH * max(self.seconds, self.think),
            cold=self.pool is ConnectionMode.COLD,
        )
        return repeat_cell(cell, repeat)

    def steady_cell(self, route: str, rate: float, repeat: int) -> Cell:
        """Return arrivals at a rate."""
        arrivals = Arrivals(
            law=self.distribution,
            profile=rate_profile(self.shape, rate, self.seconds),
            pool=self.pool,
            warm=0 if self.pool is ConnectionMode.COLD else min(self.cap, int(rate) + 32),
            cap=self.cap,
        )
        cell = self._target(route).create_cell(Scenario.STEADY, rate, self._times, arrivals)
        return repeat_cell(cell, repeat)

    def _target(self, route: str) -> Target:
        return Target(variant=route, route=route, path=self.prefix + route.partition(" ")[2])

    @property
    def _times(self) -> Times:
        """The queue builds in the first fifth, at most 2 s, which is no part of the window."""
        warm_up = min(2.0, self.seconds / 5)
        return Times(warm_up, self.seconds - warm_up, self.drain)


def rate_profile(shape: str, rate: float, seconds: float) -> tuple[tuple[float, float, float], ...]:
    """Return the pieces of a shape: seconds, and the rates at start and end (requests/s)."""
    return tuple(
        (seconds * share, rate * begin, rate * end) for share, begin, end in RATE_SHAPES[shape]
    )


def _invalid(what: str, text: str, why: str) -> UsageError:
    return UsageError(f"invalid {what} {text!r}: {why}")


def normalise_route(text: str) -> str:
    """Turn `post  /x` into POST /x, and `/x` into GET /x."""
    method, _, path = text.strip().rpartition(" ")
    return f"{method.strip().upper() or 'GET'} {path}"


def parse_route(text: str) -> str:
    """Parse `GET /x`, or `/x` for short. Raises AtonceError for what cannot be sent as it is."""
    method, _, path = normalise_route(text).rpartition(" ")
    why = None
    if method not in HTTP_METHODS:
        why = f"{method} is none of {', '.join(HTTP_METHODS)}"
    elif not path.startswith("/"):
        why = "a path begins with /"
    elif not re.fullmatch(r"[!-~]+", path):
        why = "a path has no blanks and only ASCII characters. Write others as %20"
    elif "{" in path:
        why = "replace each {name} by a value"
    if why:
        raise _invalid("route", text, f"{why}. Example: --route 'GET /items/1?full=true'")
    return f"{method} {path}"


def parse_rate(text: str) -> float:
    """Parse `50/s` or `300/m`: requests per second. Raises AtonceError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(s|m)", text.strip())
    rate = float(match[1]) / _UNIT_SECONDS[match[2]] if match else 0.0
    if not 0 < rate <= MAX_RATE:
        why = f"write requests per second or per minute, at most {MAX_RATE:,.0f}/s"
        raise _invalid("rate", text, f"{why}. Examples: 50/s, 300/m")
    return rate


def parse_duration(text: str, least: float = 1.0) -> float:
    """Parse `90s`, `1m30s`, `500ms`: seconds. Raises AtonceError otherwise, and below `least`."""
    pieces = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip())
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in pieces)
    is_whole = bool(pieces) and "".join(map("".join, pieces)) == text.strip()
    if not is_whole or not least <= seconds <= MAX_DURATION:
        why = f"write a time from {least:g} s to {MAX_DURATION / 3600:g} h"
        raise _invalid("duration", text, f"{why}. Examples: 20s, 1m30s")
    return seconds


def parse_levels(text: str) -> tuple[int, ...]:
    """Parse `1,8,32`: numbers of users, each once, ascending. Raises AtonceError otherwise."""
    words = [word.strip() for word in text.split(",")]
    is_valid = all(word.isascii() and word.isdigit() for word in words)
    levels = sorted(set(map(int, words))) if is_valid else [0]
    if not 1 <= levels[0] <= levels[-1] <= MAX_USERS:
        why = f"write numbers from 1 to {MAX_USERS}"
        raise _invalid("levels of users", text, f"{why}. Examples: 50, or 1,8,32")
    return tuple(levels)


def parse_host(text: str, allowed: str | None) -> SplitResult:
    """Parse the target's URL. Raises AtonceError also for another machine not in `allowed`."""
    text = f"127.0.0.1{text}" if text.startswith(":") else text
    try:
        url = urlsplit(text if "//" in text else f"http://{text}")
        is_plain = not url.query and "@" not in text
        is_valid = bool(url.scheme in {"http", "https"} and url.hostname and url.port != 0)
        # as servers say that they listen everywhere
        if everywhere := _WILDCARD_HOSTS.get(str(url.hostname)):
            url = url._replace(netloc=f"{everywhere}:{url.port}" if url.port else everywhere)
    except ValueError:
        is_valid = is_plain = False
    if not (is_valid and is_plain):
        is_secret = re.search("[@?]", text)
        shown = "(not repeated: it may contain a password)" if is_secret else repr(text)
        why = "it must be a URL without user, password and query"
        raise UsageError(f"invalid host {shown}: {why}. Example: --host http://127.0.0.1:8002")
    if not is_loopback(str(url.hostname)) and url.hostname != allowed:
        raise UsageError(
            f"{url.hostname} is not this machine. Load only servers that are yours. If this one"
            f" is, add: --allow-host {url.hostname}"
        )
    return url


def is_loopback(name: str) -> bool:
    """Return whether a host's name can only mean this machine."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
