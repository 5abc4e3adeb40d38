"""The queries."""

import aiosqlite
from sqlalchemy import text
from sqlalchemy.orm import Session

TOTALS = text("SELECT region, sum(total), latency(:wait) FROM orders GROUP BY region")


def totals_by_region(session: Session, wait: float) -> dict[str, float]:
    """What every region ordered."""
    rows = session.execute(TOTALS, {"wait": wait / 2}).all()
    return {region: total for region, total, _ in rows}


async def average_stars(connection: aiosqlite.Connection, product_id: int) -> float:
    """What customers thought of a product."""
    query = "SELECT avg(stars), latency(0.06) FROM reviews WHERE product_id = ?"
    async with connection.execute(query, (product_id,)) as cursor:
        row = await cursor.fetchone()
    return float(row[0]) if row else 0.0
