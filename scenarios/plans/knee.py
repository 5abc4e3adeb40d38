"""The plan of `atonce run`: one act; for a knee more follow: larger crowds until one waits, then rates below and past its capacity."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from results.schema import MOST_USERS, Cell
from results.spool_tables import LOAD_COLUMNS, SAMPLE_COLUMNS, gather
from results.store import RunFolder
from results.thresholds import shows_capacity
from scenarios.plans.custom import SHARES, Order
from scenarios.plans.model import START_UP, TOP_RATE, Act, Plan

NOTHING_PLACED = "so its capacity is not known, and no rates were placed at shares of it"


@dataclass(frozen=True, slots=True)
class Answers:
    """The right answers inside a crowd's window: per second, and their mean latency in seconds; zeros where there are none."""

    rate: float = 0.0
    mean: float = 0.0


def plan_of(order: Order) -> Plan:
    """What an order amounts to. What the routes do is unknown, so durations are the order's own."""
    act = Act("load", 0.0, tuple(order.cells()))
    if order.scenario != "knee":
        return Plan(0.0, (act,), ())
    steps = len(SHARES) * len(order.routes) * order.repeat
    return Plan(0.0, (act,), (), then=partial(beyond, order), afterwards=START_UP + steps * (order.seconds + 0.5))


def beyond(order: Order, run: RunFolder) -> Iterator[Act]:
    """What follows, one act after another: each is asked for when the one before was measured."""
    crowds = {(cell.route, cell.repeat): cell for cell in order.cells() if cell.users > 1}
    while larger := tuple(enlarged(order, run, crowds)):
        crowds.update({(cell.route, cell.repeat): cell for cell in larger})
        yield Act(f"load-{max(cell.users for cell in larger)}", 0.0, larger)
    rates: list[Cell] = []
    for (route, again), crowd in crowds.items():
        alone, found = answers_of(run, order.crowd(route, 1, again)), answers_of(run, crowd)
        if alone.rate and shows_capacity(crowd.users, found.rate, alone.mean, crowd.think):
            rates += order.beyond(route, again, found.rate)
        else:
            run.note(unfilled(crowd, alone, found))
    if rates:
        yield Act("steps", 0.0, tuple(rates))


def enlarged(order: Order, run: RunFolder, crowds: dict[tuple[str, int], Cell]) -> Iterator[Cell]:
    """Twice as many users for each route that answered all that its crowd asked, as far as one generator can ask."""
    for (route, again), crowd in crowds.items():
        alone, found = answers_of(run, order.crowd(route, 1, again)), answers_of(run, crowd)
        users = min(2 * crowd.users, MOST_USERS)
        is_short = alone.rate and found.rate and not shows_capacity(crowd.users, found.rate, alone.mean, crowd.think)
        if is_short and users > crowd.users and users / (alone.mean + crowd.think) <= TOP_RATE:
            yield order.crowd(route, users, again)


def unfilled(crowd: Cell, alone: Answers, found: Answers) -> str:
    """Why no rates follow from a crowd, and what to do."""
    if not (alone.rate and found.rate):
        return f"{crowd.route}: no right answer came inside a window, {NOTHING_PLACED}. Give each level longer: -t 60s."
    told = f"{crowd.route} answered all that {crowd.users} users asked, {found.rate:,.4g} requests/s"
    most = f"one load generator asks no more than {TOP_RATE:,.0f}/s or as {MOST_USERS} users"
    shorter = " Leave --think out, or ask at rates of your own:" if crowd.think else " Ask at rates of your own:"
    return f"{told}, {NOTHING_PLACED}: {most}.{shorter} atonce run steady --rate {found.rate / 2:.3g}/s,{found.rate:.3g}/s"


def answers_of(run: RunFolder, cell: Cell) -> Answers:
    """What a crowd was answered inside its window, as far as the spools tell."""
    gathered = gather(run.path, run.facts["origin"])
    marks = {
        row["mark"]: row["t"]
        for row in rows(gathered.tables["load"].rows, LOAD_COLUMNS)
        if row["cell"] == cell.name and row["mark"]
    }
    if not {"open", "close"} <= set(marks) or marks["close"] <= marks["open"]:
        return Answers()
    told = (row for part in gathered.samples for row in rows(part.rows, SAMPLE_COLUMNS))
    samples = (row for row in told if row["cell"] == cell.name and row["done"] is not None)
    right = [row for row in samples if not row["censored"] and row["error"] is None]
    took = [row["done"] - row["intended"] for row in right if marks["open"] < row["done"] <= marks["close"]]
    return Answers(len(took) / (marks["close"] - marks["open"]), sum(took) / len(took)) if took else Answers()


def rows(table: list[tuple[Any, ...]], names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """A table's rows by column name."""
    return (dict(zip(names, row, strict=True)) for row in table)
