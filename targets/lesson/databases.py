"""One user, from the same slow query: awaited, blocking in `def`, and blocking in `async def`.

With `response_model=None` and async dependencies a `def` route takes exactly one thread token.
`seconds` is how long the query waits inside the database.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from targets.lesson import INSTALL_HINT
from targets.lesson.database_engines import Database, DatabaseKind, Databases, User
from targets.lesson.waiting import Seconds


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the databases that requests open, and close them at shut-down."""
    async with AsyncExitStack() as stack:
        app.state.databases = Databases(stack)
        yield


router = APIRouter(prefix="/users", tags=["databases"], lifespan=lifespan)


async def open_database(
    request: Request, database: DatabaseKind = DatabaseKind.SQLITE
) -> AsyncIterator[Database]:
    """Yield the database of a request. Answer 503 if its pool stays full."""
    databases: Databases = request.app.state.databases
    try:
        engines = await databases.open(database)
    except ModuleNotFoundError as absent:
        hint = f"{database} needs {absent.name}, which is not installed: {INSTALL_HINT}"
        raise HTTPException(501, hint) from absent
    except (exc.SQLAlchemyError, RuntimeError, OSError) as error:
        raise HTTPException(503, f"{database} cannot be used: {error.args[0]}") from error
    try:
        yield engines
    except exc.TimeoutError as full:
        message = f"no connection to {database} became free: {full.args[0]}"
        raise HTTPException(503, message) from full


OpenDatabase = Annotated[Database, Depends(open_database)]


async def open_session(database: OpenDatabase) -> AsyncIterator[AsyncSession]:
    """Open a session for one request, as the lesson does."""
    async with AsyncSession(database.awaitable) as session:
        yield session


@router.get("/evidence", response_model=None)
def evidence(database: OpenDatabase) -> dict[str, Any]:
    """Return the sizes of the pools, and how many queries the database counted."""
    return database.describe_usage()


@router.get("/{user_id}", response_model=None)
async def user(user_id: int, db: Annotated[AsyncSession, Depends(open_session)]) -> dict[str, Any]:
    """Look a user up with the lesson's awaited session."""
    return _user_or_404(await db.get(User, user_id), user_id)


@router.get("/{user_id}/async", response_model=None)
async def async_(user_id: int, database: OpenDatabase, seconds: Seconds = 0.1) -> dict[str, Any]:
    """Await the query: as many at once as the pool has connections."""
    query = database.slow_query(user_id, seconds)
    # closed before the answer leaves, as in the other two
    async with AsyncSession(database.awaitable) as session:
        return _user_or_404((await session.execute(query)).first(), user_id)


@router.get("/{user_id}/sync", response_model=None)
def sync(user_id: int, database: OpenDatabase, seconds: Seconds = 0.1) -> dict[str, Any]:
    """Block in a thread: as many at once as connections. Each wait for one takes a thread."""
    with Session(database.blocking) as session:
        return _user_or_404(session.execute(database.slow_query(user_id, seconds)).first(), user_id)


@router.get("/{user_id}/broken-async", response_model=None)
async def broken_async(
    user_id: int, database: OpenDatabase, seconds: Seconds = 0.1
) -> dict[str, Any]:
    """Block the event loop, the mistake itself: 1 at once, with any number of connections."""
    with Session(database.blocking) as session:
        return _user_or_404(session.execute(database.slow_query(user_id, seconds)).first(), user_id)


def _user_or_404(row: Any, user_id: int) -> dict[str, Any]:
    if row is None:
        raise HTTPException(404, f"there is no user {user_id}")
    return {"id": row.id, "name": row.name}
