"""Occupancy, computed by SQLite from the nights of the year."""

import sqlite3

NIGHTS = """
WITH RECURSIVE nights(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM nights WHERE n < ?)
SELECT sum(n % 7 IN (0, 5, 6)), count(*) FROM nights
"""


class Occupancy:
    """Holds the connection."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)

    def weekend_share(self, rooms: int) -> float:
        """How many of all nights are weekend nights."""
        weekend, nights = self.connection.execute(NIGHTS, (rooms * 365,)).fetchone()
        return float(round(weekend / nights, 3))
