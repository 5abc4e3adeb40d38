"""The same slow query on two databases: a blocking session in `async def`, in `def`, and an awaited one."""

from results.schema import Variant
from scenarios.plans.lesson.experiment import experiment
from scenarios.plans.model import Act

WAIT = 0.1  # seconds that the query waits inside the database
POOL = 15  # connections of SQLAlchemy's default pools
USERS = 24  # more than connections, fewer than threads
FEW = 8  # users of what serves one at once


def act(written: str, database: str) -> Act:
    """One session on one database; the app tells before and after the load what its database has counted."""
    few = written == Variant.BROKEN_ASYNC
    return experiment(
        f"{written} {database}",
        f"/users/1/{written}?database={database}&seconds={WAIT:g}",
        '{"id":1,"name":"Ada"}',
        seconds=WAIT,
        users=FEW if few else USERS,
        places=1 if few else POOL,
        asks=(f"/users/evidence?database={database}",),
    )


ACTS = tuple(act(written, database) for database in ("sqlite", "postgres") for written in ("broken-async", "sync", "async"))
