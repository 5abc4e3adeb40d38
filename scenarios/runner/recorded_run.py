"""The life cycle of a run: opened, interrupted by signals in good order, closed with its status."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from results.errors import AtonceError, ExitCode
from results.run_info import RunInfo
from results.schema import Status
from results.store import RunWriter
from scenarios.system.interrupt import StopRequest, handle_stop_signals

_Listener = TypeVar("_Listener")


@contextlib.contextmanager
def recorded_run(run: RunWriter, create_info: Callable[[], RunInfo]) -> Iterator[StopRequest]:
    """Open a run for the length of the block, and close it however the block ends.

    An AtonceError becomes a warning of the run, and is raised again; a full disk becomes an
    AtonceError. Either way the run keeps what was measured.
    """
    status = Status.FAILED
    with handle_stop_signals() as stop_request:
        try:
            run.open(create_info())
            yield stop_request
            status = Status.COMPLETE
        except AtonceError as error:
            if error.code is ExitCode.INTERRUPTED:
                status = Status.INTERRUPTED
            run.add_warning(error.sentence)
            raise
        except OSError as error:
            raise _disk_error(run, error) from error
        finally:
            try:
                run.close(status)
            except OSError as error:  # the spools can be read as well
                raise _disk_error(run, error) from error


def _disk_error(run: RunWriter, error: OSError) -> AtonceError:
    return AtonceError(
        f"The run cannot be written any further ({error.strerror or error}). {run.path} keeps what"
        f" was written. Free some space, then: atonce report {run.path}",
        ExitCode.UNTRUSTED,
    )


def return_error(execute: Callable[[_Listener], None]) -> Callable[[_Listener], AtonceError | None]:
    """Make a function return its AtonceError: a report follows all the same."""

    def execute_safely(listener: _Listener) -> AtonceError | None:
        try:
            execute(listener)
        except AtonceError as error:
            return error
        return None

    return execute_safely
