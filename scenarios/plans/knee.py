"""The plan of `atonce run`: one session, and more for a knee.

A knee sends larger crowds until one waits, then rates below and past its capacity.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class _MeasuredCrowd:
    """A crowd of a knee: its answers, and those of a single user."""

    cell: Cell
    single: _CrowdAnswers
    answers: _CrowdAnswers

    @property
    def is_saturated(self) -> bool:
        return self.single.rate > 0 and is_saturated(
            self.cell.users, self.answers.rate, self.single.mean_latency, self.cell.think
        )

    @property
    def larger_users(self) -> int | None:
        """Twice its users, if it got all its answers at once and one generator suffices."""
        users, cycle = (
            min(2 * self.cell.users, MAX_USERS),
            self.single.mean_latency + self.cell.think,
        )
        is_known = min(self.single.rate, self.answers.rate) > 0
        if not is_known or self.is_saturated or users == self.cell.users:
            return None
        return users if users / cycle <= GENERATOR_MAX_RATE else None


def plan_from_options(options: RunOptions) -> Plan:
    """Return the plan for some options, with their durations, as the routes' own are unknown."""
    plan = Plan(0.0, (Session("load", 0.0, tuple(options.cells())),))
    if options.scenario != "knee":
        return plan
    steps = len(CAPACITY_SHARES) * len(options.routes) * options.repeat
    return replace(
        plan,
        follow_up=partial(_follow_up_sessions, options),
        follow_up_seconds=STARTUP_TIME + steps * (options.seconds + 0.5),
    )


def _follow_up_sessions(options: RunOptions, run: RunWriter) -> Iterator[Session]:
    """Yield the sessions that follow; the next is drawn when the one before was measured."""
    crowds = {(cell.route, cell.repeat): cell for cell in options.cells() if cell.users > 1}
    while True:
        measured = [_measure_crowd(options, run, cell) for cell in crowds.values()]
        larger = tuple(
            options.crowd_cell(crowd.cell.route, users, crowd.cell.repeat)
            for crowd in measured
            if (users := crowd.larger_users)
        )
        if not larger:
            break
        crowds.update({(cell.route, cell.repeat): cell for cell in larger})
        yield Session(f"load-{max(cell.users for cell in larger)}", 0.0, larger)
    rates: list[Cell] = []
    for crowd in measured:
        if crowd.is_saturated:
            rates += options.open_loop_cells(
                crowd.cell.route, crowd.cell.repeat, crowd.answers.rate
            )
        else:
            run.add_warning(_explain_no_capacity(crowd))
    if rates:
        yield Session("steps", 0.0, tuple(rates))


def _explain_no_capacity(crowd: _MeasuredCrowd) -> str:
    route, rate = crowd.cell.route, crowd.answers.rate
    if not (crowd.single.rate and rate):
        return (
            f"{route}: no right answer came inside a window, {_NO_CAPACITY_REASON}. Make each level"
            " longer: -t 60s"
        )
    advice = "Leave --think out, or choose rates" if crowd.cell.think else "Choose rates"
    return (
        f"{route} answered all requests of {crowd.cell.users} users, {rate:,.4g} requests/s,"
        f" {_NO_CAPACITY_REASON}: one load generator sends at most {GENERATOR_MAX_RATE:,.0f}/s, for"
        f" {MAX_USERS} users. {advice}: atonce run steady --rate {rate / 2:.3g}/s,{rate:.3g}/s"
    )


def _measure_crowd(options: RunOptions, run: RunWriter, crowd: Cell) -> _MeasuredCrowd:
    single = options.crowd_cell(crowd.route, 1, crowd.repeat)
    return _MeasuredCrowd(crowd, _read_crowd_answers(run, single), _read_crowd_answers(run, crowd))


def _read_crowd_answers(run: RunWriter, cell: Cell) -> _CrowdAnswers:
    """Read a crowd's right answers inside its window from the spools."""
    spools = RunSpools(run.path, run.info.origin)
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
