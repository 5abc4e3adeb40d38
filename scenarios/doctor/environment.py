"""What an app needs to start: its own interpreter, and the variables that the user sets."""

import os
import re
import shutil
import sys
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from dotenv.variables import parse_variables

from results.errors import AtonceError, ExitCode


def find_interpreter(given: str | None, app_dir: Path) -> tuple[str, str]:
    """The Python that serves the app, and why that one."""
    if given:
        path = _venv_python(Path(given)) or shutil.which(given)
        if not path:
            raise AtonceError(
                f"--python {given} is neither an interpreter nor the folder of a virtual"
                " environment.",
                ExitCode.USAGE,
            )
        return path, "named with --python"
    active = os.environ.get("VIRTUAL_ENV")
    folders = [(Path(active), "the active environment")] if active else []
    for folder, why in (
        *folders,
        (app_dir / ".venv", "found beside the app"),
        (Path(".venv"), "found in this folder"),
    ):
        if path := _venv_python(folder):
            return path, why
    return sys.executable, "the one that runs atonce"


def _venv_python(path: Path) -> str | None:
    """The interpreter of a virtual environment, or the file itself if it is executable."""
    candidates = (
        (path / "bin" / "python", path / "Scripts" / "python.exe") if path.is_dir() else (path,)
    )
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            # Not resolved: the link itself selects the environment
            return os.path.abspath(candidate)  # noqa: PTH100
    return None


def load_variables(pairs: Iterable[str], file: Path | None) -> dict[str, str]:
    """The variables that the user sets for the app. Flags beat the file; errors show no value."""
    given = dict(map(_parse_env_pair, pairs))
    from_file: dict[str, str] = {}
    if file:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise AtonceError(
                f"--env-file {file} cannot be read ({type(error).__name__}).", ExitCode.USAGE
            ) from error
        for binding in parse_stream(StringIO(text)):
            if binding.error or (binding.key and binding.value is None):
                raise AtonceError(
                    f"{file}, line {binding.original.line}: expected KEY=VALUE.", ExitCode.USAGE
                )
        for name, raw in dotenv_values(stream=StringIO(text), interpolate=False).items():
            # ${NAME} expands to the value that the app will read
            known = {**os.environ, **from_file, **given}
            from_file[name] = "".join(atom.resolve(known) for atom in parse_variables(raw or ""))
    return {**from_file, **given}


def _parse_env_pair(pair: str) -> tuple[str, str]:
    """Parse `KEY=VALUE`. Raises AtonceError without the value, which may be a secret."""
    name, mark, value = pair.partition("=")
    if not mark or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise AtonceError(
            "--env expects KEY=VALUE; one of them is not of that form.", ExitCode.USAGE
        )
    return name, value


def idle_wait_file(folder: Path) -> Path:
    """The file whose removal starts the idle watchdog.

    The watchdog changes how threads take turns, which would slow the pings measured at rest.
    """
    return folder / "holds" / "idle.wait"
