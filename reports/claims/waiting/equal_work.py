"""What the databases counted themselves: the pools that were there, and how many queries each request really cost."""

import json
from typing import Any

from reports.claims.model import Untestable, near
from reports.formatting import number
from reports.metrics.model import Study

SIZE, OVERFLOW, PATIENCE = 5, 10, 30  # SQLAlchemy's manual: QueuePool's pool_size, max_overflow and pool_timeout (seconds)
POOL = SIZE + OVERFLOW
EXACT = 0.05  # how near the plateau must lie to the pool: what a query costs beside its wait is CPU that all share
EQUAL = 0.01  # how near to one query per request: a request that was given up may never have reached the database


def told(study: Study, act: str, database: str) -> list[dict[str, Any]]:
    """What the app told of a database before the load and after it. Raises Untestable when it did not."""
    answers = study.told(act, f"/users/evidence?database={database}")
    if [one["status"] for one in answers] != [200, 200]:
        raise Untestable(f"what {database} counted during {act}")
    return [json.loads(one["body"]) for one in answers]


def per_request(study: Study, act: str, database: str) -> float:
    """Queries over requests, all phases of the load and nothing else. Raises Untestable where the server does not count."""
    before, after = told(study, act, database)
    cells = {cell["name"] for cell in study.run["plan"]["cells"] if cell["variant"] == act and cell["repeat"] == 1}
    sent = sum(one.sent for one in study.tallies if one.cell in cells)
    if after["queries"] is None or not sent:
        raise Untestable(f"queries counted by the {database} server itself (pg_stat_statements): equal work is not proved")
    return float((after["queries"] - before["queries"]) / sent)


def equal_work(study: Study, acts: list[str]) -> tuple[bool, str]:
    """Whether every request of these acts cost one query, and the words for it."""
    found = [per_request(study, act, act.rpartition(" ")[2]) for act in acts]
    words = "; ".join(f"{act} {number(one)}" for act, one in zip(acts, found, strict=True))
    return all(near(one, 1, EQUAL) for one in found), f"queries per request: {words}"


def pools(study: Study, acts: list[str]) -> str:
    """The sizes that were read from the pools in use, once where they are alike."""
    kinds = {act: "awaitable" if act.startswith("async") else "blocking" for act in acts}
    read = [told(study, act, act.rpartition(" ")[2])[0]["pools"][kind] for act, kind in kinds.items()]
    return " and ".join(dict.fromkeys(f"{one['pool']} {one['size']} + {one['overflow']}, {one['timeout']:g} s" for one in read))
