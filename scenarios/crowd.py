"""N users, each waiting for its answer before it asks again: the closed model.

Throughput X, latency R, think time Z and users N obey N = X (R + Z). A server that serves c at once answers in
max(D, N D / c - Z): flat up to c users, then a straight line.
"""

from results.schema import Scenario
from scenarios._recorder import Place, clock
from scenarios._stage import Cue
from scenarios._user import Player

RETRY_PAUSE = 0.1  # seconds; a dead target must not turn users into a storm of failed connects


class Crowd(Player):
    """One of N users: ask, wait, think, ask again."""

    scenario = Scenario.CROWD

    def perform(self, cue: Cue) -> None:
        """Ask until the window closes. In a closed loop a request is planned when its user asks."""
        cell = cue.cell
        cue.pause_until(cue.go + cell.stagger * self.index / cell.users)
        while not cue.closed:
            intended = clock()
            place = Place(cell.name, cue.phase, cell.route, cell.variant, self.index)
            answered = self.ask(self.connection, place, cell.path, cell.expects, intended)
            pause = cell.think if answered else max(cell.think, RETRY_PAUSE)
            if pause:
                cue.pause_until(clock() + pause)
