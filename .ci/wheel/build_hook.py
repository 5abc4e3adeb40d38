"""Layout of the wheel: there `atonce` is a package, with our packages in a folder of its own."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PLACES = {
    "atonce.py": "atonce/__init__.py",
    ".ci/wheel/__main__.py": "atonce/__main__.py",
    ".ci/wheel/py.typed": "atonce/py.typed",
    "command_line.py": "atonce/_rooms/command_line.py",
}


class WheelLayout(BuildHookInterface[Any]):
    """Places single files, which hatchling's `sources` cannot rename."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Leave an editable install alone: copies there would hide the clone's own files."""
        if version == "standard":
            build_data["force_include"].update(_PLACES)
