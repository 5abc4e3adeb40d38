"""Ctrl-C and SIGTERM as a flag that the driver checks, not as an exception.

A signal handler raises an exception wherever the interpreter happens to be: a destructor or a weak
reference's callback prints and loses it, and the run goes on. The driver checks a flag ten times a
second.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from results.errors import AtonceError, ExitCode

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOP_MESSAGE = b"\natonce: stopping; waiting for open requests (a second signal leaves at once)\n"


class StopRequest:
    """Whether a signal requests a stop."""

    def __init__(self) -> None:
        self.is_requested = False

    def raise_if_requested(self) -> None:
        """Raise AtonceError after a signal. For points where a run can stop in good order."""
        if self.is_requested:
            sentence = "Interrupted: no more requests are sent. The run keeps what was measured."
            raise AtonceError(sentence, ExitCode.INTERRUPTED)


@contextlib.contextmanager
def handle_stop_signals() -> Iterator[StopRequest]:
    """Take the first signal of the block as a request to stop.

    The second goes to the command's own handler, which leaves at once; the supervisors of our
    children see that and clean up.
    """
    stop_request = StopRequest()
    with contextlib.ExitStack() as previous_handlers:

        def request_stop(_number: int, _frame: FrameType | None) -> None:
            stop_request.is_requested = True
            previous_handlers.close()  # restores them
            with contextlib.suppress(OSError):  # its reader may have gone
                os.write(2, _STOP_MESSAGE)

        # known before the first signal can reach us
        for number in _SIGNALS:
            previous_handlers.callback(signal.signal, number, signal.getsignal(number))
        for number in _SIGNALS:
            signal.signal(number, request_stop)
        yield stop_request
