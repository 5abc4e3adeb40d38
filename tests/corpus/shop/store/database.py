"""The stock database."""

import sqlite3

COUNT = """
WITH RECURSIVE piece(number, lot) AS (
    SELECT 1, 7 UNION ALL SELECT number + 1, (lot * 31 + number) % 1009 FROM piece WHERE number < 300000
)
SELECT count(*) FROM piece WHERE lot % 3 = 0
"""


def opened() -> sqlite3.Connection:
    """Open the database."""
    return sqlite3.connect(":memory:", check_same_thread=False)


def pieces(connection: sqlite3.Connection) -> int:
    """Count the pieces."""
    cursor = connection.cursor()
    cursor.execute(COUNT)
    return int(cursor.fetchone()[0])
