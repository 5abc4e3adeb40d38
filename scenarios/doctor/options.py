"""The options of a doctor run as typed, and the listener to its progress."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scenarios.runner.run_plan import ProgressListener


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    """One field per flag of `atonce doctor`, not yet parsed. Repeatable flags may be None."""

    target: str = ""
    app_dir: Path | None = None
    factory: bool = False
    python: str | None = None
    workers: int = 1
    loop: str = "auto"
    env: list[str] | None = field(default=None, repr=False)
    env_file: Path | None = None
    start: str = ""
    url: str = ""
    route: list[str] | None = None
    only: list[str] | None = None
    exclude: list[str] | None = None
    param: list[str] | None = field(default=None, repr=False)
    header: list[str] | None = field(default=None, repr=False)
    body: list[str] | None = field(default=None, repr=False)
    budget: str = "8m"
    requests: int = 20_000
    stop_within: str = "10s"
    gate: list[str] | None = None
    allow_host: str | None = None
    cacert: Path | None = None
    insecure: bool = False
    seed: int = 1
    # The launch flags that the user gave, even with their default value
    given: frozenset[str] = frozenset()


class DoctorProgressListener(ProgressListener, Protocol):
    """A progress listener that also gets updates of the total time."""

    def set_total(self, seconds: float) -> None:
        """Take a better estimate of the total."""


class NoProgress:
    """A listener that ignores everything."""

    def on_progress(self, step: str, seconds_done: float) -> None:
        """Ignore a step."""

    def set_total(self, seconds: float) -> None:
        """Ignore a total."""
