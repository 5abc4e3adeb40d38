"""The one Locust user that every scenario is made of: it waits for its cue, connects, performs, and records.

The only module besides the locustfiles that imports Locust. It speaks HTTP through geventhttpclient, the client under
Locust's FastHttpUser, one connection at a time: FastHttpUser's own session costs the generator twice the CPU per
request, and its lateness would be sold as latency. Every request is reported to Locust, so its statistics stay whole.

Listeners wire the stage to Locust's events: the script arrives before the users, the stage plays while the test runs,
and `quitting` waits until all is drained and written.
"""

import logging
import sys
import time
from typing import Any, ClassVar

import gevent
from gevent.queue import Queue
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from results.schema import Phase, Scenario
from scenarios._recorder import Outcome, Place
from scenarios._script import Script
from scenarios._stage import Cue, Stage

clock = time.perf_counter
TIMEOUT = 300.0  # seconds; the stage gives up long before, so that no time-out of the client cuts a latency short
OK = range(200, 300)


class Player(User):
    """A user with one keep-alive connection of its own, who acts when called."""

    abstract = True
    scenario: Scenario
    stage: ClassVar[Stage]

    def on_start(self) -> None:
        """Take a place in the cast."""
        self.connection = self.new_connection()
        self.cues: Queue[Cue] = Queue()
        self.index = self.stage.join(self)

    @task
    def play(self) -> None:
        """One cell, from cue to last answer."""
        cue = self.cues.get()
        try:
            self.connect(cue)
            cue.ready()
            self.perform(cue)
        finally:
            cue.finished()

    def connect(self, cue: Cue) -> None:
        """Open the connection before the load, on a route that costs nothing."""
        self.open(self.connection, cue, self.index)

    def perform(self, cue: Cue) -> None:
        """What a scenario is: overridden by each locustfile."""
        raise NotImplementedError

    def new_connection(self) -> HTTPClient:
        """A client with a pool of exactly one connection, not opened yet, that never sends a request twice.

        When a server closes before it answers, geventhttpclient silently asks again, "pool size + 1" times: one row
        would stand for several requests. With a size of -1 there is no second time; the row says what happened.
        """
        client = HTTPClient.from_url(self.host, concurrency=1, connection_timeout=TIMEOUT, network_timeout=TIMEOUT)
        client._connection_pool.size = -1  # noqa: SLF001 - read for the number of resends only; the pool has its semaphore
        return client

    def open(self, connection: HTTPClient, cue: Cue, number: int) -> None:
        """Send one request nobody counts, so that the connection stands. Its row says phase `connect`."""
        path = self.stage.script.connect_path
        place = Place(cue.cell.name, Phase.CONNECT, f"GET {path}", cue.cell.variant, number)
        self.ask(connection, place, path, "", clock())

    def ask(self, connection: HTTPClient, place: Place, path: str, expects: str, intended: float) -> bool:
        """Send one request, wait for the answer, record both; True when it was answered, rightly or wrongly.

        A failure is recorded, never raised. `expects` is the body of a right answer; empty for any.
        """
        recorder, failure, answer, body = self.stage.recorder, None, None, b""
        started = time.time()
        ticket = recorder.leaves(place, intended, gevent.getcurrent())
        try:
            answer = connection.get(path, {"x-atonce-id": recorder.request_id(ticket)})
            body = bytes(answer.read())
        except (OSError, HTTPParseError, HTTPConnectionClosed) as error:
            failure = error
        done = recorder.lands(ticket)
        status = answer.status_code if answer and not failure else None
        fault = fault_of(failure, status, body, expects)
        moments, peer = probe_times(answer)
        if done is not None:
            recorder.write_down(ticket, done, Outcome(status, fault, len(body), moments, peer))
        self.environment.events.request.fire(
            request_type="GET",
            name="(connect)" if place.phase is Phase.CONNECT else place.route.partition(" ")[2],
            response_time=((done or clock()) - intended) * 1000,
            response_length=len(body),
            response=answer,
            context=self.context(),
            exception=failure or (RuntimeError(fault) if fault else None),
            start_time=started,
            url=path,
        )
        return status is not None


def fault_of(failure: Exception | None, status: int | None, body: bytes, expects: str) -> str | None:
    """What is wrong with an answer, in two words; None when nothing is."""
    if failure or status is None:
        return type(failure).__name__
    if status not in OK:
        return f"status {status}"
    return "wrong body" if expects and body != expects.encode() else None


def probe_times(answer: Any) -> tuple[tuple[float | None, ...], int | None]:
    """The probe's three moments and the port it saw; empty when the target has no probe or says nonsense."""
    stamp = str(answer.get("x-atonce-times", "")) if answer else ""
    try:
        start, begin, end, peer = stamp.split(";")
        return tuple(float(word) if word else None for word in (start, begin, end)), int(peer)
    except ValueError:
        return (None, None, None), None


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser, **_: Any) -> None:
    """Where the script comes from."""
    parser.add_argument("--atonce-plan", default="", help="'-': one line of JSON on stdin, as atonce's driver writes it")


@events.init.add_listener
def receive_script(environment: Environment, **_: Any) -> None:
    """Wait for the script - the driver sends it once the target is proved to answer - and set the cast."""
    if environment.parsed_options is None or environment.parsed_options.atonce_plan != "-":
        sys.exit("This scenario needs a plan: run it with `atonce reproduce`.")
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)  # the driver changed its mind
    Player.stage = Stage(Script.from_json(line))
    for kind in environment.user_classes:
        kind.fixed_count = Player.stage.script.cast()[kind.scenario]
    environment.user_classes = [kind for kind in environment.user_classes if kind.fixed_count]


@events.test_start.add_listener
def start_playing(environment: Environment, **_: Any) -> None:
    """Play beside the users, then quit."""

    def conduct() -> None:
        try:
            Player.stage.play()
            environment.process_exit_code = 0  # what went wrong on purpose is a finding, not a failure of Locust
        except Exception:
            logging.getLogger(__name__).exception("the stage failed")
            environment.process_exit_code = 70
        if not Player.stage.stopping.is_set() and environment.runner:
            gevent.spawn(environment.runner.quit)

    Player.stage.conductor = gevent.spawn(conduct)


@events.quitting.add_listener
def finish(**_: Any) -> None:
    """Whoever ends Locust - the plan, a signal, a time limit - the open answers are waited for and written first."""
    stage = Player.stage
    stage.stop()
    if stage.conductor:
        stage.conductor.join()
    stage.recorder.close()
