"""What an app needs from around it: the interpreter of its own environment, and the variables that somebody sets for it."""

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
    """Which Python serves the app, and why that one."""
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
    """The interpreter of a virtual environment, or a file that is one itself; not resolved, for a link is its environment."""
    candidates = (
        (path / "bin" / "python", path / "Scripts" / "python.exe") if path.is_dir() else (path,)
    )
    return next(
        (
            os.path.abspath(candidate)
            for candidate in candidates
            if candidate.is_file() and os.access(candidate, os.X_OK)
        ),
        None,
    )  # noqa: PTH100


def load_variables(pairs: Iterable[str], file: Path | None) -> dict[str, str]:
    """What somebody sets for the app; a flag beats the file. A sentence about them never repeats a value."""
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
            known = {
                **os.environ,
                **from_file,
                **given,
            }  # ${NAME} stands for what the app will read
            from_file[name] = "".join(atom.resolve(known) for atom in parse_variables(raw or ""))
    return {**from_file, **given}


def _parse_env_pair(pair: str) -> tuple[str, str]:
    """`KEY=VALUE`. Raises Trouble otherwise, without the value: it may be a secret."""
    name, mark, value = pair.partition("=")
    if not mark or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise AtonceError(
            "--env expects KEY=VALUE; one of them is not of that form.", ExitCode.USAGE
        )
    return name, value


def idle_wait_file(folder: Path) -> Path:
    """What the watchdog at rest waits for to go: it changes how threads take turns, and pings feel it."""
    return folder / "holds" / "idle.wait"
