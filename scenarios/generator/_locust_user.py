"""The one Locust user that every scenario is made of: it waits for its cue, connects, and performs.

The only module besides the locustfiles that imports Locust. Listeners wire the stage to Locust's
events: with a driver (`--atonce-plan -`) the script arrives before the users, the stage plays it,
and `quitting` waits until all is written; without one `standalone.py` listens instead.
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
from scenarios.generator.cell_run import CellRun
from scenarios.generator.engine import LoadEngine
from scenarios.generator.job import DISK_FULL_EXIT, Job

_POLL_INTERVAL = 0.05  # seconds between two looks for the next script


class LoadUser(User):
    """A user with one keep-alive connection of its own, who acts when called."""

    abstract = True
    scenario: Scenario
    engine: ClassVar[LoadEngine | None] = None

    def on_start(self) -> None:
        """Take a place in the cast. Without a stage the options were wrong: nobody will call."""
        self.cell_runs: Queue[CellRun] = Queue()
        if self.engine:
            self.client = self.engine.client
            self.connection = self.client.new_connection()
            self.index = self.engine.register_user(self)

    @task
    def run_cell(self) -> None:
        """One cell, from cue to last answer."""
        cell_run = self.cell_runs.get()
        try:
            if cell_run.cell.cold:
                self.connection.close()
                self.connection = self.client.new_connection()
            else:
                self.client.connect(self.connection)
            cell_run.wait_for_start()
            self.send_requests(cell_run)
        finally:
            cell_run.mark_finished()

    def send_requests(self, cell_run: CellRun) -> None:
        """What a scenario is. Overridden by those whose users ask; an open model has none, its dispatcher asks."""


@events.init_command_line_parser.add_listener
def _add_plan_option(parser: LocustArgumentParser, **_: Any) -> None:
    """Where the script comes from, and what plain Locust may choose."""
    help_text = "'-': one line of JSON on stdin, as atonce's driver writes it"
    parser.add_argument("--atonce-plan", default="", help=help_text, include_in_web_ui=False)
    standalone.add_standalone_options(parser)


@events.init.add_listener
def _set_up_locust(environment: Environment, **_: Any) -> None:
    """Choose who conducts: a driver with its script, or whoever started Locust."""
    if environment.parsed_options is None or environment.parsed_options.atonce_plan != "-":
        standalone.register_listeners(environment, LoadUser)
        return
    job = _read_next_job()
    if job is None:
        sys.exit(0)  # the driver changed its mind
    engine = LoadUser.engine = LoadEngine(job, environment)
    for user_class in environment.user_classes:
        user_class.fixed_count = job.user_counts()[user_class.scenario]
    environment.user_classes = [
        user_class for user_class in environment.user_classes if user_class.fixed_count
    ]
    environment.events.test_start.add_listener(partial(_start_jobs, engine))
    environment.events.quitting.add_listener(partial(_finish_engine, engine))


def _read_next_job() -> Job | None:
    """The driver's next line; None when it has no more."""
    line = sys.stdin.readline()
    return Job.from_json(line) if line else None


def _wait_for_next_job(engine: LoadEngine) -> Job | None:
    """The next line, once it comes: a plain read would stop every greenlet. None as well when somebody stops Locust."""
    while not engine.stopping.is_set():
        if gevent.select.select([sys.stdin], [], [], _POLL_INTERVAL)[0]:
            return _read_next_job()
    return None


def _start_jobs(engine: LoadEngine, environment: Environment, **_: Any) -> None:
    """Play beside the users, script after script, then quit."""

    def run_jobs() -> None:
        try:
            job: Job | None = engine.job
            while job:
                engine.run_job(job)
                job = _wait_for_next_job(engine)
            environment.process_exit_code = (
                0  # what went wrong on purpose is a finding, not a failure of Locust
            )
        except OSError as error:
            print(f"samples cannot be written any further: {error.strerror or error}", flush=True)
            environment.process_exit_code = DISK_FULL_EXIT
        except Exception:
            logging.getLogger(__name__).exception("the stage failed")
            environment.process_exit_code = 70
        if (not engine.stopping.is_set() or engine.write_error) and environment.runner:
            gevent.spawn(environment.runner.quit)

    engine.greenlets.append(gevent.spawn(run_jobs))


def _finish_engine(engine: LoadEngine, **_: Any) -> None:
    """Whoever ends Locust - the plan, a signal, a time limit - the open answers are waited for and written first."""
    with contextlib.suppress(OSError):  # the disk is full, and has been told so
        engine.finish()
