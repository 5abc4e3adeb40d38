"""Plain Locust without a driver: `locust -f scenarios/crowd.py --host ...`, headless, with its page, with its processes.

Each test is one run. Here are our options in Locust's command line, and whoever plays: the local runner or a worker. Who owns
the run is next door, in `_owner.py`; on a local runner both live in one process.
"""

import argparse
import logging
import os
import signal
import sys
from typing import Any

import gevent

from results.errors import Exit, Trouble
from results.schema import Law, Pool
from scenarios.generator.engine import Stage
from scenarios.generator.job import Script
from scenarios.generator.standalone_run import Owner
from scenarios.plans.custom import SHAPES, parse_host

log = logging.getLogger("atonce")


def add_options(parser: Any) -> None:
    """Our options in Locust's command line and page; Locust hands them to its workers."""
    add = parser.add_argument
    add("--atonce-route", default="GET /broken-async", help="What is asked, such as 'GET /items/1'.")
    add("--atonce-rate", default="20/s", help="steady: arrivals, such as 50/s or 300/m, of all processes together.")
    add("--atonce-arrivals", default="poisson", choices=list(Law), help="steady: how the gaps between arrivals are spread.")
    add("--atonce-shape", default="flat", choices=list(SHAPES), help="steady: how the rate moves; --atonce-rate is its highest.")
    add(
        "--atonce-connections",
        default="warm",
        choices=list(Pool),
        help="Opened before the load, by the first requests (cold), or one each (fresh: steady).",
    )
    add("--atonce-cap", type=int, default=900, help="steady: requests in flight per process, at most; the rest is counted.")
    add("--atonce-think", default="0s", help="crowd: pause of a user between answer and next question.")
    add("--atonce-drain", default="10s", help="How long to wait for answers when the test stops.")
    add("--atonce-seed", type=int, default=1, help="Seed of the arrivals.")
    hidden: dict[str, Any] = {"include_in_web_ui": False}
    add(
        "--atonce-out",
        default="",
        help="Folder for the runs. Default: results/ in a clone, else ./atonce-results.",
        env_var="ATONCE_OUT",
        **hidden,
    )
    add("--atonce-allow-host", default="", help="A host that is not this machine and may be loaded all the same.", **hidden)
    add("--atonce-script", default="", help=argparse.SUPPRESS, **hidden)


def listen(environment: Any, player: Any) -> None:
    """Take part in this Locust process. `player` is the class whose users look for their stage there."""
    runner, options = environment.runner, environment.parsed_options
    role = type(runner).__name__
    owner = None if role == "WorkerRunner" else Owner(environment)
    worker = None if role == "MasterRunner" else Worker(environment, player)
    if owner:
        try:
            owner.order(run_time=None)
            if options.headless:
                parse_host(environment.host or "", options.atonce_allow_host)
        except Trouble as trouble:
            sys.exit(f"atonce: {trouble.sentence}")
        if options.spawn_rate is None:
            options.spawn_rate = options.num_users  # nobody asked for a ramp, and a crowd that still grows is no level
        environment.events.test_start.add_listener(owner.start)
        environment.events.spawning_complete.add_listener(owner.everybody_is_here)
    if worker:
        environment.events.test_start.add_listener(worker.start)
        environment.events.test_stopping.add_listener(worker.finish)
        runner.register_message("atonce-go", worker.everybody_is_here, concurrent=True)
        runner.register_message("atonce-stop", worker.finish, concurrent=True)
    if owner:
        environment.events.test_stopping.add_listener(owner.hold)
        environment.events.test_stop.add_listener(owner.stopped)
        environment.events.quitting.add_listener(owner.quit)
    if worker:
        environment.events.quitting.add_listener(worker.finish)  # `quitting` runs in reverse: drained before sealed
    interruption = Interruption(environment, owner)
    gevent.signal_handler(signal.SIGINT, interruption.ask)
    gevent.signal_handler(signal.SIGTERM, interruption.note)  # Locust's own handler, beside it, ends the process


class Interruption:
    """Ctrl-C, seen between greenlets: Python would raise it inside one of them, halfway through a request perhaps.

    Once: stop, drain, seal, 130. Twice: leave at once. A forked worker leaves the first one to its master, who tells it.
    """

    def __init__(self, environment: Any, owner: Owner | None) -> None:
        self.environment, self.owner, self.count = environment, owner, 0

    def note(self) -> None:
        """Remember how this came to its end."""
        if self.owner:
            self.owner.interrupted()

    def ask(self) -> None:
        """A Ctrl-C has come."""
        self.count += 1
        if self.count > 1:
            os.write(2, b"atonce: left at once; what was written until now is kept\n")
            os._exit(Exit.INTERRUPTED)
        if self.owner is None and self.environment.parsed_options.processes:
            return
        os.write(2, b"\natonce: stopping; waiting for the answers still out (once more leaves at once)\n")
        self.note()
        self.environment.runner.quit()
        if self.environment.web_ui:
            self.environment.web_ui.stop()


class Worker:
    """Plays its part of a test: the local runner, or a worker of `--processes` or `--worker`."""

    def __init__(self, environment: Any, player: Any) -> None:
        self.environment, self.player = environment, player
        self.stage: Stage | None = None

    def start(self, **_: Any) -> None:
        """The script lies in Locust's options; none when the options were wrong."""
        self.player.stage = None
        if not self.environment.parsed_options.atonce_script:
            return
        script = Script.from_json(self.environment.parsed_options.atonce_script)
        name = self.environment.runner.client_id
        if not script.folder.is_dir():
            message = f"worker {name} cannot see {script.folder}: workers on other machines are not supported"
            log.error(message)
            sys.exit(1)
        part = script.workers.index(name) if name in script.workers else len(script.workers)  # a late one has no share
        script = Script(script.folder, f"worker-{part}-{os.getpid()}", script.seed, script.cells, script.workers, script.begins)
        self.stage = self.player.stage = Stage(script, self.environment, part, len(script.workers))
        self.stage.improvise()
        gevent.spawn(self.until_through, self.stage)

    def until_through(self, stage: Stage) -> None:
        """A burst, or a schedule that has ended, ends by itself."""
        gevent.joinall(stage.conductors)
        self.write(stage)

    def everybody_is_here(self, msg: Any, **_: Any) -> None:
        """Locust has spawned all users, everywhere."""
        if self.stage:
            self.stage.everybody_is_here(self.environment.runner.user_count, msg.data["together"])

    def finish(self, **_: Any) -> None:
        """Drain and write; Locust kills the users only afterwards."""
        if stage := self.stage:
            stage.stopping.set()
            self.write(stage)

    def write(self, stage: Stage) -> None:
        """Close the spools when all is drained, then say so. Several greenlets may wait here; the first one says it."""
        try:
            stage.finish()
        except OSError as error:
            log.error("samples cannot be written any further: %s", error.strerror or error)  # noqa: TRY400 - a sentence will do
            self.stage = None
            self.environment.process_exit_code = int(Exit.UNTRUSTED)
            gevent.spawn(self.environment.runner.quit)
        if self.stage is stage:
            self.stage = None
            (stage.script.folder / "samples" / f"{stage.script.worker}.through").touch()
