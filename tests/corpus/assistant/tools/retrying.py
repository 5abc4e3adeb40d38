"""Try again, a little later."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def pause(attempt: int, base: float = 0.03) -> None:
    """Exponential back-off."""
    time.sleep(base * 2**attempt)


def with_retries(call: Callable[[int], Result], attempts: int = 4) -> Result:
    """Call until it works."""
    for attempt in range(attempts - 1):
        try:
            return call(attempt)
        except ConnectionError:
            pause(attempt)
    return call(attempts - 1)
