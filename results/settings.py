"""The settings that a project keeps for us: `[tool.atonce]` of the nearest pyproject.toml."""

import tomllib
from pathlib import Path
from typing import Any

from results.trouble import Exit, Trouble


def settings_here() -> tuple[Path, dict[str, Any]]:
    """The settings, here or above, and where they stand. Raises Trouble when they cannot be read."""
    here = Path.cwd()
    path = next((one for folder in (here, *here.parents) if (one := folder / "pyproject.toml").is_file()), here / "pyproject.toml")
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return path, dict(settings.get("tool", {}).get("atonce", {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Trouble(f"{path} cannot be read for its [tool.atonce]: {error}", Exit.USAGE) from error
