"""The settings of a command line: `[tool.atonce]` of the nearest pyproject.toml, below `ATONCE_*`, below the flags."""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results.errors import Exit, Trouble

LISTS = ("route", "only", "exclude")  # of what a comma separates; a header, a body, a value, a gate may hold one
TARGET = "target"  # the one argument that may be written down: `atonce doctor` is then all that a pipeline says

RIVALS = {TARGET: {"start", "url"}, "start": {TARGET}, "url": {TARGET}}  # two ways to name an app


def settings_here() -> tuple[Path, dict[str, Any]]:
    """The settings, here or above, and where they stand. Raises Trouble when they cannot be read."""
    here = Path.cwd()
    path = next((one for folder in (here, *here.parents) if (one := folder / "pyproject.toml").is_file()), here / "pyproject.toml")
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return path, dict(settings.get("tool", {}).get("atonce", {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Trouble(f"{path} cannot be read for its [tool.atonce]: {error}", Exit.USAGE) from error


def settle(built: Any) -> str:
    """Give a click command line its defaults and variables; a word on the former. Raises Trouble for a key that no command knows."""
    path, settings = settings_here()
    known: dict[str, list[tuple[str, str]]] = {}
    several: dict[str, str | None] = {}
    for name, one in built.commands.items():
        for parameter in (one for one in one.params if one.param_type_name == "option" or one.name == TARGET):
            flag = parameter.opts[0].lstrip("-")
            known.setdefault(flag, []).append((name, parameter.name))
            variable = f"ATONCE_{flag.upper().replace('-', '_')}"
            if parameter.multiple:  # an environment variable would be split at blanks, which a route has
                several[flag] = os.environ.get(variable)
                continue
            parameter.envvar, parameter.show_envvar = variable, True
    defaults: dict[str, dict[str, Any]] = {name: {} for name in built.commands}
    said = {**settings, **{flag: value for flag, value in several.items() if value}}
    for key, value in said.items():
        if key not in known:
            raise Trouble(f"[tool.atonce] in {path} has {key!r}, which no command knows: {', '.join(sorted(known))}.", Exit.USAGE)
        for name, parameter in known[key]:
            words = (value.split(",") if key in LISTS else [value]) if key in several and isinstance(value, str) else value
            defaults[name][parameter] = ",".join(map(str, words)) if isinstance(words, list) and key not in several else words
    built.context_settings = {**built.context_settings, "default_map": defaults}
    return f"[tool.atonce] in {path} sets {', '.join(settings)}." if settings else ""


def typed(context: Any, names: Iterable[str]) -> set[str]:
    """Those that stood in the command line, or in a variable of their own."""
    return {name for name in names if context.get_parameter_source(name).name in {"COMMANDLINE", "ENVIRONMENT"}}


def named(context: Any, **words: str) -> list[str]:
    """TARGET, start and url of a command line, in the order given: what is only written down gives way to what was typed."""
    said = typed(context, words)
    return ["" if name not in said and said & RIVALS[name] else word for name, word in words.items()]
