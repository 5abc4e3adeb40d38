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

from results.errors import Exit, Trouble


def interpreter(given: str | None, home: Path) -> tuple[str, str]:
    """Which Python serves the app, and why that one."""
    if given:
        found = python_of(Path(given)) or shutil.which(given)
        if not found:
            raise Trouble(f"--python {given} is neither an interpreter nor the folder of a virtual environment.", Exit.USAGE)
        return found, "named with --python"
    active = os.environ.get("VIRTUAL_ENV")
    places = [(Path(active), "the active environment")] if active else []
    for place, why in (*places, (home / ".venv", "found beside the app"), (Path(".venv"), "found in this folder")):
        if found := python_of(place):
            return found, why
    return sys.executable, "the one that runs atonce"


def python_of(place: Path) -> str | None:
    """The interpreter of a virtual environment, or a file that is one itself; not resolved, for a link is its environment."""
    tries = (place / "bin" / "python", place / "Scripts" / "python.exe") if place.is_dir() else (place,)
    return next((os.path.abspath(one) for one in tries if one.is_file() and os.access(one, os.X_OK)), None)  # noqa: PTH100


def variables(pairs: Iterable[str], file: Path | None) -> dict[str, str]:
    """What somebody sets for the app; a flag beats the file. A sentence about them never repeats a value."""
    given = dict(map(parse_pair, pairs))
    found: dict[str, str] = {}
    if file:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Trouble(f"--env-file {file} cannot be read ({type(error).__name__}).", Exit.USAGE) from error
        for one in parse_stream(StringIO(text)):
            if one.error or (one.key and one.value is None):
                raise Trouble(f"{file}, line {one.original.line}: expected KEY=VALUE.", Exit.USAGE)
        for name, raw in dotenv_values(stream=StringIO(text), interpolate=False).items():
            known = {**os.environ, **found, **given}  # ${NAME} stands for what the app will read
            found[name] = "".join(atom.resolve(known) for atom in parse_variables(raw or ""))
    return {**found, **given}


def parse_pair(pair: str) -> tuple[str, str]:
    """`KEY=VALUE`. Raises Trouble otherwise, without the value: it may be a secret."""
    name, mark, value = pair.partition("=")
    if not mark or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise Trouble("--env expects KEY=VALUE; one of them is not of that form.", Exit.USAGE)
    return name, value


def waits_for(folder: Path) -> Path:
    """What the watchdog at rest waits for to go: it changes how threads take turns, and pings feel it."""
    return folder / "holds" / "idle.wait"
