"""The exception for users, and how it is shown: a sentence on what to do, and an exit code."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any


class ExitCode(IntEnum):
    """The exit codes of the command line."""

    FINE = 0
    FAILED = 1  # a gate failed, or the run refutes a claim
    USAGE = 2  # wrong usage or input
    UNTRUSTED = 3  # the measurement cannot be trusted
    TARGET = 4  # the target did not start, cannot be reached, or died
    INTERRUPTED = 130  # Ctrl-C; what was measured is kept


class AtonceError(Exception):
    """An error for the user. Only the command line prints it and exits."""

    def __init__(self, sentence: str, code: ExitCode) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


class UsageError(AtonceError):
    """Wrong usage or input."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, ExitCode.USAGE)


def run_cli(run: Callable[[], Any]) -> int:
    """Run a command line; every failure becomes a sentence and a code, never a traceback."""

    def handle_interrupt(_number: int, _frame: FrameType | None) -> None:
        # files have all measurements already; an exception would be lost inside a destructor
        sentence = "Interrupted. What was measured so far lies in the run's folder."
        with suppress(OSError):  # its reader may have gone
            _report_error(AtonceError(sentence, ExitCode.INTERRUPTED))
        # the supervisor of our child processes sees this, and cleans up
        os._exit(ExitCode.INTERRUPTED)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle_interrupt)
    try:
        run()
    except AtonceError as failure:
        error = failure
    except OSError as failure:
        file, why = failure.filename or "a file", failure.strerror or failure
        advice = "Make room, or name another folder."
        error = UsageError(f"{file} cannot be read or written ({why}). {advice}")
    # the last resort: a fault of ours must not look like a refuted claim
    except Exception as failure:  # noqa: BLE001
        frame = traceback.extract_tb(failure.__traceback__)[-1]
        what = f"{type(failure).__name__}: {failure}, {Path(frame.filename).name}:{frame.lineno}"
        sentence = f"atonce itself failed ({what}). Your files are kept. Please report this."
        error = AtonceError(sentence, ExitCode.UNTRUSTED)
    else:
        return 0
    _report_error(error)
    return error.code


def _report_error(error: AtonceError) -> None:
    """Write a sentence to stderr, and JSON to stdout for `--json`; unbuffered, for handlers."""
    if "--json" in sys.argv:
        data = {"format": 1, "error": error.sentence, "exit_code": error.code}
        os.write(1, (json.dumps(data, indent=1) + "\n").encode())
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar may have hidden it
    os.write(2, f"{show_cursor}atonce: {error.sentence}\n".encode())


def restore_sigpipe() -> None:
    """End quietly when the reader leaves (`| head`); call it when only printing is left."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
