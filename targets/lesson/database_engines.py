"""The lesson's databases: SQLite and a real PostgreSQL, by blocking and awaitable drivers.

All use the default pools. The first request that needs a database opens it. Each counts its
statements, as evidence that the variants do equal work.
"""

import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import Engine, Select, create_engine, event, func, select, text
from sqlalchemy.engine import AdaptedConnection, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateSchema, DropSchema

from targets.lesson import postgres

DSN_VARIABLE = "ATONCE_POSTGRES_DSN"
USER_NAMES = ("Ada", "Grace", "Edsger")
CALL_COUNTS = text(
    "SELECT coalesce(sum(calls) FILTER (WHERE query LIKE '%pg_sleep%' AND query LIKE :schema), 0),"
    " sum(calls) FROM pg_stat_statements"
    " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class DatabaseKind(StrEnum):
    """The databases that a request can name."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Base(DeclarativeBase):
    """The tables."""


class User(Base):
    """A user that the routes look up."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass(frozen=True, slots=True)
class Database:
    """One database through both kinds of driver."""

    blocking: Engine
    awaitable: AsyncEngine
    sleep_function: str  # the SQL function that waits
    count_calls: Callable[[], tuple[int | None, int | None]]  # slow queries, all statements

    def slow_query(self, user_id: int, seconds: float) -> Select[Any]:
        """Build a look-up by primary key that also waits, in the database."""
        sleep = getattr(func, self.sleep_function)(seconds)
        return select(User.id, User.name, sleep).where(User.id == user_id)

    def describe_usage(self) -> dict[str, Any]:
        """Return the sizes of the pools, and the database's counts so far."""
        engines = {"blocking": self.blocking, "awaitable": self.awaitable.sync_engine}
        pools = {name: _describe_pool(engine) for name, engine in engines.items()}
        queries, statements = self.count_calls()
        return {"pools": pools, "queries": queries, "statements": statements}


def _describe_pool(engine: Engine) -> dict[str, Any]:
    pool = engine.pool
    # the default of all four drivers, also as AsyncAdaptedQueuePool
    assert isinstance(pool, QueuePool)  # noqa: S101
    overflow = pool._max_overflow  # noqa: SLF001 - it has no public name
    sizes = {"size": pool.size(), "overflow": overflow, "timeout": pool.timeout()}
    return {"pool": type(pool).__name__, **sizes}


class Databases:
    """The databases that requests open; the stack closes them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack, self.lock = stack, asyncio.Lock()
        self.open_databases: dict[DatabaseKind, Database] = {}

    async def open(self, kind: DatabaseKind) -> Database:
        """Return a database; the first request for it opens it."""
        async with self.lock:
            if kind not in self.open_databases:
                database = open_sqlite() if kind is DatabaseKind.SQLITE else open_postgresql()
                self.open_databases[kind] = await self.stack.enter_async_context(database)
        return self.open_databases[kind]


def _create_users(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all(User(id=number, name=name) for number, name in enumerate(USER_NAMES, 1))


@asynccontextmanager
async def open_sqlite() -> AsyncIterator[Database]:
    """Open an SQLite file in a temporary folder, with a function that sleeps."""
    statements: list[str] = []  # `append` needs no lock

    def count_calls() -> tuple[int, int]:
        return sum("sleep(" in statement for statement in statements), len(statements)

    def prepare_connection(connection: Any, _record: Any) -> None:
        connection.create_function("sleep", 1, time.sleep)
        if isinstance(connection, AdaptedConnection):
            connection.run_async(lambda real: real.set_trace_callback(statements.append))
        else:
            connection.set_trace_callback(statements.append)

    with tempfile.TemporaryDirectory(prefix="atonce-sqlite-") as folder:
        blocking = create_engine(f"sqlite:///{folder}/users.db")
        awaitable = create_async_engine(f"sqlite+aiosqlite:///{folder}/users.db")
        for engine in (blocking, awaitable.sync_engine):
            event.listen(engine, "connect", prepare_connection)
        await asyncio.to_thread(_create_users, blocking)
        try:
            yield Database(blocking, awaitable, "sleep", count_calls)
        finally:
            await awaitable.dispose()
            blocking.dispose()


@asynccontextmanager
async def open_postgresql() -> AsyncIterator[Database]:
    """Open the server that the environment names, with our own schema, or a temporary server."""
    schema = f"atonce_{uuid.uuid4().hex}"
    with ExitStack() as server:
        given = os.environ.get(DSN_VARIABLE, "")
        url = given or await asyncio.to_thread(server.enter_context, postgres.run_postgres())
        address = make_url(url).set(drivername="postgresql+psycopg")
        query = {"ssl" if key == "sslmode" else key: value for key, value in address.query.items()}
        async_address = address.set(drivername="postgresql+asyncpg", query=query)
        ours = {"schema_translate_map": {None: schema}}
        blocking = create_engine(address, execution_options=ours)
        awaitable = create_async_engine(async_address, execution_options=ours)
        try:
            await asyncio.to_thread(_create_schema, blocking, schema, counts=not given)
            count_calls = partial(_read_call_counts, blocking, schema)
            yield Database(blocking, awaitable, "pg_sleep", count_calls)
        finally:
            await awaitable.dispose()
            await asyncio.to_thread(_drop_schema, blocking, schema)


def _create_schema(engine: Engine, schema: str, *, counts: bool) -> None:
    """Create our schema; in a temporary server also the view of its counters."""
    with engine.begin() as connection:
        connection.execute(CreateSchema(schema))
        if counts:
            connection.execute(text("CREATE EXTENSION pg_stat_statements"))
    _create_users(engine)


def _drop_schema(engine: Engine, schema: str) -> None:
    with suppress(SQLAlchemyError), engine.begin() as connection:
        connection.execute(DropSchema(schema, cascade=True, if_exists=True))
    engine.dispose()


def _read_call_counts(engine: Engine, schema: str) -> tuple[int | None, int | None]:
    """Return the server's own counts, or None if it has none or does not show them."""
    try:
        with engine.connect() as connection:
            queries, statements = connection.execute(CALL_COUNTS, {"schema": f"%{schema}%"}).one()
    except DBAPIError:
        return None, None
    return int(queries), int(statements)
