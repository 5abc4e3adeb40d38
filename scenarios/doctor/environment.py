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

from results.errors import UsageError


def find_interpreter(given: str | None, app_dir: Path) -> tuple[str, str]:
    """Return the Python that serves the app, and why that one."""
    if given:
        if path := _venv_python(Path(given)) or shutil.which(given):
            return path, "named with --python"
        why = "neither an interpreter nor a virtual environment"
        raise UsageError(f"invalid --python {given}: {why}. Example: --python .venv")
    places = [(app_dir / ".venv", "found next to the app"), (Path(".venv"), "found in this folder")]
    if active := os.environ.get("VIRTUAL_ENV"):
        places.insert(0, (Path(active), "the active environment"))
    for folder, why in places:
        if path := _venv_python(folder):
            return path, why
    return sys.executable, "the one that runs atonce"


def _venv_python(path: Path) -> str | None:
    """Return the interpreter of a virtual environment, or the file itself if it is executable."""
    names = ("bin/python", "Scripts/python.exe")
    for candidate in [path / name for name in names] if path.is_dir() else [path]:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            # Not resolved: the link itself selects the environment
            return os.path.abspath(candidate)  # noqa: PTH100
    return None


def load_variables(pairs: Iterable[str], file: Path | None) -> dict[str, str]:
    """Return the user's variables for the app. Flags beat the file; errors show no value."""
    given = dict(map(_parse_env_pair, pairs))
    if not file:
        return given
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read --env-file {file} ({type(error).__name__}).") from error
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key and binding.value is None):
            raise UsageError(f"{file}, line {binding.original.line}: expected KEY=VALUE.")
    from_file: dict[str, str] = {}
    for name, raw in dotenv_values(stream=StringIO(text), interpolate=False).items():
        # ${NAME} expands to the value that the app will read
        known = {**os.environ, **from_file, **given}
        from_file[name] = "".join(atom.resolve(known) for atom in parse_variables(raw or ""))
    return from_file | given


def _parse_env_pair(pair: str) -> tuple[str, str]:
    """Parse `KEY=VALUE`. Raises UsageError without the value, which may be a secret."""
    name, mark, value = pair.partition("=")
    if not mark or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise UsageError("invalid --env (not shown: it may be secret). Expected KEY=VALUE.")
    return name, value
