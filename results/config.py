"""A command line's settings: `[tool.atonce]` in pyproject.toml, then `ATONCE_*`, then flags."""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results.errors import AtonceError, ExitCode

# options whose values a comma separates; a header, a body, a value, a gate may contain one
_COMMA_LISTS = ("route", "only", "exclude")
# the only argument that may be a setting: `atonce doctor` is then a pipeline's whole command
_TARGET = "target"

# two ways to name an app
_EXCLUSIVE_FLAGS = {_TARGET: {"start", "url"}, "start": {_TARGET}, "url": {_TARGET}}


def _read_settings() -> tuple[Path, dict[str, Any]]:
    """Read the nearest settings file. Raises AtonceError if it is not readable."""
    here = Path.cwd()
    candidates = [folder / "pyproject.toml" for folder in (here, *here.parents)]
    path = next((candidate for candidate in candidates if candidate.is_file()), candidates[0])
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return path, dict(settings.get("tool", {}).get("atonce", {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise AtonceError(
            f"{path} cannot be read for its [tool.atonce]: {error}", ExitCode.USAGE
        ) from error


def apply_settings(built: Any) -> str:
    """Give a click command line its defaults and variables, and return a note on the settings.

    Raises AtonceError for a key that no command knows.
    """
    path, settings = _read_settings()
    known: dict[str, list[tuple[str, str]]] = {}
    several: dict[str, str | None] = {}
    for name, command in built.commands.items():
        for parameter in command.params:
            if parameter.param_type_name != "option" and parameter.name != _TARGET:
                continue
            flag = parameter.opts[0].lstrip("-")
            known.setdefault(flag, []).append((name, parameter.name))
            variable = f"ATONCE_{flag.upper().replace('-', '_')}"
            # click would split the variable at blanks, which a route has
            if parameter.multiple:
                several[flag] = os.environ.get(variable)
            else:
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
        default = value
        if key in several and isinstance(value, str):
            default = value.split(",") if key in _COMMA_LISTS else [value]
        elif key not in several and isinstance(value, list):
            default = ",".join(map(str, value))
        for name, parameter in known[key]:
            defaults[name][parameter] = default
    built.context_settings = {**built.context_settings, "default_map": defaults}
    return f"[tool.atonce] in {path} sets {', '.join(settings)}." if settings else ""


def given_flags(context: Any, names: Iterable[str]) -> set[str]:
    """Return those flags that were given in the command line, or in a variable of their own."""
    sources = {"COMMANDLINE", "ENVIRONMENT"}
    return {name for name in names if context.get_parameter_source(name).name in sources}


def resolve_target(context: Any, **arguments: str) -> list[str]:
    """Return TARGET, start and url in order; a setting gives way to a typed exclusive flag."""
    given = given_flags(context, arguments)
    return [
        "" if name not in given and given & _EXCLUSIVE_FLAGS[name] else value
        for name, value in arguments.items()
    ]
