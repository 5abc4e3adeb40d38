"""Whose code a file is: the user's own, or somebody's whom they installed."""

import sys
from pathlib import Path

INSTALLED = {"site-packages", "dist-packages"}
FOREIGN = (Path(__file__).parent, Path(sys.prefix, "lib"), Path(sys.base_prefix, "lib"))


def is_mine(file: str, home: str) -> bool:
    """Whether a file is the user's: below the app's folder or the current one, and neither installed there nor ours."""
    path = Path(file)
    if not path.is_relative_to(home) and not path.is_relative_to(Path.cwd()):
        return False
    return INSTALLED.isdisjoint(path.parts) and not any(map(path.is_relative_to, FOREIGN))
