"""The database: engine, sessions, tables."""

import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

FOLDER = tempfile.TemporaryDirectory(prefix="storefront-")
PATH = Path(FOLDER.name) / "store.db"
engine = create_engine(f"sqlite:///{PATH}")
SessionLocal = sessionmaker(engine)


class Base(DeclarativeBase):
    """All tables."""


class Order(Base):
    """One order of one customer."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    region: Mapped[str]
    total: Mapped[float]


class Review(Base):
    """What somebody thought of a product."""

    __tablename__ = "reviews"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int]
    stars: Mapped[int]


@event.listens_for(engine, "connect")
def add_latency(connection: sqlite3.Connection, _record: object) -> None:
    """Give SQLite the round trip of the production database."""
    connection.create_function("latency", 1, time.sleep)


def create_tables() -> None:
    """Start with a little data."""
    Base.metadata.create_all(engine)
    with SessionLocal.begin() as session:
        session.add_all(Order(region=("north", "south")[number % 2], total=10.0 + number) for number in range(200))
        session.add_all(Review(product_id=1 + number % 20, stars=1 + number % 5) for number in range(200))


def close() -> None:
    """Leave no file behind."""
    engine.dispose()
    FOLDER.cleanup()


async def open_session() -> AsyncIterator[Session]:
    """One session per request."""
    with SessionLocal() as session:
        yield session
