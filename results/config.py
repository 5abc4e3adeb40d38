"""A command line's settings: `[tool.atonce]` in pyproject.toml, then `ATONCE_*`, then flags."""

import json
import os
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from results.errors import UsageError

# a comma separates their values; a header, a body, a parameter or a gate may contain one
_COMMA_LISTS = ("route", "only", "exclude")
_TARGET = "target"  # the only argument that may be a setting: CI then runs just `atonce doctor`
# two ways to name an app
_EXCLUSIVE_FLAGS = {_TARGET: {"start", "url"}, "start": {_TARGET}, "url": {_TARGET}}


def _read_settings() -> tuple[Path, dict[str, Any]]:
    here = Path.cwd()
    files = [folder / "pyproject.toml" for folder in (here, *here.parents)]
    path = next((file for file in files if file.is_file()), files[0])
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return path, dict(settings.get("tool", {}).get("atonce", {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"{path} cannot be read for its [tool.atonce]: {error}") from error


def apply_settings(built: Any) -> str:
    """Give a click command line its defaults and variables; return a note. Raises AtonceError."""
    path, settings = _read_settings()
    values, parameters = dict(settings), defaultdict(list)
    for name, command in built.commands.items():
        for parameter in command.params:
            if parameter.param_type_name != "option" and parameter.name != _TARGET:
                continue
            flag = parameter.opts[0].lstrip("-")
            parameters[flag].append((name, parameter))
            if not parameter.multiple:
                parameter.envvar, parameter.show_envvar = _variable(flag), True
            # click would split the variable at blanks, which a route has
            elif text := os.environ.get(_variable(flag)):
                values[flag] = text
    if unknown := [key for key in values if key not in parameters]:
        sentence = f"[tool.atonce] in {path} has {unknown[0]!r}, which is no flag of any command."
        raise UsageError(f"{sentence} Known: {', '.join(sorted(parameters))}.")
    defaults: dict[str, dict[str, Any]] = {name: {} for name in built.commands}
    for flag, value in values.items():
        for name, parameter in parameters[flag]:
            defaults[name][parameter.name] = _default_value(flag, value, parameter)
    built.context_settings = {**built.context_settings, "default_map": defaults}
    return f"[tool.atonce] in {path} sets {', '.join(settings)}." if settings else ""


def _variable(flag: str) -> str:
    return f"ATONCE_{flag.upper().replace('-', '_')}"


def _default_value(flag: str, value: Any, parameter: Any) -> Any:
    """Return a setting as click wants it. A repeatable flag may also be a JSON array."""
    if not parameter.multiple:
        return ",".join(map(str, value)) if isinstance(value, list) else value
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        with suppress(ValueError):
            return [str(item) for item in json.loads(value)]
    return value.split(",") if flag in _COMMA_LISTS else [value]


def given_flags(context: Any, names: Iterable[str]) -> set[str]:
    """Return the flags that the command line or a variable of their own gives."""
    source = context.get_parameter_source
    return {
        name
        for name in names
        if source(name).name == "COMMANDLINE" or os.environ.get(_variable(name))
    }


def resolve_target(context: Any, **arguments: str) -> dict[str, str]:
    """Return target, start and url; a setting yields to a given flag that excludes it."""
    given = given_flags(context, arguments)
    return {
        name: "" if name not in given and given & _EXCLUSIVE_FLAGS[name] else value
        for name, value in arguments.items()
    }
