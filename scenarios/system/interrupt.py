"""Ctrl-C and SIGTERM as a flag that the driver looks at, never as an exception out of nowhere.

An exception raised by a signal's handler lands wherever the interpreter happens to be: inside a
destructor or a weak reference's callback it is printed and lost, and the run goes on. A flag is
seen at the next look, ten times a second.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from results.errors import AtonceError, ExitCode

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether somebody asked us to stop."""

    def __init__(self) -> None:
        self.is_requested = False

    def raise_if_requested(self) -> None:
        """Raise Trouble when somebody did. For the places where a run can stop in good order."""
        if self.is_requested:
            raise AtonceError(
                "Interrupted: no more requests are sent; what was measured is kept.",
                ExitCode.INTERRUPTED,
            )


@contextlib.contextmanager
def handle_stop_signals() -> Iterator[StopRequest]:
    """For the length of the block, the first signal is a request to stop. The second meets whoever listened before us.

    That is the front door, which leaves at once; the supervisors of our children see it go, and
    clean up.
    """
    stop_request = StopRequest()

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        stop_request.is_requested = True
        restore_handlers()
        os.write(
            2, b"\natonce: stopping; waiting for the answers still out (once more leaves at once)\n"
        )

    def restore_handlers() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {
        number: signal.getsignal(number) for number in _SIGNALS
    }  # known before the first signal can reach us
    for number in _SIGNALS:
        signal.signal(number, request_stop)
    try:
        yield stop_request
    finally:
        restore_handlers()
