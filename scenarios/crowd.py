"""N users, each waiting for its answer before it asks again: the closed model.

Throughput X, latency R, think time Z and users N obey N = X (R + Z). A server that serves c at once answers in
max(D, N D / c - Z): flat up to c users, then a straight line. Under plain Locust -u, -r and -t mean what they always do;
the window opens when all users have been spawned, and a missing -r spawns them all at once.
"""

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))  # the rooms first, wherever Locust was started

from results.schema import Scenario
from scenarios.generator._locust_user import Player
from scenarios.generator.cell_run import Cue, clock
from scenarios.generator.recorder import Place

RETRY_PAUSE = 0.1  # seconds; a dead target must not turn users into a storm of failed connects


class Crowd(Player):
    """One of N users: ask, wait, think, ask again."""

    scenario = Scenario.CROWD

    def perform(self, cue: Cue) -> None:
        """Ask until the window closes. In a closed loop a request is planned when its user asks."""
        cell = cue.cell
        if cell.stagger:
            cue.pause_until(cue.go + cell.stagger * self.index / cell.users)
        while cue.may_ask():
            intended = clock()
            place = Place(cell.name, cue.phase, cell.route, cell.variant, self.index)
            answered, rightly = self.client.ask(self.connection, place, cell, intended)
            cue.came_back(rightly=rightly)
            pause = cell.think if answered else max(cell.think, RETRY_PAUSE)
            if pause:
                cue.pause_until(clock() + pause)
