"""Two innocent routes, one async and one def, asked at a low Poisson rate while another route is pressed.

An open model: each ping leaves at its planned moment, whether or not the earlier ones were answered, on a free one of
many connections of its own. On a held loop hundreds can wait at a time; the plan says how many connections that takes.
"""

from collections import deque

import gevent
from geventhttpclient import HTTPClient

from results.schema import Neighbour, Scenario
from scenarios._arrivals import poisson
from scenarios._recorder import Place
from scenarios._stage import Cue
from scenarios._user import Player


class Neighbours(Player):
    """The bystander of one route; the first user asks the first neighbour, the second user the second."""

    scenario = Scenario.NEIGHBOURS

    def connect(self, cue: Cue) -> None:
        """Open fresh connections, all at once."""
        count = cue.cell.neighbours[self.index].connections
        numbers = range(self.index * count, (self.index + 1) * count)
        self.lanes: dict[int, HTTPClient] = {number: self.new_connection() for number in numbers}
        gevent.joinall([gevent.spawn(self.open, lane, cue, number) for number, lane in self.lanes.items()])

    def perform(self, cue: Cue) -> None:
        """Ping by the plan until it ends, then wait for the answers still out."""
        cell, ping = cue.cell, cue.cell.neighbours[self.index]
        free, out = deque(self.lanes), []
        seconds = cell.warm_up + cell.window
        for moment in poisson(ping.rate, seconds, f"{self.stage.script.seed}/{ping.kind}"):
            due = cue.go + moment
            cue.pause_until(due)
            stopped = self.stage.stopping.is_set()
            lane = free.popleft() if free and not stopped else None
            place = Place(cell.aside, cue.phase, ping.route, cell.variant, lane)
            if lane is None:
                why = "the run was stopped" if stopped else "no connection was free"
                self.stage.recorder.never_sent(place, due, why)
            else:
                out.append(gevent.spawn(self.ping, lane, place, ping, due, free))
        gevent.joinall(out)

    def ping(self, lane: int, place: Place, ping: Neighbour, due: float, free: deque[int]) -> None:
        """One ping on the connection that has rested longest; then it may be used again."""
        try:
            self.ask(self.lanes[lane], place, ping.path, ping.expects, due)
        finally:
            free.append(lane)
