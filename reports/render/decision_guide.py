"""The decision guide: what do you call, in which form, what does that serve at once here, and what limits it.

The forms stand in `GUIDE`; numbers, limits and verdicts are measured. What a run did not measure is left out, and advice that
the measurement contradicts is withheld.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from reports.checks.model import Belief
from reports.formatting import between, count, places
from reports.metrics.model import Route
from reports.model import Report
from reports.stats.intervals import Interval
from reports.verdicts.findings import MECHANISM, judge
from reports.verdicts.model import Verdict
from reports.verdicts.neighbours import FULL_CORE
from results.schema import Scenario


class Advice(StrEnum):
    """What to think of a form."""

    RECOMMENDED = "recommended"  # the first choice
    WORKS = "works"  # leaves the loop free, up to its limit
    MISTAKE = "mistake"  # holds up everybody else


AWAITED, DEF, THREAD = "`async def` and `await`", "`def`", "`async def` and `await asyncio.to_thread(...)`"
INLINE, PROCESSES = "called inside `async def`", "`async def` and a `ProcessPoolExecutor`"
Forms = tuple[tuple[Advice, str, str, str], ...]  # advice, form, what is called, and the variant that measures it
GUIDE: dict[str, Forms] = {
    "a library that you can `await`": (
        (Advice.RECOMMENDED, AWAITED, "`asyncio.sleep`", "async"),
        (Advice.RECOMMENDED, AWAITED, "one shared `httpx.AsyncClient`", "async httpx"),
        (Advice.RECOMMENDED, AWAITED, "one shared `aiohttp.ClientSession`", "async aiohttp"),
        (Advice.RECOMMENDED, AWAITED, "`AsyncSession` on SQLite (aiosqlite)", "async sqlite"),
        (Advice.RECOMMENDED, AWAITED, "`AsyncSession` on PostgreSQL (asyncpg)", "async postgres"),
        (Advice.MISTAKE, f"{AWAITED}, a new client each time", "`httpx.AsyncClient`", "async httpx-per-request"),
    ),
    "a library that blocks": (
        (Advice.RECOMMENDED, DEF, "`time.sleep`", "sync"),
        (Advice.RECOMMENDED, DEF, "`requests`", "sync requests"),
        (Advice.RECOMMENDED, DEF, "`Session` on SQLite (sqlite3)", "sync sqlite"),
        (Advice.RECOMMENDED, DEF, "`Session` on PostgreSQL (psycopg)", "sync postgres"),
        (Advice.RECOMMENDED, DEF, "a slow file", "sync file"),
        (Advice.WORKS, THREAD, "`time.sleep`", "to-thread"),
        (Advice.WORKS, THREAD, "a slow file", "to-thread file"),
        (Advice.MISTAKE, INLINE, "`time.sleep`", "broken-async"),
        (Advice.MISTAKE, INLINE, "`requests`", "broken-async requests"),
        (Advice.MISTAKE, INLINE, "`Session` on SQLite (sqlite3)", "broken-async sqlite"),
        (Advice.MISTAKE, INLINE, "`Session` on PostgreSQL (psycopg)", "broken-async postgres"),
        (Advice.MISTAKE, INLINE, "a slow file", "broken-async file"),
    ),
    "code that computes": (
        (Advice.RECOMMENDED, PROCESSES, "pure Python", "async process-pool"),
        (Advice.WORKS, THREAD, "a password hash, which lets the GIL go", "to-thread hash"),
        (Advice.WORKS, THREAD, "pure Python, which holds the GIL", "to-thread cpu"),
        (Advice.MISTAKE, INLINE, "pure Python", "broken-async cpu"),
        (Advice.MISTAKE, INLINE, "a password hash", "broken-async hash"),
    ),
}
HELD = {Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY}
POOLS = {Verdict.THREAD_POOL, Verdict.EXECUTOR_POOL, Verdict.POOL_LIMITED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One form as it was measured; neither number nor verdict where run or cell cannot be trusted."""

    question: str
    advice: Advice | None  # None where the measurement contradicts it, or says nothing
    form: str
    what: str
    variant: str
    users: int
    served: float | None
    interval: Interval | None
    limit: str
    verdict: Verdict

    @property
    def at_once(self) -> str:
        """Served at once with its interval, and how many asked."""
        return f"{between(self.served, self.interval)} of {count(self.users, 'user')}" if self.served is not None else "-"


def guide(report: Report) -> tuple[Row, ...]:
    """The rows that a run about the lesson measured, in the order of `GUIDE`."""
    if not report.study.reproduces:
        return ()
    forms = [(question, *form) for question, all_ in GUIDE.items() for form in all_]
    return tuple(row for form in forms if (row := row_of(report, *form)))


def row_of(report: Report, question: str, advice: Advice, form: str, what: str, variant: str) -> Row | None:  # noqa: PLR0913, PLR0917
    """One form; None when no crowd was measured on it."""
    route = report.study.route(variant)
    if route is None or route.top is None or route.top.users == 1 or route.served is None:
        return None
    fault = report.trust.fault((f"{Scenario.CROWD}/{variant}/",))
    verdict = judge(route, Belief.UNTRUSTED if fault else report.trust.belief)
    believed = verdict is not Verdict.UNTRUSTED
    return Row(
        question=question,
        advice=advice if fits(advice, verdict) else None,
        form=form,
        what=what,
        variant=variant,
        users=route.top.users,
        served=route.served if believed else None,
        interval=route.served_between if believed else None,
        limit=limit(route, verdict) if believed else "-",
        verdict=verdict,
    )


def fits(advice: Advice, verdict: Verdict) -> bool:
    """Whether a verdict does not contradict the advice: a mistake holds the loop, and nothing else may."""
    if verdict in {Verdict.UNTRUSTED, Verdict.WRONG_ANSWER}:
        return False
    return (verdict in HELD) == (advice is Advice.MISTAKE)


def limit(route: Route, verdict: Verdict) -> str:
    """What limits a route, in words; a pool with its number."""
    assert route.top is not None  # noqa: S101 - `row_of` looked
    words = MECHANISM.get(verdict, "-")
    if verdict in POOLS:
        words += f" ({round(route.served or 0)})"
    is_full = (route.top.cpu or 0.0) >= FULL_CORE and verdict in {Verdict.SCALES, Verdict.UNKNOWN}
    return f"{words}, but one core is full" if is_full else words


def grouped(rows: tuple[Row, ...]) -> dict[str, list[Row]]:
    """Rows by what is called, in their order."""
    return {question: [row for row in rows if row.question == question] for question in dict.fromkeys(row.question for row in rows)}


def forms(rows: tuple[Row, ...]) -> Iterator[list[Row]]:
    """Rows of one question that share form and advice."""
    for group in grouped(rows).values():
        for shared in dict.fromkeys((row.advice, row.form) for row in group):
            yield [row for row in group if (row.advice, row.form) == shared]


def brief(rows: tuple[Row, ...]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The guide in a few lines: what is called, and of each form its advice and what it serves at once with each part."""
    known = tuple(row for row in rows if row.served is not None)
    for question in grouped(known):
        lines = []
        for group in (one for one in forms(known) if one[0].question == question):
            served = ", ".join(f"{row.what} {places(row.served or 0)}" for row in group)
            lines.append((group[0].advice or "unclear", f"{group[0].form}: {served} at once"))
        yield f"You call {question}", lines
