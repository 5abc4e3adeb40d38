"""The columns of the tables about routes, levels, culprits, checks, goals and gates."""

from collections.abc import Callable
from typing import Any

from reports.checks.model import Check
from reports.formatting import format_change, format_estimate
from reports.gates.evaluate import GATE_OUTCOMES
from reports.metrics.model import CrowdMetrics, RouteMetrics
from reports.model import Goal
from reports.render.columns import Column, format_quantile
from reports.render.tones import GATE_WORDS
from reports.verdicts.diagnosis import Finding
from reports.verdicts.load_sentences import repeat_label
from results.formatting import format_number, format_seconds, format_served_at_once, format_share
from results.judgement.culprit import Culprit
from results.judgement.waits import Wait
from results.verdicts import Verdict

_Level = tuple[Finding, CrowdMetrics]


def _route_column(title: str, cell: Callable[[RouteMetrics, CrowdMetrics], str]) -> Column[Finding]:
    """Return a column of numbers; `-` for what this run does not show."""

    def format_cell(finding: Finding) -> str:
        route, top = finding.route, finding.route.top_level
        is_unknown = route.unloaded_mean is None or route.served_at_once is None
        if finding.verdict is Verdict.UNTRUSTED or top is None or is_unknown:
            return "-"
        return cell(route, top)

    return Column(title, format_cell)


def _format_neighbour(route: RouteMetrics) -> str:
    neighbour = route.neighbours.get("async")
    return format_change(neighbour.idle, neighbour.loaded) if neighbour else "-"


def _format_served(route: RouteMetrics) -> str:
    return ("" if route.capacity else ">= ") + format_served_at_once(route.served_at_once or 0)


def _format_limit(route: RouteMetrics) -> str:
    return f"{route.expected_concurrency:g}" if route.expected_concurrency else "none"


ROUTE_COLUMNS: tuple[Column[Finding], ...] = (
    Column("route", lambda finding: finding.route.route, is_text=True),
    _route_column("served at once", lambda route, _: _format_served(route)),
    _route_column("limit", lambda route, _: _format_limit(route)),
    _route_column("unloaded", lambda route, _: format_seconds(route.unloaded_mean)),
    _route_column("users", lambda _, top: str(top.users)),
    _route_column("mean", lambda _, top: format_estimate(top.mean)),
    _route_column("p50", lambda _, top: format_quantile(top, "p50")),
    _route_column("p99", lambda _, top: format_quantile(top, "p99")),
    _route_column("waits", lambda route, _: format_share(route.waiting_share or 0)),
    _route_column("neighbour p90", lambda route, _: _format_neighbour(route)),
    Column(
        "verdict",
        lambda finding: str(finding.verdict),
        is_text=True,
        word=lambda finding: finding.verdict,
    ),
)
# the first to go on a narrow terminal; the lesson is in the last
ROUTE_DROP_ORDER = (
    *("limit", "p50", "p99", "users", "unloaded", "mean", "waits", "neighbour p90"),
    "served at once",
)


def _level_column(title: str, cell: Callable[[CrowdMetrics], str]) -> Column[_Level]:
    return Column(title, lambda row: cell(row[1]))


THEORY_COLUMNS: tuple[Column[_Level], ...] = (
    Column("route", lambda row: row[0].route.route, is_text=True),
    _level_column("users", lambda level: f"{level.users}{repeat_label(level.repeat)}"),
    _level_column("requests", lambda level: str(level.count)),
    _level_column("req/s", lambda level: format_number(level.throughput)),
    _level_column("mean", lambda level: format_estimate(level.mean)),
    _level_column("predicted", lambda level: format_seconds(level.predicted_mean)),
    _level_column(
        "off by",
        lambda level: format_share(
            level.mean.low / level.predicted_mean - 1 if level.predicted_mean else None
        ),
    ),
    _level_column("p50", lambda level: format_quantile(level, "p50")),
    _level_column("p95", lambda level: format_quantile(level, "p95")),
    _level_column("p99", lambda level: format_quantile(level, "p99")),
    _level_column("longest", lambda level: format_estimate(level.longest)),
    _level_column("unanswered", lambda level: str(level.unfinished)),
    _level_column("errors", lambda level: str(level.errors)),
    _level_column(
        "Little identity", lambda level: format_share(getattr(level.little, "identity", None))
    ),
    _level_column("residual", lambda level: format_share(getattr(level.little, "residual", None))),
    _level_column("server CPU", lambda level: format_share(level.cpu)),
)

CULPRIT_COLUMNS: tuple[Column[Culprit], ...] = (
    Column("line", lambda culprit: f"{culprit.file}:{culprit.line}", is_code=True),
    Column("in", lambda culprit: culprit.function, is_code=True),
    Column("calls", lambda culprit: culprit.call or "-", is_code=True),
    Column("below it", lambda culprit: culprit.library or "-"),
    Column("of the held time", lambda culprit: format_share(culprit.share)),
    Column("times", lambda culprit: f"{culprit.holds} x {format_seconds(culprit.median)}"),
)

WAIT_COLUMNS: tuple[Column[tuple[Wait, float]], ...] = (
    Column("who", lambda row: (row[0].pool and f"threads ({row[0].pool})") or "requests"),
    Column(
        "line", lambda row: (row[0].file and f"{row[0].file}:{row[0].line}") or "-", is_code=True
    ),
    Column("in", lambda row: row[0].function or "-", is_code=True),
    Column("calls", lambda row: row[0].call or "-", is_code=True),
    Column("waits for", lambda row: " ".join(filter(None, (row[0].what, row[0].name)))),
    Column("places", lambda row: str(row[0].size or "-")),
    Column("on average", lambda row: format_number(row[0].count)),
    Column("share", lambda row: format_share(row[1])),
)

CHECK_COLUMNS: tuple[Column[Check], ...] = (
    Column("check", lambda check: f"{check.id} {check.name}"),
    Column("cell", lambda check: check.cell),
    Column("value", lambda check: "-" if check.value is None else check.format_value(check.value)),
    Column("passes up to", lambda check: check.format_limit(check.pass_limit)),
    Column("fails beyond", lambda check: check.format_limit(check.fail_limit)),
    Column("status", lambda check: str(check.status), word=lambda check: check.status),
    Column("what it says", lambda check: check.why),
)


def _goal_column(number: int, title: str) -> Column[Goal]:
    is_name, is_outcome = number == 0, not title
    return Column(
        title,
        lambda goal: goal.row[number],
        is_text=is_name or is_outcome,
        wraps=is_name,
        word=(lambda goal: goal.row[number]) if is_outcome else None,
    )


_GOAL_TITLES = ("goal", "should be", "measured", "off by", "allowed", "")
GOAL_COLUMNS = tuple(_goal_column(number, title) for number, title in enumerate(_GOAL_TITLES))

GATE_COLUMNS: tuple[Column[dict[str, Any]], ...] = (
    Column("gate", lambda gate: gate["expression"], is_code=True),
    Column(
        "outcome",
        lambda gate: GATE_OUTCOMES[gate["holds"]],
        word=lambda gate: GATE_WORDS[gate["holds"]],
    ),
    Column("what was measured", lambda gate: str(gate.get("words", gate["actual"]))),
)
