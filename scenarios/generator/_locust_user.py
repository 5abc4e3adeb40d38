"""The one Locust user that every scenario is made of: it waits for its cue, connects, and performs.

The only module besides the locustfiles that imports Locust. Listeners wire the stage to Locust's events: with a driver
(`--atonce-plan -`) the script arrives before the users, the stage plays it, and `quitting` waits until all is written;
without one `standalone.py` listens instead.
"""

import contextlib
import logging
import sys
from functools import partial
from typing import Any, ClassVar

import gevent
import gevent.select
from gevent.queue import Queue
from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from results.schema import Scenario
from scenarios.generator import standalone
from scenarios.generator.cell_run import Cue
from scenarios.generator.engine import Stage
from scenarios.generator.job import DISK_FULL, Script

A_LOOK = 0.05  # seconds between two looks for the next script


class Player(User):
    """A user with one keep-alive connection of its own, who acts when called."""

    abstract = True
    scenario: Scenario
    stage: ClassVar[Stage | None] = None

    def on_start(self) -> None:
        """Take a place in the cast. Without a stage the options were wrong: nobody will call."""
        self.cues: Queue[Cue] = Queue()
        if self.stage:
            self.client = self.stage.client
            self.connection = self.client.new_connection()
            self.index = self.stage.join(self)

    @task
    def play(self) -> None:
        """One cell, from cue to last answer."""
        cue = self.cues.get()
        try:
            if cue.cell.cold:
                self.connection.close()
                self.connection = self.client.new_connection()
            else:
                self.client.open(self.connection)
            cue.ready()
            self.perform(cue)
        finally:
            cue.finished()

    def perform(self, cue: Cue) -> None:
        """What a scenario is. Overridden by those whose users ask; an open model has none, its dispatcher asks."""


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser, **_: Any) -> None:
    """Where the script comes from, and what plain Locust may choose."""
    words = "'-': one line of JSON on stdin, as atonce's driver writes it"
    parser.add_argument("--atonce-plan", default="", help=words, include_in_web_ui=False)
    standalone.add_options(parser)


@events.init.add_listener
def set_up(environment: Environment, **_: Any) -> None:
    """Choose who conducts: a driver with its script, or whoever started Locust."""
    if environment.parsed_options is None or environment.parsed_options.atonce_plan != "-":
        standalone.listen(environment, Player)
        return
    script = next_script()
    if script is None:
        sys.exit(0)  # the driver changed its mind
    stage = Player.stage = Stage(script, environment)
    for kind in environment.user_classes:
        kind.fixed_count = script.cast()[kind.scenario]
    environment.user_classes = [kind for kind in environment.user_classes if kind.fixed_count]
    environment.events.test_start.add_listener(partial(start_playing, stage))
    environment.events.quitting.add_listener(partial(finish, stage))


def next_script() -> Script | None:
    """The driver's next line; None when it has no more."""
    line = sys.stdin.readline()
    return Script.from_json(line) if line else None


def awaited_script(stage: Stage) -> Script | None:
    """The next line, once it comes: a plain read would stop every greenlet. None as well when somebody stops Locust."""
    while not stage.stopping.is_set():
        if gevent.select.select([sys.stdin], [], [], A_LOOK)[0]:
            return next_script()
    return None


def start_playing(stage: Stage, environment: Environment, **_: Any) -> None:
    """Play beside the users, script after script, then quit."""

    def conduct() -> None:
        try:
            script: Script | None = stage.script
            while script:
                stage.play(script)
                script = awaited_script(stage)
            environment.process_exit_code = 0  # what went wrong on purpose is a finding, not a failure of Locust
        except OSError as error:
            print(f"samples cannot be written any further: {error.strerror or error}", flush=True)
            environment.process_exit_code = DISK_FULL
        except Exception:
            logging.getLogger(__name__).exception("the stage failed")
            environment.process_exit_code = 70
        if (not stage.stopping.is_set() or stage.broken) and environment.runner:
            gevent.spawn(environment.runner.quit)

    stage.conductors.append(gevent.spawn(conduct))


def finish(stage: Stage, **_: Any) -> None:
    """Whoever ends Locust - the plan, a signal, a time limit - the open answers are waited for and written first."""
    with contextlib.suppress(OSError):  # the disk is full, and has been told so
        stage.finish()
