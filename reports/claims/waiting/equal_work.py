"""What the databases counted themselves: the pools that were there, and how many queries each request really cost."""

import json
from typing import Any

from reports.claims.model import MissingData, is_near
from reports.formatting import format_number
from reports.metrics.model import RunMetrics

_POOL_SIZE, _MAX_OVERFLOW, POOL_TIMEOUT = (
    5,
    10,
    30,
)  # SQLAlchemy's manual: QueuePool's pool_size, max_overflow and pool_timeout (seconds)
MAX_CONNECTIONS = _POOL_SIZE + _MAX_OVERFLOW
# how near the plateau must lie to the pool: what a query costs beside its wait is CPU that all
# share
POOL_FILL_TOLERANCE = 0.05
# how near to one query per request: a request that was given up may never have reached the database
_QUERY_TOLERANCE = 0.01


def _database_counters(
    run_metrics: RunMetrics, session: str, database: str
) -> list[dict[str, Any]]:
    """What the app told of a database before the load and after it. Raises Untestable when it did not."""
    answers = run_metrics.session_answers(session, f"/users/evidence?database={database}")
    if [answer["status"] for answer in answers] != [200, 200]:
        raise MissingData(f"what {database} counted during {session}")
    return [json.loads(answer["body"]) for answer in answers]


def _queries_per_request(run_metrics: RunMetrics, session: str, database: str) -> float:
    """Queries over requests, all phases of the load and nothing else. Raises Untestable where the server does not count."""
    before, after = _database_counters(run_metrics, session, database)
    cells = {
        cell["name"]
        for cell in run_metrics.run["plan"]["cells"]
        if cell["variant"] == session and cell["repeat"] == 1
    }
    sent = sum(counts.sent for counts in run_metrics.cell_counts if counts.cell in cells)
    if after["queries"] is None or not sent:
        raise MissingData(
            f"queries counted by the {database} server itself (pg_stat_statements): equal work is"
            " not proved"
        )
    return float((after["queries"] - before["queries"]) / sent)


def check_equal_work(run_metrics: RunMetrics, sessions: list[str]) -> tuple[bool, str]:
    """Whether every request of these acts cost one query, and the words for it."""
    ratios = [
        _queries_per_request(run_metrics, session, session.rpartition(" ")[2])
        for session in sessions
    ]
    text = "; ".join(
        f"{session} {format_number(ratio)}" for session, ratio in zip(sessions, ratios, strict=True)
    )
    return (
        all(is_near(ratio, 1, _QUERY_TOLERANCE) for ratio in ratios),
        f"queries per request: {text}",
    )


def format_pool_settings(run_metrics: RunMetrics, sessions: list[str]) -> str:
    """The sizes that were read from the pools in use, once where they are alike."""
    kinds = {
        session: "awaitable" if session.startswith("async") else "blocking" for session in sessions
    }
    settings = [
        _database_counters(run_metrics, session, session.rpartition(" ")[2])[0]["pools"][kind]
        for session, kind in kinds.items()
    ]
    return " and ".join(
        dict.fromkeys(
            f"{pool['pool']} {pool['size']} + {pool['overflow']}, {pool['timeout']:g} s"
            for pool in settings
        )
    )
