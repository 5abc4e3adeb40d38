"""The plan of `atonce run`: one session, and more for a knee.

A knee asks larger crowds until one waits, then rates below and past its capacity.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from results.schema import MAX_USERS, Cell
from results.spool_tables import RunSpools
from results.store import RunWriter
from results.thresholds import is_saturated
from scenarios.plans.custom import CAPACITY_SHARES, RunOptions
from scenarios.plans.model import GENERATOR_MAX_RATE, STARTUP_TIME, Plan, Session

_NO_CAPACITY_REASON = "so its capacity is not known, and no rates were placed at shares of it"


@dataclass(frozen=True, slots=True)
class _CrowdAnswers:
    """Right answers in a crowd's window: per second, and mean latency (seconds); zeros if none."""

    rate: float = 0.0
    mean_latency: float = 0.0


def plan_from_options(options: RunOptions) -> Plan:
    """The plan for some options, with their durations, as the routes' own are unknown."""
    session = Session("load", 0.0, tuple(options.cells()))
    if options.scenario != "knee":
        return Plan(0.0, (session,), ())
    steps = len(CAPACITY_SHARES) * len(options.routes) * options.repeat
    return Plan(
        0.0,
        (session,),
        (),
        follow_up=partial(_follow_up_sessions, options),
        follow_up_seconds=STARTUP_TIME + steps * (options.seconds + 0.5),
    )


def _follow_up_sessions(options: RunOptions, run: RunWriter) -> Iterator[Session]:
    """The sessions that follow; the next is drawn when the one before was measured."""
    crowds = {(cell.route, cell.repeat): cell for cell in options.cells() if cell.users > 1}
    while larger := tuple(_larger_crowds(options, run, crowds)):
        crowds.update({(cell.route, cell.repeat): cell for cell in larger})
        yield Session(f"load-{max(cell.users for cell in larger)}", 0.0, larger)
    rates: list[Cell] = []
    for (route, repeat), crowd in crowds.items():
        single_answers, crowd_answers = (
            _read_crowd_answers(run, options.crowd_cell(route, 1, repeat)),
            _read_crowd_answers(run, crowd),
        )
        if single_answers.rate and is_saturated(
            crowd.users, crowd_answers.rate, single_answers.mean_latency, crowd.think
        ):
            rates += options.open_loop_cells(route, repeat, crowd_answers.rate)
        else:
            run.add_warning(_explain_no_capacity(crowd, single_answers, crowd_answers))
    if rates:
        yield Session("steps", 0.0, tuple(rates))


def _larger_crowds(
    options: RunOptions, run: RunWriter, crowds: dict[tuple[str, int], Cell]
) -> Iterator[Cell]:
    """Double each crowd that got all its answers at once, as far as one generator can ask."""
    for (route, repeat), crowd in crowds.items():
        single_answers, crowd_answers = (
            _read_crowd_answers(run, options.crowd_cell(route, 1, repeat)),
            _read_crowd_answers(run, crowd),
        )
        users = min(2 * crowd.users, MAX_USERS)
        is_unsaturated = (
            single_answers.rate
            and crowd_answers.rate
            and not is_saturated(
                crowd.users, crowd_answers.rate, single_answers.mean_latency, crowd.think
            )
        )
        if (
            is_unsaturated
            and users > crowd.users
            and users / (single_answers.mean_latency + crowd.think) <= GENERATOR_MAX_RATE
        ):
            yield options.crowd_cell(route, users, repeat)


def _explain_no_capacity(
    crowd: Cell, single_answers: _CrowdAnswers, crowd_answers: _CrowdAnswers
) -> str:
    """Say why no rates follow from a crowd, and what to do."""
    if not (single_answers.rate and crowd_answers.rate):
        return (
            f"{crowd.route}: no right answer came inside a window, {_NO_CAPACITY_REASON}. Give each"
            " level longer: -t 60s."
        )
    finding = (
        f"{crowd.route} answered all that {crowd.users} users asked, {crowd_answers.rate:,.4g}"
        " requests/s"
    )
    limit = (
        f"one load generator asks no more than {GENERATOR_MAX_RATE:,.0f}/s or as {MAX_USERS} users"
    )
    shorter = (
        " Leave --think out, or ask at rates of your own:"
        if crowd.think
        else " Ask at rates of your own:"
    )
    return (
        f"{finding}, {_NO_CAPACITY_REASON}: {limit}.{shorter} atonce run steady --rate"
        f" {crowd_answers.rate / 2:.3g}/s,{crowd_answers.rate:.3g}/s"
    )


def _read_crowd_answers(run: RunWriter, cell: Cell) -> _CrowdAnswers:
    """Read a crowd's right answers inside its window from the spools."""
    spools = RunSpools(run.path, run.metadata["origin"])
    marks = {row.mark: row.t for row in spools.load if row.cell == cell.name and row.mark}
    if not {"open", "close"} <= set(marks) or marks["close"] <= marks["open"]:
        return _CrowdAnswers()
    latencies = [
        sample.done - sample.intended
        for batch in spools.samples
        for sample in batch
        if sample.cell == cell.name
        and sample.done is not None
        and not sample.censored
        and sample.error is None
        and marks["open"] < sample.done <= marks["close"]
    ]
    if not latencies:
        return _CrowdAnswers()
    rate = len(latencies) / (marks["close"] - marks["open"])
    return _CrowdAnswers(rate, sum(latencies) / len(latencies))
