"""N requests at one instant: the staircase. Each user sends one request when the cue comes, and waits for its answer.

Burst request k on a server that serves c at once is answered after ceil(k/c) service times: with one event loop held,
that is one step per request.
"""

from results.schema import Phase, Scenario
from scenarios._recorder import Place
from scenarios._stage import Cue
from scenarios._user import Player


class Burst(Player):
    """One of N who ask at the same instant, once."""

    scenario = Scenario.BURST

    def perform(self, cue: Cue) -> None:
        """Ask once. The intended moment is the cue, the same for all, however long it takes to write N requests."""
        cell = cue.cell
        place = Place(cell.name, Phase.STEADY, cell.route, cell.variant, self.index)
        self.ask(self.connection, place, cell.path, cell.expects, cue.go)
