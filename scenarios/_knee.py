"""The plan of `atonce run`: one act, and for a knee a second one, at rates that follow from what the first has measured."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from results.store import LOAD_COLUMNS, SAMPLE_COLUMNS, RunFolder, gather
from scenarios._order import SHARES, Order
from scenarios._plan import START_UP, Act, Plan


def plan_of(order: Order) -> Plan:
    """What an order amounts to. What the routes do is unknown, so durations are the order's own."""
    act = Act("load", 0.0, tuple(order.cells()))
    if order.scenario != "knee":
        return Plan(0.0, (act,), ())
    steps = len(SHARES) * len(order.routes) * order.repeat
    return Plan(0.0, (act,), (), then=partial(beyond, order), afterwards=START_UP + steps * (order.seconds + 0.5))


def beyond(order: Order, run: RunFolder) -> Iterator[Act]:
    """The open part of a knee."""
    cells = tuple(order.beyond(partial(capacity, run)))
    if cells:
        yield Act("steps", 0.0, cells)


def capacity(run: RunFolder, cell: str) -> float:
    """Right answers per second inside a crowd's window, as far as the spools tell; 0 when it was not measured."""
    tables = gather(run.path, run.facts["origin"]).tables
    marks = {row["mark"]: row["t"] for row in rows(tables["load"].rows, LOAD_COLUMNS) if row["cell"] == cell and row["mark"]}
    if not {"open", "close"} <= set(marks) or marks["close"] <= marks["open"]:
        return 0.0
    samples = (row for row in rows(tables["samples"].rows, SAMPLE_COLUMNS) if row["cell"] == cell and row["done"] is not None)
    right = [row["done"] for row in samples if not row["censored"] and row["error"] is None]
    return float(sum(marks["open"] < done <= marks["close"] for done in right) / (marks["close"] - marks["open"]))


def rows(table: list[tuple[Any, ...]], names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """A table's rows by column name."""
    return (dict(zip(names, row, strict=True)) for row in table)
