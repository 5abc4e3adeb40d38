"""The run's log: what the app and Locust print, without secrets, readable by its owner only."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scenarios.system.redact import redact_secrets

_WARNING_MARK = "RuntimeWarning: "
CHUNK_BYTES = 1 << 16  # bytes that are read at once, and the longest line that is waited for


def open_private(path: Path) -> int:
    """Open a file for appending that no other user can read; return its descriptor."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def append_private(path: Path, text: str) -> None:
    """Append text to a file that no other user can read."""
    with open(open_private(path), "a", encoding="utf-8") as file:
        file.write(text)


@dataclass(frozen=True, slots=True)
class RunLog:
    """The run's log, from the offset where a session began."""

    path: Path
    start: int
    mask: Callable[[str], str] = str

    @classmethod
    def from_here(cls, path: Path, mask: Callable[[str], str] = str) -> "RunLog":
        """Return what is written from now on; `mask` takes out secrets."""
        return cls(path, path.stat().st_size if path.exists() else 0, mask)

    def text(self) -> str:
        """Return what was written since."""
        content = self.path.read_bytes()[self.start :] if self.path.exists() else b""
        return self.mask(content.decode("utf-8", errors="replace"))

    def append(self, line: str) -> None:
        """Append one line, without secrets."""
        append_private(self.path, self.mask(line))

    def warnings(self) -> str:
        """Return Python's warnings since, a line each, without the path: it is a user's folder."""
        lines = (line.partition(_WARNING_MARK) for line in self.text().splitlines())
        return "\n".join(mark + message for _, mark, message in lines if mark)

    def describe_tail(self) -> str:
        """Return a sentence with the last line written, about a process that died."""
        table = ("|", "Response time percentiles")  # Locust prints its own even when it fails
        for line in reversed(self.text().splitlines()):
            if line.strip() and not any(word in line for word in table):
                return f"Its last output: {line.strip()[:200]} (all of it: {self.path})"
        return "It printed nothing."


class LogWriter:
    """Writes a child's output to the log by lines, so that no secret is cut in two and missed."""

    def __init__(self, log: str, secrets: tuple[str, ...]) -> None:
        self.file, self.secrets = open_private(Path(log)), secrets
        # a password in a URL is shorter
        self.longest = max(map(len, secrets), default=0) + CHUNK_BYTES // 16
        self.rest = b""

    def add_chunk(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Write all whole lines; of a very long one all but what may be the start of a secret."""
        whole, mark, self.rest = (self.rest + chunk).rpartition(b"\n")
        self.write(self.mask(whole + mark))
        if is_last or len(self.rest) > CHUNK_BYTES:
            masked = self.mask(self.rest)
            end = len(masked) if is_last else max(0, len(masked) - 4 * self.longest)
            self.rest = masked[end:]
            self.write(masked[:end])

    def mask(self, data: bytes) -> bytes:
        """Replace the secrets; bytes that are no text stay as they are."""
        text = data.decode("utf-8", "surrogateescape")
        return redact_secrets(text, self.secrets).encode("utf-8", "surrogateescape")

    def write(self, data: bytes) -> None:
        """Write to the log. On a full disk data is lost: an app whose pipe fills up would stop."""
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.file, data) :]
