"""The listener to a doctor run's progress."""

from typing import Protocol

from scenarios.runner.run_plan import ProgressListener


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
