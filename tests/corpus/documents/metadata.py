"""Metadata of files, from one long-running exiftool."""

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class ExifTool:
    """Starting it takes longer than asking it, so it stays open."""

    def __enter__(self) -> Self:
        script = Path(__file__).with_name("exiftool.sh")
        self.process = subprocess.Popen(["sh", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.__exit__(kind, error, trace)

    def read(self, name: str) -> dict[str, Any]:
        """Ask for one file."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            return {}
        stdin.write(name.encode() + b"\n")
        stdin.flush()
        return dict(json.loads(stdout.readline()))
