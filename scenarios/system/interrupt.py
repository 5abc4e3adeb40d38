"""Ctrl-C and SIGTERM as a flag that the driver looks at, never as an exception out of nowhere.

An exception raised by a signal's handler lands wherever the interpreter happens to be: inside a destructor or a weak
reference's callback it is printed and lost, and the run goes on. A flag is seen at the next look, ten times a second.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from results.errors import Exit, Trouble

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether somebody asked us to stop."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raise Trouble when somebody did. For the places where a run can stop in good order."""
        if self.asked:
            raise Trouble("Interrupted: no more requests are sent; what was measured is kept.", Exit.INTERRUPTED)


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """For the length of the block, the first signal is a request to stop. The second meets whoever listened before us.

    That is the front door, which leaves at once; the supervisors of our children see it go, and clean up.
    """
    interruption = Interruption()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        interruption.asked = True
        restore()
        os.write(2, b"\natonce: stopping; waiting for the answers still out (once more leaves at once)\n")

    def restore() -> None:
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {one: signal.getsignal(one) for one in SIGNALS}  # known before the first signal can reach us
    for one in SIGNALS:
        signal.signal(one, interrupt)
    try:
        yield interruption
    finally:
        restore()
