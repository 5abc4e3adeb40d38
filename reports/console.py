"""Terminal output: where colour is allowed, and how a long run shows its progress."""

import os
import sys
import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

_MINUTES_FROM = 120.0  # seconds from which the time left is in minutes
_PIPED_WIDTH = 100  # columns, where the terminal has none
_REDRAW_INTERVAL = 0.5  # seconds between two redraws of the bar


def create_console(stream: Any) -> Console:
    """Create a rich console without colour for NO_COLOR, CI, pipes and dumb terminals.

    FORCE_COLOR wins over all of these.
    """
    forced = bool(os.environ.get("FORCE_COLOR"))
    plain = bool(os.environ.get("NO_COLOR") or os.environ.get("CI")) and not forced
    return Console(
        file=stream,
        no_color=plain,
        force_terminal=True if forced else None,
        width=None if stream.isatty() or os.environ.get("COLUMNS") else _PIPED_WIDTH,
        color_system=None if plain else "auto",
    )


class ProgressDisplay:
    """Progress and time left, on stderr: a bar on a terminal, else a line per step."""

    def __init__(self, total: float, *, quiet: bool) -> None:
        self.total, self.done, self.step, self.drawn = total, 0.0, "", 0.0
        self.console = create_console(sys.stderr)
        self.quiet = quiet
        self.lines = not self.console.is_terminal or bool(os.environ.get("CI"))
        # Refreshed by hand: a separate thread would wake up on the load generator's core.
        self.bar = Bar(
            *(BarColumn(24), TextColumn("{task.fields[left]}"), TextColumn("{task.description}")),
            console=self.console,
            auto_refresh=False,
            transient=True,
            disable=quiet or self.lines,
        )
        self.task = self.bar.add_task("", total=total, left="")

    def __enter__(self) -> Self:
        """Show the bar."""
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self.bar.stop()

    def set_total(self, seconds: float) -> None:
        """Update the expected total."""
        self.total = seconds
        self.bar.update(self.task, total=seconds)

    def on_progress(self, step: str, seconds_done: float) -> None:
        """Show a step and the seconds done; redraws at most twice a second."""
        self.done = max(self.done, seconds_done)
        seconds = max(0.0, self.total - self.done)
        time_left = f"{seconds:3.0f} s" if seconds < _MINUTES_FROM else f"{seconds / 60:2.0f} min"
        left = f"about {time_left} left"
        is_new, now = step != self.step, time.perf_counter()
        if self.lines and not self.quiet and is_new:
            print(f"{left}  {step}", file=sys.stderr, flush=True)
        if is_new or now - self.drawn > _REDRAW_INTERVAL:
            self.drawn, done = now, self.done
            self.bar.update(self.task, completed=done, description=step, left=left, refresh=True)
        self.step = step
