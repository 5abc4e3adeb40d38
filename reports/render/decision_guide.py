"""The decision guide: what you call, in which form, what that serves at once, and what limits it.

The forms stand in `GUIDE`; numbers, limits and verdicts are measured. What a run did not measure is
left out, and advice that the measurement contradicts is withheld.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from reports.checks.model import TrustLevel
from reports.formatting import format_count, format_served_at_once, format_with_interval
from reports.metrics.model import CrowdMetrics, RouteMetrics
from reports.model import Report
from reports.stats.intervals import Interval
from reports.verdicts.findings import decide_verdict
from reports.verdicts.neighbours import FULL_CORE
from results.schema import Scenario
from results.verdicts import LOOP_VERDICTS, POOL_VERDICTS, VERDICTS, Verdict


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

_NO_ADVICE = (Verdict.UNTRUSTED, Verdict.WRONG_ANSWER)


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
        """Served at once with its interval, and of how many users."""
        if self.served_at_once is None:
            return "-"
        served = format_with_interval(self.served_at_once, self.interval)
        return f"{served} of {format_count(self.users, 'user')}"


def build_guide(report: Report) -> tuple[GuideRow, ...]:
    """Build the rows that a run about the lesson measured, in the order of `GUIDE`."""
    if not report.run_metrics.is_reproduction:
        return ()
    forms = [(question, *form) for question, specs in GUIDE.items() for form in specs]
    return tuple(row for form in forms if (row := _build_guide_row(report, *form)))


def _build_guide_row(  # noqa: PLR0913, PLR0917 - the fields of one form
    report: Report, question: str, advice: Advice, form: str, what: str, variant: str
) -> GuideRow | None:
    """One form; None when no crowd was measured on it."""
    route = report.run_metrics.find_route(variant)
    top = route.top_level if route else None
    if not route or not top or top.users == 1 or route.served_at_once is None:
        return None
    is_failed = report.trust.first_failure((f"{Scenario.CROWD}/{variant}/",))
    verdict = decide_verdict(route, TrustLevel.UNTRUSTED if is_failed else report.trust.trust_level)
    is_trusted = verdict is not Verdict.UNTRUSTED
    # A mistake holds the loop, and nothing else may
    is_consistent = (verdict in LOOP_VERDICTS) == (advice is Advice.MISTAKE)
    return GuideRow(
        question=question,
        advice=advice if is_consistent and verdict not in _NO_ADVICE else None,
        form=form,
        what=what,
        variant=variant,
        users=top.users,
        served_at_once=route.served_at_once if is_trusted else None,
        interval=route.served_at_once_interval if is_trusted else None,
        limit=_describe_limit(route, top, verdict) if is_trusted else "-",
        verdict=verdict,
    )


def _describe_limit(route: RouteMetrics, top: CrowdMetrics, verdict: Verdict) -> str:
    text = VERDICTS[verdict].mechanism or "-"
    if verdict in POOL_VERDICTS:
        text += f" ({round(route.served_at_once or 0)})"
    is_open = verdict in {Verdict.SCALES, Verdict.UNKNOWN}
    return f"{text}, but one core is full" if is_open and (top.cpu or 0.0) >= FULL_CORE else text


def group_by_question(rows: tuple[GuideRow, ...]) -> dict[str, list[GuideRow]]:
    """Group rows by what is called, in their order."""
    return {
        question: [row for row in rows if row.question == question]
        for question in dict.fromkeys(row.question for row in rows)
    }


def group_by_form(rows: tuple[GuideRow, ...]) -> Iterator[list[GuideRow]]:
    """Yield the rows of one question that share form and advice."""
    for group in group_by_question(rows).values():
        for shared in dict.fromkeys((row.advice, row.form) for row in group):
            yield [row for row in group if (row.advice, row.form) == shared]


def summarise_guide(rows: tuple[GuideRow, ...]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the guide in short: what is called; per form its advice and what it serves at once."""
    known = tuple(row for row in rows if row.served_at_once is not None)
    for question, question_rows in group_by_question(known).items():
        lines = []
        for group in group_by_form(tuple(question_rows)):
            served = ", ".join(
                f"{row.what} {format_served_at_once(row.served_at_once or 0)}" for row in group
            )
            lines.append((group[0].advice or "unclear", f"{group[0].form}: {served} at once"))
        yield f"You call {question}", lines
