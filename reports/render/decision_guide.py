"""The decision guide: what you call, in which form, what that serves at once, and what limits it.

The forms stand in `GUIDE`; numbers, limits and verdicts are measured. What a run did not measure is
left out, and advice that the measurement contradicts is withheld.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from reports.checks.model import TrustLevel
from reports.metrics.model import RouteMetrics
from reports.model import Report
from reports.render.tones import Advice
from reports.stats.intervals import Interval
from reports.verdicts.findings import decide_verdict
from results.formatting import format_count, format_served_at_once, format_with_interval
from results.schema import Scenario
from results.thresholds import FULL_CORE_SHARE
from results.verdicts import LOOP_VERDICTS, POOL_VERDICTS, VERDICTS, Verdict

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


_AWAITED, _DEF = "`async def` and `await`", "`def`"
_THREAD = "`async def` and `await asyncio.to_thread(...)`"
_NEW_CLIENT = f"{_AWAITED}, a new client each time"
_INLINE, _PROCESSES = "called inside `async def`", "`async def` and a `ProcessPoolExecutor`"


class GuideForm(NamedTuple):
    """One form of a call: the advice, what is called, and the variant that measures it."""

    advice: Advice
    form: str
    what: str
    variant: str


_first, _works, _mistake = (partial(GuideForm, advice) for advice in Advice)
GUIDE: dict[str, tuple[GuideForm, ...]] = {
    "a library that you can `await`": (
        _first(_AWAITED, "`asyncio.sleep`", "async"),
        _first(_AWAITED, "one shared `httpx.AsyncClient`", "async httpx"),
        _first(_AWAITED, "one shared `aiohttp.ClientSession`", "async aiohttp"),
        _first(_AWAITED, "`AsyncSession` on SQLite (aiosqlite)", "async sqlite"),
        _first(_AWAITED, "`AsyncSession` on PostgreSQL (asyncpg)", "async postgres"),
        _mistake(_NEW_CLIENT, "`httpx.AsyncClient`", "async httpx-per-request"),
    ),
    "a library that blocks": (
        _first(_DEF, "`time.sleep`", "sync"),
        _first(_DEF, "`requests`", "sync requests"),
        _first(_DEF, "`Session` on SQLite (sqlite3)", "sync sqlite"),
        _first(_DEF, "`Session` on PostgreSQL (psycopg)", "sync postgres"),
        _first(_DEF, "a slow file", "sync file"),
        _works(_THREAD, "`time.sleep`", "to-thread"),
        _works(_THREAD, "a slow file", "to-thread file"),
        _mistake(_INLINE, "`time.sleep`", "broken-async"),
        _mistake(_INLINE, "`requests`", "broken-async requests"),
        _mistake(_INLINE, "`Session` on SQLite (sqlite3)", "broken-async sqlite"),
        _mistake(_INLINE, "`Session` on PostgreSQL (psycopg)", "broken-async postgres"),
        _mistake(_INLINE, "a slow file", "broken-async file"),
    ),
    "code that computes": (
        _first(_PROCESSES, "pure Python", "async process-pool"),
        _works(_THREAD, "a password hash, which lets the GIL go", "to-thread hash"),
        _works(_THREAD, "pure Python, which holds the GIL", "to-thread cpu"),
        _mistake(_INLINE, "pure Python", "broken-async cpu"),
        _mistake(_INLINE, "a password hash", "broken-async hash"),
    ),
}


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
        """Served at once with its interval, and the number of users."""
        if self.served_at_once is None:
            return "-"
        served = format_with_interval(self.served_at_once, self.interval)
        return f"{served} of {format_count(self.users, 'user')}"


def build_guide(report: Report) -> tuple[GuideRow, ...]:
    """Return the rows that a run about the lesson measured, in the order of `GUIDE`."""
    if not report.run_metrics.is_reproduction:
        return ()
    rows = (_build_row(report, name, form) for name, forms in GUIDE.items() for form in forms)
    return tuple(row for row in rows if row)


def _build_row(report: Report, question: str, form: GuideForm) -> GuideRow | None:
    """Return one form; None when no crowd was measured on it."""
    route = report.run_metrics.find_route(form.variant)
    level = route.top_level if route else None
    if route is None or level is None or level.users == 1 or route.served_at_once is None:
        return None
    has_failed = report.trust.first_failure((f"{Scenario.CROWD}/{form.variant}/",))
    trust = TrustLevel.UNTRUSTED if has_failed else report.trust.trust_level
    verdict = decide_verdict(route, trust)
    is_trusted = verdict is not Verdict.UNTRUSTED
    return GuideRow(
        question=question,
        advice=form.advice if _is_advice_consistent(form.advice, verdict) else None,
        form=form.form,
        what=form.what,
        variant=form.variant,
        users=level.users,
        served_at_once=route.served_at_once if is_trusted else None,
        interval=route.served_at_once_interval if is_trusted else None,
        limit=_describe_limit(route, level.cpu, verdict) if is_trusted else "-",
        verdict=verdict,
    )


def _is_advice_consistent(advice: Advice, verdict: Verdict) -> bool:
    """Return whether the verdict agrees: a mistake holds the event loop, and nothing else may."""
    is_clear = verdict not in {Verdict.UNTRUSTED, Verdict.WRONG_ANSWER}
    return is_clear and (verdict in LOOP_VERDICTS) == (advice is Advice.MISTAKE)


def _describe_limit(route: RouteMetrics, cpu: float | None, verdict: Verdict) -> str:
    """Return what limits a route, in words; a pool with its number."""
    limit = VERDICTS[verdict].mechanism or "-"
    if verdict in POOL_VERDICTS:
        limit += f" ({round(route.served_at_once or 0)})"
    is_full = (cpu or 0.0) >= FULL_CORE_SHARE and verdict in {Verdict.SCALES, Verdict.UNKNOWN}
    return f"{limit}, but one core is full" if is_full else limit


def group_by(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Group items by a key, in their order."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def group_by_form(rows: Iterable[GuideRow]) -> list[list[GuideRow]]:
    """Group rows that share question, advice and form, in their order."""
    return list(group_by(rows, lambda row: (row.question, row.advice, row.form)).values())


def summarise_guide(rows: Iterable[GuideRow]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Return the guide in short: what is called, and per form its advice and what it serves."""
    known_rows = [row for row in rows if row.served_at_once is not None]
    for question, group in group_by(known_rows, lambda row: row.question).items():
        lines = []
        for form in group_by_form(group):
            served = [
                f"{row.what} {format_served_at_once(row.served_at_once or 0)}" for row in form
            ]
            text = f"{form[0].form}: {', '.join(served)} at once"
            lines.append((form[0].advice or "unclear", text))
        yield f"You call {question}", lines
