"""The one exception that reaches a person, and how it does: a sentence that says what to do next, and an exit code."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any


class Exit(IntEnum):
    """The exit codes of the command line."""

    FINE = 0  # all is well
    FAILED = 1  # a gate failed, or a reproduced claim was refuted
    USAGE = 2  # wrong usage or input
    UNTRUSTED = 3  # the measurement cannot be trusted
    TARGET = 4  # the target could not be started or reached, or it died
    INTERRUPTED = 130  # somebody pressed Ctrl-C; what was measured is kept


class Trouble(Exception):  # noqa: N818 - it is not always an error: an interruption is one too
    """Something a person must know. Only the front door prints it and exits."""

    def __init__(self, sentence: str, code: Exit) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


def guarded(run: Callable[[], Any]) -> int:
    """Run a command line; whatever stops it becomes a sentence and a code, never a traceback."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Nothing to save here: what was measured lies in files already. Raising would be lost inside a destructor.
        told = Trouble("Interrupted. What was measured so far lies in the run's folder.", Exit.INTERRUPTED)
        tell(told)
        os._exit(told.code)  # what we have started has a supervisor that sees us go, and cleans up

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        run()
    except Trouble as trouble:
        tell(trouble)
        return trouble.code
    except OSError as error:
        what = f"{error.filename} cannot be read or written" if error.filename else "a file cannot be read or written"
        tell(Trouble(f"{what} ({error.strerror or error}). Make room, or name another folder.", Exit.USAGE))
        return Exit.USAGE
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours must not look like a refuted claim
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        sentence = f"a fault of atonce itself ({type(error).__name__}: {error}, {where}). Files are kept; please report it."
        tell(Trouble(sentence, Exit.UNTRUSTED))
        return Exit.UNTRUSTED
    return 0


def tell(trouble: Trouble) -> None:
    """A sentence on stderr, and JSON on stdout for whom asked. Unbuffered, for a signal's handler may be the caller."""
    if "--json" in sys.argv:
        data = {"format": 1, "error": trouble.sentence, "exit_code": trouble.code}
        os.write(1, (json.dumps(data, indent=1) + "\n").encode())
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar may have hidden it
    os.write(2, f"{show_cursor}atonce: {trouble.sentence}\n".encode())


def may_be_cut_short() -> None:
    """From here on we only print: if the reader leaves (`| head`), end as quietly as any other Unix command."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
