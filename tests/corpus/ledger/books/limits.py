"""How much may be moved; read again after ten questions."""

import time


class Limits:
    """The table of limits."""

    def __init__(self) -> None:
        self.table: dict[str, int] = {}
        self.left = 0

    def of(self, account: str) -> int:
        """Say how much may be moved from an account."""
        if not self.left:
            self.table, self.left = self.load(), 10
        self.left -= 1
        return self.table.get(account, 1000)

    def load(self) -> dict[str, int]:
        """Read the table."""
        time.sleep(0.15)
        return {"AC-1": 5000}
