"""The decision guide: what you call, in which form, what that serves at once, and what limits it.

The forms stand in `GUIDE`; numbers, limits and verdicts are measured. What a run did not measure is
left out, and advice that the measurement contradicts is withheld.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from reports.checks.model import TrustLevel
from reports.formatting import format_count, format_served_at_once, format_with_interval
from reports.metrics.model import RouteMetrics
from reports.model import Report
from reports.stats.intervals import Interval
from reports.verdicts.findings import MECHANISM_TEXTS, decide_verdict
from reports.verdicts.model import Verdict
from reports.verdicts.neighbours import FULL_CORE
from results.schema import Scenario


class Advice(StrEnum):
    """What to think of a form."""

    RECOMMENDED = "recommended"  # the first choice
    WORKS = "works"  # leaves the loop free, up to its limit
    MISTAKE = "mistake"  # holds up all other requests


_AWAITED, _DEF, _THREAD = (
    "`async def` and `await`",
    "`def`",
    "`async def` and `await asyncio.to_thread(...)`",
)
_INLINE, _PROCESSES = "called inside `async def`", "`async def` and a `ProcessPoolExecutor`"
# advice, form, what is called, and the variant that measures it
FormSpecs = tuple[tuple[Advice, str, str, str], ...]
GUIDE: dict[str, FormSpecs] = {
    "a library that you can `await`": (
        (Advice.RECOMMENDED, _AWAITED, "`asyncio.sleep`", "async"),
        (Advice.RECOMMENDED, _AWAITED, "one shared `httpx.AsyncClient`", "async httpx"),
        (Advice.RECOMMENDED, _AWAITED, "one shared `aiohttp.ClientSession`", "async aiohttp"),
        (Advice.RECOMMENDED, _AWAITED, "`AsyncSession` on SQLite (aiosqlite)", "async sqlite"),
        (Advice.RECOMMENDED, _AWAITED, "`AsyncSession` on PostgreSQL (asyncpg)", "async postgres"),
        (
            Advice.MISTAKE,
            f"{_AWAITED}, a new client each time",
            "`httpx.AsyncClient`",
            "async httpx-per-request",
        ),
    ),
    "a library that blocks": (
        (Advice.RECOMMENDED, _DEF, "`time.sleep`", "sync"),
        (Advice.RECOMMENDED, _DEF, "`requests`", "sync requests"),
        (Advice.RECOMMENDED, _DEF, "`Session` on SQLite (sqlite3)", "sync sqlite"),
        (Advice.RECOMMENDED, _DEF, "`Session` on PostgreSQL (psycopg)", "sync postgres"),
        (Advice.RECOMMENDED, _DEF, "a slow file", "sync file"),
        (Advice.WORKS, _THREAD, "`time.sleep`", "to-thread"),
        (Advice.WORKS, _THREAD, "a slow file", "to-thread file"),
        (Advice.MISTAKE, _INLINE, "`time.sleep`", "broken-async"),
        (Advice.MISTAKE, _INLINE, "`requests`", "broken-async requests"),
        (Advice.MISTAKE, _INLINE, "`Session` on SQLite (sqlite3)", "broken-async sqlite"),
        (Advice.MISTAKE, _INLINE, "`Session` on PostgreSQL (psycopg)", "broken-async postgres"),
        (Advice.MISTAKE, _INLINE, "a slow file", "broken-async file"),
    ),
    "code that computes": (
        (Advice.RECOMMENDED, _PROCESSES, "pure Python", "async process-pool"),
        (Advice.WORKS, _THREAD, "a password hash, which lets the GIL go", "to-thread hash"),
        (Advice.WORKS, _THREAD, "pure Python, which holds the GIL", "to-thread cpu"),
        (Advice.MISTAKE, _INLINE, "pure Python", "broken-async cpu"),
        (Advice.MISTAKE, _INLINE, "a password hash", "broken-async hash"),
    ),
}
_LOOP_VERDICTS = {Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY}
_POOL_VERDICTS = {Verdict.THREAD_POOL, Verdict.EXECUTOR_POOL, Verdict.POOL_LIMITED}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideRow:
    """One form as measured; no number and no verdict where run or cell cannot be trusted."""

    question: str
    advice: Advice | None  # None where the measurement contradicts it, or says nothing
    form: str
    what: str
    variant: str
    users: int
    served_at_once: float | None
    interval: Interval | None
    limit: str
    verdict: Verdict

    @property
    def served_text(self) -> str:
        """Served at once with its interval, and how many users asked."""
        return (
            f"{format_with_interval(self.served_at_once, self.interval)} of"
            f" {format_count(self.users, 'user')}"
            if self.served_at_once is not None
            else "-"
        )


def build_guide(report: Report) -> tuple[GuideRow, ...]:
    """The rows that a run about the lesson measured, in the order of `GUIDE`."""
    if not report.run_metrics.is_reproduction:
        return ()
    form_specs = [(question, *form) for question, specs in GUIDE.items() for form in specs]
    return tuple(row for form in form_specs if (row := _build_guide_row(report, *form)))


def _build_guide_row(  # noqa: PLR0913, PLR0917 - the fields of one form
    report: Report, question: str, advice: Advice, form: str, what: str, variant: str
) -> GuideRow | None:
    """One form; None when no crowd was measured on it."""
    route = report.run_metrics.find_route(variant)
    if (
        route is None
        or route.top_level is None
        or route.top_level.users == 1
        or route.served_at_once is None
    ):
        return None
    failed_check = report.trust.first_failure((f"{Scenario.CROWD}/{variant}/",))
    verdict = decide_verdict(
        route, TrustLevel.UNTRUSTED if failed_check else report.trust.trust_level
    )
    is_trusted = verdict is not Verdict.UNTRUSTED
    return GuideRow(
        question=question,
        advice=advice if _is_advice_consistent(advice, verdict) else None,
        form=form,
        what=what,
        variant=variant,
        users=route.top_level.users,
        served_at_once=route.served_at_once if is_trusted else None,
        interval=route.served_at_once_interval if is_trusted else None,
        limit=_describe_limit(route, verdict) if is_trusted else "-",
        verdict=verdict,
    )


def _is_advice_consistent(advice: Advice, verdict: Verdict) -> bool:
    """Whether a verdict agrees with the advice: a mistake holds the loop, and nothing else may."""
    if verdict in {Verdict.UNTRUSTED, Verdict.WRONG_ANSWER}:
        return False
    return (verdict in _LOOP_VERDICTS) == (advice is Advice.MISTAKE)


def _describe_limit(route: RouteMetrics, verdict: Verdict) -> str:
    """What limits a route, in words; a pool with its number."""
    assert route.top_level is not None  # noqa: S101 - the caller checked
    limit_text = MECHANISM_TEXTS.get(verdict, "-")
    if verdict in _POOL_VERDICTS:
        limit_text += f" ({round(route.served_at_once or 0)})"
    is_full = (route.top_level.cpu or 0.0) >= FULL_CORE and verdict in {
        Verdict.SCALES,
        Verdict.UNKNOWN,
    }
    return f"{limit_text}, but one core is full" if is_full else limit_text


def group_by_question(rows: tuple[GuideRow, ...]) -> dict[str, list[GuideRow]]:
    """Rows by what is called, in their order."""
    return {
        question: [row for row in rows if row.question == question]
        for question in dict.fromkeys(row.question for row in rows)
    }


def group_by_form(rows: tuple[GuideRow, ...]) -> Iterator[list[GuideRow]]:
    """Rows of one question that share form and advice."""
    for group in group_by_question(rows).values():
        for shared in dict.fromkeys((row.advice, row.form) for row in group):
            yield [row for row in group if (row.advice, row.form) == shared]


def summarise_guide(rows: tuple[GuideRow, ...]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The guide in short: what is called, and per form its advice and what it serves at once."""
    known_rows = tuple(row for row in rows if row.served_at_once is not None)
    for question in group_by_question(known_rows):
        lines = []
        for group in (
            form_rows
            for form_rows in group_by_form(known_rows)
            if form_rows[0].question == question
        ):
            served_texts = ", ".join(
                f"{row.what} {format_served_at_once(row.served_at_once or 0)}" for row in group
            )
            lines.append((group[0].advice or "unclear", f"{group[0].form}: {served_texts} at once"))
        yield f"You call {question}", lines
