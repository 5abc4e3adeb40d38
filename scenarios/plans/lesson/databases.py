"""The same slow query on two databases: blocking in `async def`, in `def`, and awaited."""

from results.schema import Variant
from scenarios.plans.lesson.experiment import lesson_session
from scenarios.plans.model import Session

_QUERY_WAIT = 0.1  # seconds that the query waits inside the database
_POOL_SIZE = 15  # connections of SQLAlchemy's default pools
_USERS = 24  # more than connections, fewer than threads
_BLOCKING_USERS = 8  # users of what serves one at once


def _database_session(variant: str, database: str) -> Session:
    """Return one variant on one database; the driver reads its counters before and after."""
    is_blocking = variant == Variant.BROKEN_ASYNC
    return lesson_session(
        f"{variant} {database}",
        f"/users/1/{variant}?database={database}&seconds={_QUERY_WAIT:g}",
        '{"id":1,"name":"Ada"}',
        seconds=_QUERY_WAIT,
        users=_BLOCKING_USERS if is_blocking else _USERS,
        concurrency=1 if is_blocking else _POOL_SIZE,
        extra_requests=(f"/users/evidence?database={database}",),
    )


SESSIONS = tuple(
    _database_session(variant, database)
    for database in ("sqlite", "postgres")
    for variant in ("broken-async", "sync", "async")
)
