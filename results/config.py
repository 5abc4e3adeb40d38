"""The settings of a command line: `[tool.atonce]` of the nearest pyproject.toml, below `ATONCE_*`, below the flags."""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results.errors import AtonceError, ExitCode

_COMMA_LISTS = (
    "route",
    "only",
    "exclude",
)  # of what a comma separates; a header, a body, a value, a gate may hold one
# the one argument that may be written down: `atonce doctor` is then all that a pipeline says
_TARGET = "target"

_EXCLUSIVE_FLAGS = {
    _TARGET: {"start", "url"},
    "start": {_TARGET},
    "url": {_TARGET},
}  # two ways to name an app


def _read_settings() -> tuple[Path, dict[str, Any]]:
    """The settings, here or above, and where they stand. Raises Trouble when they cannot be read."""
    here = Path.cwd()
    path = next(
        (
            candidate
            for folder in (here, *here.parents)
            if (candidate := folder / "pyproject.toml").is_file()
        ),
        here / "pyproject.toml",
    )
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return path, dict(settings.get("tool", {}).get("atonce", {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise AtonceError(
            f"{path} cannot be read for its [tool.atonce]: {error}", ExitCode.USAGE
        ) from error


def apply_settings(built: Any) -> str:
    """Give a click command line its defaults and variables; a word on the former. Raises Trouble for a key that no command knows."""
    path, settings = _read_settings()
    known: dict[str, list[tuple[str, str]]] = {}
    several: dict[str, str | None] = {}
    for name, command in built.commands.items():
        for parameter in (
            command
            for command in command.params
            if command.param_type_name == "option" or command.name == _TARGET
        ):
            flag = parameter.opts[0].lstrip("-")
            known.setdefault(flag, []).append((name, parameter.name))
            variable = f"ATONCE_{flag.upper().replace('-', '_')}"
            if (
                parameter.multiple
            ):  # an environment variable would be split at blanks, which a route has
                several[flag] = os.environ.get(variable)
                continue
            parameter.envvar, parameter.show_envvar = variable, True
    defaults: dict[str, dict[str, Any]] = {name: {} for name in built.commands}
    given = {**settings, **{flag: value for flag, value in several.items() if value}}
    for key, value in given.items():
        if key not in known:
            raise AtonceError(
                f"[tool.atonce] in {path} has {key!r}, which no command knows:"
                f" {', '.join(sorted(known))}.",
                ExitCode.USAGE,
            )
        for name, parameter in known[key]:
            default_value = (
                (value.split(",") if key in _COMMA_LISTS else [value])
                if key in several and isinstance(value, str)
                else value
            )
            defaults[name][parameter] = (
                ",".join(map(str, default_value))
                if isinstance(default_value, list) and key not in several
                else default_value
            )
    built.context_settings = {**built.context_settings, "default_map": defaults}
    return f"[tool.atonce] in {path} sets {', '.join(settings)}." if settings else ""


def given_flags(context: Any, names: Iterable[str]) -> set[str]:
    """Those that stood in the command line, or in a variable of their own."""
    return {
        name
        for name in names
        if context.get_parameter_source(name).name in {"COMMANDLINE", "ENVIRONMENT"}
    }


def resolve_target(context: Any, **arguments: str) -> list[str]:
    """TARGET, start and url of a command line, in the order given: what is only written down gives way to what was typed."""
    given = given_flags(context, arguments)
    return [
        "" if name not in given and given & _EXCLUSIVE_FLAGS[name] else value
        for name, value in arguments.items()
    ]
