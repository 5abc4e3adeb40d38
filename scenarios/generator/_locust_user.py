"""The one Locust user behind every scenario: it waits for its cell run, connects, and sends.

Listeners connect the load engine to Locust's events. With a driver (`--atonce-plan -`) the job
arrives before the users; without one `standalone.py` listens instead.
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

_POLL_INTERVAL = 0.05  # seconds between two checks for the next job


class LoadUser(User):
    """A user that waits for cell runs, each with one keep-alive connection of its own."""

    abstract = True
    scenario: Scenario
    engine: ClassVar[LoadEngine | None] = None

    def on_start(self) -> None:
        """Register with the load engine. There is none when the options were wrong."""
        self.cell_runs: Queue[CellRun] = Queue()
        if self.engine:
            self.index = self.engine.register_user(self)

    @task
    def run_cell(self) -> None:
        """Take part in one cell run, to the last answer.

        The connection is new: the app may be another process, and a request that was given up may
        have left its answer in the old one.
        """
        cell_run = self.cell_runs.get()
        assert self.engine is not None  # noqa: S101 - the engine made the cell run
        self.client = self.engine.client
        self.connection = self.client.new_connection()
        try:
            if not cell_run.cell.cold:
                self.client.connect(self.connection)
            cell_run.wait_for_start()
            self.send_requests(cell_run)
        finally:
            self.connection.close()
            cell_run.mark_finished()

    def send_requests(self, cell_run: CellRun) -> None:
        """Send where users do (overridden). In an open model a dispatcher sends instead."""


@events.init_command_line_parser.add_listener
def _add_plan_option(parser: LocustArgumentParser, **_: Any) -> None:
    help_text = "'-': one line of JSON on stdin, as atonce's driver writes it."
    parser.add_argument("--atonce-plan", default="", help=help_text, include_in_web_ui=False)
    standalone.add_standalone_options(parser)


@events.init.add_listener
def _set_up_locust(environment: Environment, **_: Any) -> None:
    if environment.parsed_options is None or environment.parsed_options.atonce_plan != "-":
        standalone.register_listeners(environment, LoadUser)
        return
    job = _read_next_job()
    if job is None:
        sys.exit(0)  # the driver changed its mind
    engine = LoadUser.engine = LoadEngine(job, environment)
    sizes = job.user_counts()
    for user_class in environment.user_classes:
        user_class.fixed_count = sizes[user_class.scenario]
    environment.user_classes = [kind for kind in environment.user_classes if kind.fixed_count]
    environment.events.test_start.add_listener(partial(_start_jobs, engine))
    environment.events.quitting.add_listener(partial(_finish_engine, engine))


def _read_next_job() -> Job | None:
    line = sys.stdin.readline()
    return Job.from_json(line) if line else None


def _wait_for_next_job(engine: LoadEngine) -> Job | None:
    """Wait for the driver's next job, without blocking a greenlet; None if there is no more."""
    while not engine.stopping.is_set():
        if gevent.select.select([sys.stdin], [], [], _POLL_INTERVAL)[0]:
            return _read_next_job()
    return None


def _start_jobs(engine: LoadEngine, environment: Environment, **_: Any) -> None:
    def run_jobs() -> None:
        try:
            job: Job | None = engine.job
            while job:
                engine.run_job(job)
                job = _wait_for_next_job(engine)
            # failed requests are a finding, not a failure of Locust
            environment.process_exit_code = 0
        except OSError as error:
            print(f"cannot write more samples: {error.strerror or error}", flush=True)
            environment.process_exit_code = DISK_FULL_EXIT
        except Exception:
            logging.getLogger(__name__).exception("The load engine failed")
            environment.process_exit_code = 70
        if (not engine.stopping.is_set() or engine.write_error) and environment.runner:
            gevent.spawn(environment.runner.quit)

    engine.greenlets.append(gevent.spawn(run_jobs))


def _finish_engine(engine: LoadEngine, **_: Any) -> None:
    """Wait for open requests and write them, whatever ends Locust (plan, signal, time limit)."""
    with contextlib.suppress(OSError):  # the disk is full, which was reported
        engine.finish()
