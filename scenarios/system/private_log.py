"""The run's log: what the app and Locust say, without what nobody is to read, for its owner only."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scenarios.system.redact import redact_secrets

_WARNING_MARK = "RuntimeWarning: "
CHUNK_BYTES = 1 << 16  # bytes that are read at once, and the longest line that is waited for


def open_private(path: Path) -> int:
    """A file to add to, which nobody else on this machine can read; its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


@dataclass(frozen=True, slots=True)
class RunLog:
    """The run's log, from the place where an act began."""

    path: Path
    start: int
    mask: Callable[[str], str] = str

    @classmethod
    def from_here(cls, path: Path, mask: Callable[[str], str] = str) -> "RunLog":
        """What will be said from now on; `mask` takes out what is not to be read."""
        return cls(path, path.stat().st_size if path.exists() else 0, mask)

    def text(self) -> str:
        """What was said since."""
        said = self.path.read_bytes()[self.start :] if self.path.exists() else b""
        return self.mask(said.decode("utf-8", errors="replace"))

    def append(self, line: str) -> None:
        """One more line, without what is not to be read."""
        with open(open_private(self.path), "a", encoding="utf-8") as file:
            file.write(self.mask(line))

    def warnings(self) -> str:
        """What Python warned of since, a line each; not where, which is somebody's folder."""
        lines = self.text().splitlines()
        return "\n".join(
            line[line.index(_WARNING_MARK) :] for line in lines if _WARNING_MARK in line
        )

    def describe_tail(self) -> str:
        """The end of what was said, for a sentence about a death."""
        table = ("|", "Response time percentiles")  # Locust prints its own even when it fails
        lines = [
            line.strip()
            for line in self.text().splitlines()
            if line.strip() and not any(word in line for word in table)
        ]
        return (
            f"Its last words: {lines[-1][:200]} (all of them: {self.path})"
            if lines
            else "It left no words."
        )


class LogWriter:
    """What the child says on its way to the log, line by line, so that no secret is cut in two and missed."""

    def __init__(self, log: str, secrets: tuple[str, ...]) -> None:
        self.file, self.secrets = open_private(Path(log)), secrets
        self.longest = (
            max(map(len, secrets), default=0) + CHUNK_BYTES // 16
        )  # a password in a URL is shorter
        self.rest = b""

    def add_chunk(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Write all whole lines; of a line without end all but what may be the beginning of a secret."""
        whole, mark, self.rest = (self.rest + chunk).rpartition(b"\n")
        self.write(self.mask(whole + mark))
        if is_last or len(self.rest) > CHUNK_BYTES:
            masked_rest = self.mask(self.rest)
            kept = len(masked_rest) if is_last else max(0, len(masked_rest) - 4 * self.longest)
            self.rest = masked_rest[kept:]
            self.write(masked_rest[:kept])

    def mask(self, data: bytes) -> bytes:
        """Without what is not to be read; bytes that are no text stay as they are."""
        text = data.decode("utf-8", "surrogateescape")
        return redact_secrets(text, self.secrets).encode("utf-8", "surrogateescape")

    def write(self, data: bytes) -> None:
        """To the log. On a full disk it is lost: an app that nobody reads would stop."""
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.file, data) :]
