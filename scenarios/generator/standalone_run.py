"""Owns the runs of plain Locust, one per test: in the local runner, or the master.

It hands the job to the workers inside Locust's own options, delays the end until every worker has
drained and written, and seals. Workers say with a file that they are done, because Locust's
messages do not survive Ctrl-C.
"""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent

from results.errors import AtonceError, ExitCode
from results.run_info import Plan, RunInfo
from results.schema import ArrivalDistribution, Cell, ConnectionMode, Scenario, Status
from results.store import RunWriter, default_root
from scenarios.generator.cell_run import clock, wait_for
from scenarios.generator.job import Job
from scenarios.plans.custom import (
    MAX_DURATION,
    NEIGHBOUR_ROUTES,
    PING_RATE,
    RunOptions,
    parse_duration,
    parse_host,
    parse_rate,
    parse_route,
)
from scenarios.system.machine import describe_machine, package_versions

log = logging.getLogger("atonce")
# seconds between the start of a test and an open model's first arrival, to open connections
_LEAD_TIME = 1.0
_END_MARGIN = 0.3  # seconds before Locust's time limit at which arrivals end
_WRITE_GRACE = 10.0  # seconds that a worker may take to write what it has, after the drain


class StandaloneRun:
    """Owns the runs of a local runner or a master, one per test."""

    def __init__(self, environment: Any) -> None:
        self.environment, self.options = environment, environment.parsed_options
        self.run: RunWriter | None = None
        self.workers: tuple[str, ...] = ()
        self.is_stop_sent, self.is_interrupted = False, False

    def run_options(self, run_time: float | None) -> RunOptions:
        """Return what Locust's options mean. Raises AtonceError for what cannot be read."""
        options = self.options
        host = parse_host(self.environment.host or "127.0.0.1", options.atonce_allow_host)
        if int(options.atonce_cap) < 1:
            raise AtonceError(
                f"--atonce-cap {options.atonce_cap} lets nothing out: it must be at least 1.",
                ExitCode.USAGE,
            )
        return RunOptions(
            scenario="",
            routes=(parse_route(options.atonce_route),),
            rates=(parse_rate(options.atonce_rate),),
            seconds=max(1.0, run_time - _LEAD_TIME - _END_MARGIN) if run_time else MAX_DURATION,
            think=parse_duration(options.atonce_think, least=0.0),
            distribution=ArrivalDistribution(options.atonce_arrivals),
            shape=options.atonce_shape,
            pool=ConnectionMode(options.atonce_connections),
            cap=int(options.atonce_cap),
            drain=parse_duration(options.atonce_drain, least=0.0),
            prefix=host.path.rstrip("/"),
        )

    def cells(self) -> list[Cell]:
        """Return one cell per kind of user and route, all at once, with open-ended windows."""
        run_options = self.run_options(self.options.run_time)
        users = self.environment.runner.target_user_count
        (route,), (rate,) = run_options.routes, run_options.rates
        cells = {
            Scenario.BURST: [run_options.burst_cell(route, users, 1)],
            Scenario.CROWD: [replace(run_options.crowd_cell(route, users, 1), stagger=0.0)],
            Scenario.STEADY: [run_options.steady_cell(route, rate, 1)],
            Scenario.NEIGHBOURS: [
                run_options.steady_cell(neighbour, PING_RATE, 1) for neighbour in NEIGHBOUR_ROUTES
            ],
        }
        kinds = {user_class.scenario for user_class in self.environment.user_classes}
        return [
            replace(cell, window=0.0, longest=0.0)
            for kind, cells_of_kind in cells.items()
            if kind in kinds
            for cell in cells_of_kind
        ]

    def start(self, **_: Any) -> None:
        """Begin a test: make a folder and a job, and log what Locust's options mean here."""
        self.seal()
        runner, options = self.environment.runner, self.options
        clients = getattr(runner, "clients", None)
        self.workers = (
            (runner.client_id,) if clients is None else tuple(client.id for client in clients.ready)
        )
        try:
            parse_host(self.environment.host or "", options.atonce_allow_host)
            cells = self.cells()
            root = Path(options.atonce_out) if options.atonce_out else default_root()
            self.run = RunWriter.create(root, cells[0].scenario)
            self.is_stop_sent, self.is_interrupted = False, False
            self.run.open(self._run_info(cells))
        except (AtonceError, OSError) as error:
            log.error(error)  # noqa: TRY400 - a sentence, no traceback
            self.run, options.atonce_script = None, ""
            if not self.environment.web_ui:
                sys.exit(int(ExitCode.USAGE))
            gevent.spawn(runner.stop)  # with Locust's page: correct it there, and start again
            return
        job = Job(
            self.run.path, "", options.atonce_seed, tuple(cells), self.workers, clock() + _LEAD_TIME
        )
        options.atonce_script = job.to_json()
        for cell in cells:
            if cell.arrivals:
                peak_rate = max(max(piece[1:]) for piece in cell.arrivals.profile)
                message = "%s is an open model: %s arrivals, %g/s at most, whatever -u and -r say."
                log.info(message, cell.route, cell.arrivals.law, peak_rate)
        gevent.spawn(self._stop_when_done, self.run)

    def _run_info(self, cells: list[Cell]) -> RunInfo:
        return RunInfo(
            command="locust",
            scenario=cells[0].scenario,
            host=self.environment.host,
            seed=self.options.atonce_seed,
            plan=Plan(cells=cells),
            schedule="made from seed and plan",
            loop="unknown",
            workers=len(self.workers),
            machine=describe_machine(measure_load=False),
            packages=package_versions(),
            connections=self.run_options(None).connections,
        )

    def _stop_when_done(self, run: RunWriter) -> None:
        while self.run is run and not self._are_workers_done():
            gevent.sleep(0.2)
        runner = self.environment.runner
        if self.run is run and runner.state in {"spawning", "running"}:
            (runner.quit if self.options.headless else runner.stop)()

    def _are_workers_done(self) -> bool:
        """Return whether every worker has written all it has, but for those that Locust lost."""
        clients = getattr(self.environment.runner, "clients", None)
        alive = [
            worker
            for worker in self.workers
            if clients is None or (worker in clients and clients[worker].state != "missing")
        ]
        return self.run is None or _count_done_workers(self.run) >= len(alive)

    def on_all_users_spawned(self, **_: Any) -> None:
        """Message the workers that all users are spawned, and when a burst leaves."""
        self.environment.runner.send_message("atonce-go", {"together": clock() + _LEAD_TIME / 2})

    def delay_stop(self, **_: Any) -> None:
        """Message all workers to stop; keep Locust from killing users until they have drained."""
        run = self.run
        if run and not self.is_stop_sent and hasattr(self.environment.runner, "clients"):
            self.is_stop_sent = True
            self.environment.runner.send_message("atonce-stop")
            drain = parse_duration(self.options.atonce_drain, least=0.0)
            wait_for(self._are_workers_done, drain + _WRITE_GRACE)
        elif run and self.is_stop_sent:
            wait_for(lambda: self.run is not run or self._are_workers_done(), _WRITE_GRACE)

    def mark_interrupted(self) -> None:
        """Note a signal. Without a time limit that is how a test ends; else it was cut short."""
        if self.run:
            self.is_interrupted = bool(self.options.run_time)
            self.environment.process_exit_code = int(ExitCode.INTERRUPTED)

    def on_test_stopped(self, **_: Any) -> None:
        """Seal the run; with Locust's page the process lives on."""
        if self.environment.web_ui:
            self.seal()

    def on_quitting(self, **_: Any) -> None:
        """Seal as Locust ends; after a signal the test has not been stopped yet."""
        self.delay_stop()
        self.seal()

    def seal(self) -> None:
        """Close the run, and say where it lies."""
        run, self.run = self.run, None
        if run is None:
            return
        status = Status.INTERRUPTED if self.is_interrupted else Status.COMPLETE
        if _count_done_workers(run) < len(self.workers):
            status = Status.FAILED
            sentence = (
                "Not every Locust worker came to its end; what was written until then is kept."
            )
            run.add_warning(sentence)
            log.error(sentence)
            if not self.environment.process_exit_code:
                self.environment.process_exit_code = int(ExitCode.UNTRUSTED)
        try:
            run.close(status)
        except OSError as error:
            log.error(  # noqa: TRY400 - as above
                "the run cannot be sealed (%s); it is read as it lies", error.strerror or error
            )
        log.info("run: %s   next: atonce report %s", run.path, run.path)


def _count_done_workers(run: RunWriter) -> int:
    return len(list((run.path / "samples").glob("*.through")))
