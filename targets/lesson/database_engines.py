"""The lab's databases: SQLite in a file, and a real PostgreSQL; each through a blocking and an awaitable driver, with the default pools.

Nothing is opened before somebody asks for it. Each database counts for itself which statements
reached it, so that nobody has to believe that the variants did equal work.
"""

import asyncio
import os
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
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


class DatabaseKind(StrEnum):
    """Which database."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Base(DeclarativeBase):
    """The tables."""


class User(Base):
    """Whom the routes look up."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass(frozen=True, slots=True)
class Database:
    """One database through both kinds of driver. `count` says how many slow queries reached it, and how many statements in all."""

    blocking: Engine
    awaitable: AsyncEngine
    sleep_function: str  # what its waiting function is called
    count_calls: Callable[[], tuple[int | None, int | None]]

    def slow_query(self, user_id: int, seconds: float) -> Select[Any]:
        """One look-up by primary key that also waits, in the database."""
        return select(User.id, User.name, getattr(func, self.sleep_function)(seconds)).where(
            User.id == user_id
        )

    def describe_usage(self) -> dict[str, Any]:
        """The pools as they are, and what reached the database so far."""
        pools = {
            "blocking": describe_pool(self.blocking),
            "awaitable": describe_pool(self.awaitable.sync_engine),
        }
        queries, statements = self.count_calls()
        return {"pools": pools, "queries": queries, "statements": statements}


def describe_pool(engine: Engine) -> dict[str, Any]:
    """What a pool says of itself. Its overflow has no public name."""
    pool = engine.pool
    # The default of all four drivers; AsyncAdaptedQueuePool is one
    assert isinstance(pool, QueuePool)  # noqa: S101
    return {
        "pool": type(pool).__name__,
        "size": pool.size(),
        "overflow": pool._max_overflow,
        "timeout": pool.timeout(),
    }  # noqa: SLF001


class Databases:
    """The databases that somebody has asked for; closed with the stack."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack, self.lock, self.open_databases = (
            stack,
            asyncio.Lock(),
            dict[DatabaseKind, Database](),
        )

    async def open(self, kind: DatabaseKind) -> Database:
        """A database, opened by the first who asks; from then on at once."""
        async with self.lock:
            if kind not in self.open_databases:
                self.open_databases[kind] = await self.stack.enter_async_context(
                    open_sqlite() if kind is DatabaseKind.SQLITE else open_postgresql()
                )
        return self.open_databases[kind]


def create_users(engine: Engine) -> None:
    """Create the table, with somebody in it."""
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all(User(id=number, name=name) for number, name in enumerate(USER_NAMES, 1))


@asynccontextmanager
async def open_sqlite() -> AsyncIterator[Database]:
    """A file in a temporary folder. SQLite cannot wait, so it is lent `time.sleep`; each statement is traced."""
    call_counts, lock = {"slow": 0, "all": 0}, threading.Lock()

    def count_statement(statement: str) -> None:
        with lock:
            call_counts["slow"] += "sleep(" in statement
            call_counts["all"] += 1

    def prepare_connection(connection: Any, _record: Any) -> None:
        connection.create_function("sleep", 1, time.sleep)
        if isinstance(connection, AdaptedConnection):
            connection.run_async(lambda real: real.set_trace_callback(count_statement))
        else:
            connection.set_trace_callback(count_statement)

    with tempfile.TemporaryDirectory(prefix="atonce-sqlite-") as folder:
        blocking = create_engine(f"sqlite:///{folder}/users.db")
        awaitable = create_async_engine(f"sqlite+aiosqlite:///{folder}/users.db")
        for engine in (blocking, awaitable.sync_engine):
            event.listen(engine, "connect", prepare_connection)
        await asyncio.to_thread(create_users, blocking)
        try:
            yield Database(
                blocking, awaitable, "sleep", lambda: (call_counts["slow"], call_counts["all"])
            )
        finally:
            await awaitable.dispose()
            blocking.dispose()


@asynccontextmanager
async def open_postgresql() -> AsyncIterator[Database]:
    """The server that the environment names, with a schema of our own while we are there; or one that we start and throw away."""
    schema = f"atonce_{uuid.uuid4().hex}"
    with ExitStack() as server:
        given = os.environ.get(DSN_VARIABLE, "")
        address = make_url(
            given or await asyncio.to_thread(server.enter_context, postgres.run_postgres())
        )
        query = {"ssl" if key == "sslmode" else key: value for key, value in address.query.items()}
        ours = {"schema_translate_map": {None: schema}}
        blocking = create_engine(
            address.set(drivername="postgresql+psycopg"), execution_options=ours
        )
        awaitable = create_async_engine(
            address.set(drivername="postgresql+asyncpg", query=query), execution_options=ours
        )
        try:
            await asyncio.to_thread(create_schema, blocking, schema, counts=not given)
            yield Database(
                blocking, awaitable, "pg_sleep", lambda: read_call_counts(blocking, schema)
            )
        finally:
            await awaitable.dispose()
            await asyncio.to_thread(drop_schema, blocking, schema)


def create_schema(engine: Engine, schema: str, *, counts: bool) -> None:
    """Create our schema; in a server of our own also the view of its counters."""
    with engine.begin() as connection:
        connection.execute(CreateSchema(schema))
        if counts:
            connection.execute(text("CREATE EXTENSION pg_stat_statements"))
    create_users(engine)


def drop_schema(engine: Engine, schema: str) -> None:
    """Remove what we created, as far as we came."""
    with suppress(SQLAlchemyError), engine.begin() as connection:
        connection.execute(DropSchema(schema, cascade=True, if_exists=True))
    engine.dispose()


def read_call_counts(engine: Engine, schema: str) -> tuple[int | None, int | None]:
    """Calls that the server counted itself; unknown where it does not, or does not tell us."""
    ours = (
        "FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname ="
        " current_database())"
    )
    slow = "coalesce(sum(calls) FILTER (WHERE query LIKE '%pg_sleep%' AND query LIKE :schema), 0)"
    try:
        with engine.connect() as connection:
            queries, statements = connection.execute(
                text(f"SELECT {slow}, sum(calls) {ours}"), {"schema": f"%{schema}%"}
            ).one()
    except DBAPIError:
        return None, None
    return int(queries), int(statements)
