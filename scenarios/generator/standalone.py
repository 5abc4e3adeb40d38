"""Plain Locust without a driver: `locust -f scenarios/crowd.py --host ...`; each test is one run.

Here are our options in Locust's command line, and the worker that sends the load: a local runner or
a Locust worker. `standalone_run.py` owns the run.
"""

import argparse
import logging
import os
import signal
import sys
from dataclasses import replace
from typing import Any

import gevent

from results.errors import AtonceError, ExitCode
from results.schema import ArrivalDistribution, ConnectionMode
from scenarios.generator.engine import LoadEngine
from scenarios.generator.job import Job
from scenarios.generator.standalone_run import StandaloneRun
from scenarios.plans.custom import RATE_SHAPES, parse_host

log = logging.getLogger("atonce")


def add_standalone_options(parser: Any) -> None:
    """Add our options to Locust's command line and page; Locust hands them to its workers."""
    add = parser.add_argument
    add("--atonce-route", default="GET /broken-async", help="The request, such as 'GET /items/1'.")
    add("--atonce-rate", default="20/s", help="steady: arrivals, all processes together (300/m).")
    help_text = "steady: how the gaps between arrivals are spread."
    add("--atonce-arrivals", default="poisson", choices=list(ArrivalDistribution), help=help_text)
    help_text = "steady: how the rate moves; --atonce-rate is its highest."
    add("--atonce-shape", default="flat", choices=list(RATE_SHAPES), help=help_text)
    help_text = (
        "Connections: opened before the load (warm), by the first requests (cold), or one per"
        " request (fresh; steady only)."
    )
    add("--atonce-connections", default="warm", choices=list(ConnectionMode), help=help_text)
    help_text = "steady: most requests in flight per process. The rest is counted, not sent."
    add("--atonce-cap", type=int, default=900, help=help_text)
    add("--atonce-think", default="0s", help="crowd: pause of a user after each answer.")
    add("--atonce-drain", default="10s", help="How long to wait for answers when the test stops.")
    add("--atonce-seed", type=int, default=1, help="Seed of the arrivals.")
    hidden: dict[str, Any] = {"default": "", "include_in_web_ui": False}
    help_text = "Folder for the runs. Default: results/ in a clone, else ./atonce-results."
    add("--atonce-out", help=help_text, env_var="ATONCE_OUT", **hidden)
    add("--atonce-allow-host", help="A host other than this machine that you may load.", **hidden)
    add("--atonce-script", help=argparse.SUPPRESS, **hidden)


def register_listeners(environment: Any, user_class: Any) -> None:
    """Take part in this Locust process; users of `user_class` find their load engine there."""
    runner, options = environment.runner, environment.parsed_options
    role = type(runner).__name__
    standalone_run = None if role == "WorkerRunner" else StandaloneRun(environment)
    worker = None if role == "MasterRunner" else _StandaloneWorker(environment, user_class)
    listeners = environment.events
    if standalone_run:
        try:
            standalone_run.run_options(run_time=None)
            if options.headless:
                parse_host(environment.host or "", options.atonce_allow_host)
        except AtonceError as error:
            sys.exit(f"atonce: {error.sentence}")
        if options.spawn_rate is None:
            # no ramp was requested, and a crowd that still grows is no level
            options.spawn_rate = options.num_users
        listeners.test_start.add_listener(standalone_run.start)
        listeners.spawning_complete.add_listener(standalone_run.on_all_users_spawned)
        listeners.test_stopping.add_listener(standalone_run.delay_stop)
        listeners.test_stop.add_listener(standalone_run.on_test_stopped)
        listeners.quitting.add_listener(standalone_run.on_quitting)
    if worker:
        listeners.test_start.add_listener(worker.start)
        listeners.test_stopping.add_listener(worker.finish)
        # `quitting` runs in reverse: drained before sealed
        listeners.quitting.add_listener(worker.finish)
        runner.register_message("atonce-go", worker.on_all_users_spawned, concurrent=True)
        runner.register_message("atonce-stop", worker.finish, concurrent=True)
    interruption = _InterruptHandler(environment, standalone_run)
    gevent.signal_handler(signal.SIGINT, interruption.handle_sigint)
    # Locust's own handler ends the process
    gevent.signal_handler(signal.SIGTERM, interruption.mark_interrupted)


class _InterruptHandler:
    """Handles Ctrl-C between greenlets: Python would raise it inside one, perhaps mid-request.

    Once: stop, drain, seal, 130. Twice: leave at once. A master stops its forked workers.
    """

    def __init__(self, environment: Any, standalone_run: StandaloneRun | None) -> None:
        self.environment, self.standalone_run, self.count = environment, standalone_run, 0

    def mark_interrupted(self) -> None:
        if self.standalone_run:
            self.standalone_run.mark_interrupted()

    def handle_sigint(self) -> None:
        self.count += 1
        if self.count > 1:
            os.write(2, b"atonce: left at once; the run keeps what was written\n")
            os._exit(ExitCode.INTERRUPTED)
        if self.standalone_run is None and self.environment.parsed_options.processes:
            return
        os.write(2, b"\natonce: stopping; waiting for answers (Ctrl-C again leaves at once)\n")
        self.mark_interrupted()
        self.environment.runner.quit()
        if self.environment.web_ui:
            self.environment.web_ui.stop()


class _StandaloneWorker:
    """Sends its part of a test: in a local runner, or a worker of `--processes` or `--worker`."""

    def __init__(self, environment: Any, user_class: Any) -> None:
        self.environment, self.user_class = environment, user_class
        self.engine: LoadEngine | None = None

    def start(self, **_: Any) -> None:
        """Start the job that Locust's options carry; there is none when they were wrong."""
        self.user_class.engine = None
        if not self.environment.parsed_options.atonce_script:
            return
        job = Job.from_json(self.environment.parsed_options.atonce_script)
        name = self.environment.runner.client_id
        if not job.folder.is_dir():
            message = "Worker %s cannot see %s: every worker must run on this machine."
            log.error(message, name, job.folder)
            sys.exit(1)
        # a late worker has no share
        part = job.workers.index(name) if name in job.workers else len(job.workers)
        job = replace(job, worker=f"worker-{part}-{os.getpid()}")
        engine = LoadEngine(job, self.environment, part, len(job.workers))
        self.engine = self.user_class.engine = engine
        engine.start_standalone()
        gevent.spawn(self.finish_when_done, engine)

    def finish_when_done(self, engine: LoadEngine) -> None:
        """End a burst, or a finished schedule, by itself."""
        gevent.joinall(engine.greenlets)
        self.close_spools(engine)

    def on_all_users_spawned(self, msg: Any, **_: Any) -> None:
        if self.engine:
            users = self.environment.runner.user_count
            self.engine.on_all_users_spawned(users, msg.data["together"])

    def finish(self, **_: Any) -> None:
        """Drain and write; only then does Locust kill the users."""
        if engine := self.engine:
            engine.stopping.set()
            self.close_spools(engine)

    def close_spools(self, engine: LoadEngine) -> None:
        """Close the spools when all is drained; the first greenlet to get there marks it."""
        try:
            engine.finish()
        except OSError as error:
            reason = error.strerror or error
            log.error("Cannot write more samples: %s", reason)  # noqa: TRY400 - no traceback
            self.engine = None
            self.environment.process_exit_code = int(ExitCode.UNTRUSTED)
            gevent.spawn(self.environment.runner.quit)
        if self.engine is engine:
            self.engine = None
            (engine.job.folder / "samples" / f"{engine.job.worker}.through").touch()
