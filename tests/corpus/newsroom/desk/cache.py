"""A cache for pages that may be a little old."""

from collections.abc import Callable
from typing import Generic, TypeVar

Page = TypeVar("Page")


class Fresh(Generic[Page]):
    """Keeps a page for a number of readings."""

    def __init__(self, make: Callable[[], Page], readings: int = 20) -> None:
        self.make, self.readings = make, readings
        self.left = 0
        self.page: Page | None = None

    def read(self) -> Page:
        """Give the page; every so often a new one."""
        if self.left == 0:
            self.page = self.make()
            self.left = self.readings
        self.left -= 1
        return self.page
