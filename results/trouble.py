"""The one exception that reaches a person: a sentence that says what to do next, and the exit code it ends with."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the command line."""

    FINE = 0
    """All is well."""
    FAILED = 1
    """A gate failed, or a reproduced claim was refuted."""
    USAGE = 2
    """Wrong usage or input."""
    UNTRUSTED = 3
    """The measurement cannot be trusted."""
    TARGET = 4
    """The target could not be started or reached, or it died."""
    INTERRUPTED = 130
    """Somebody pressed Ctrl-C; what was measured is kept."""


class Trouble(Exception):  # noqa: N818 - it is not always an error: an interruption is one too
    """Something a person must know. Only the front door prints it and exits."""

    def __init__(self, sentence: str, code: Exit) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code
