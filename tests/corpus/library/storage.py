"""The catalogue and the history of loans, in SQLite through SQLAlchemy."""

from collections.abc import AsyncIterator

from sqlalchemy import StaticPool, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


class Base(DeclarativeBase):
    """What all tables share."""


class Loan(Base):
    """One book, lent once."""

    __tablename__ = "loan"
    id: Mapped[int] = mapped_column(primary_key=True)
    isbn: Mapped[str]
    remark: Mapped[str]


FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600000)
INSERT INTO loan (id, isbn, remark)
SELECT i, printf('978%010d', i % 1500), CASE i % 7 WHEN 0 THEN 'came back in good order' ELSE 'came back rather late' END FROM n
"""


def fill() -> None:
    """Write sixty years of loans."""
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text(FILL))


async def session() -> AsyncIterator[Session]:
    """Give a request its session."""
    with Session(engine) as opened:
        yield opened
