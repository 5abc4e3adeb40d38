"""Builds the cells of all commands: closed loops, open loops, bursts and neighbours."""

from dataclasses import dataclass, replace

from results.schema import (
    ArrivalDistribution,
    Arrivals,
    Cell,
    ConnectionMode,
    Neighbour,
    Scenario,
    base_variant,
    repeat_suffix,
)

NEIGHBOUR_RATE = 24.0  # pings per second and neighbour: at least 100 in a top cell of 6 s
MAX_IN_FLIGHT = 900  # requests of an open model: far more than the queues of our own servers have


@dataclass(frozen=True, slots=True)
class Times:
    """The seconds of a cell: its warm-up, its window, and at most its drain."""

    warm_up: float = 0.0
    window: float = 0.0
    drain: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The route that cells load, and its right answer (empty for any)."""

    variant: str
    route: str
    path: str
    expects: str = ""
    label: str = ""  # names the cells, where the variant does not
    server: str = ""  # the server that answers, where its name is not the variant's

    def create_cell(
        self,
        scenario: Scenario,
        level: float,
        times: Times,
        arrivals: Arrivals | None = None,
        neighbours: tuple[Neighbour, ...] = (),
    ) -> Cell:
        """Return a cell that is named by its level: users, or requests per second."""
        return Cell(
            name=f"{scenario}/{self.label or self.variant}/{level:g}",
            scenario=scenario,
            variant=self.variant,
            route=self.route,
            path=self.path,
            expects=self.expects,
            users=0 if arrivals else int(level),
            warm_up=times.warm_up,
            window=times.window,
            drain=times.drain,
            arrivals=arrivals,
            neighbours=neighbours,
            on=self.server,
        )

    def closed_loop_cell(
        self, users: int, times: Times, seconds: float, think: float = 0.0
    ) -> Cell:
        """Return N users that each wait for their answer.

        They start evenly over one request, which takes `seconds` without a queue, and its pause.
        """
        stagger = (seconds + think) * (1 - 1 / users)
        return replace(self.create_cell(Scenario.CROWD, users, times), stagger=stagger, think=think)


def variant_target(variant: str, seconds: float) -> Target:
    """Return the bundled route of a variant, with a wait of `seconds`."""
    path, expects = f"/{base_variant(variant)}", waited_answer(seconds)
    full_path = f"{path}?seconds={seconds:g}"
    return Target(variant=variant, route=f"GET {path}", path=full_path, expects=expects)


def waited_answer(seconds: float) -> str:
    """Return the body that a bundled route answers after a wait."""
    return f'{{"waited":{float(seconds)!r}}}'


def poisson_arrivals(
    rate: float, seconds: float, *, warm: int, cap: int = MAX_IN_FLIGHT
) -> Arrivals:
    """Return Poisson arrivals at one rate, on `warm` connections that are opened before."""
    return Arrivals(
        law=ArrivalDistribution.POISSON,
        profile=((seconds, rate, rate),),
        pool=ConnectionMode.WARM,
        warm=warm,
        cap=cap,
    )


def both_neighbours(hold_time: float) -> tuple[Neighbour, ...]:
    """Return the two neighbour routes of the bundled app.

    The connections suffice while each request blocks the loop for `hold_time` seconds: a `def`
    route needs the loop three times (read, hand to a thread, answer), and Poisson arrivals scatter.
    """
    connections = 24 + int(1.2 * (3 * hold_time * NEIGHBOUR_RATE))
    return tuple(
        Neighbour(
            kind=kind,
            route=f"GET /neighbour/{kind}",
            path=f"/neighbour/{kind}",
            expects=f'{{"neighbour":"{kind}"}}',
            rate=NEIGHBOUR_RATE,
            connections=connections,
        )
        for kind in ("async", "def")
    )


def repeat_cell(cell: Cell, number: int) -> Cell:
    """Return repeat `number` of a cell, on the same server."""
    return replace(cell, name=f"{cell.name}{repeat_suffix(number)}", repeat=number)


def cycle_time(seconds: float, users: int, concurrency: float) -> float:
    """Return the seconds in which all users get one answer each: N / X, with X = c / D."""
    return seconds * max(1.0, users / concurrency)
