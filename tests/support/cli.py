"""The command line in this process: what many tests ask of it does not need an interpreter each."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import atonce
from tests.support.processes import ROOT

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
PLAIN = ("CI", "NO_COLOR", "FORCE_COLOR")  # what this environment asks of a command line


class Here:
    """Runs a command as `python atonce.py` would, and puts back whatever it changed."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd

    def __call__(
        self, *words: str, cwd: Path = ROOT, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Exit code, output and complaints of one command."""
        handlers = [(number, signal.getsignal(number)) for number in NUMBERS]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(cwd)
            patch.setattr(sys, "argv", ["atonce", *words])
            patch.setattr(sys, "path", list(sys.path))
            for name in PLAIN:
                patch.delenv(name, raising=False)
            for name, value in env.items():
                patch.setenv(name, value)
            self.capfd.readouterr()
            try:
                with pytest.raises(SystemExit) as left:
                    atonce.main()
            finally:
                for number, handler in handlers:
                    signal.signal(number, handler)
        out, err = self.capfd.readouterr()
        return subprocess.CompletedProcess(words, int(left.value.code or 0), out, err)
