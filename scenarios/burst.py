"""N requests at one instant: the staircase. Each user sends one request and waits for its answer.

A server that serves c at once answers request k after ceil(k/c) service times. A blocked event loop
makes one step per request, unless a part before the route keeps all answers until the last. Under
plain Locust -u is N and -r how fast the users start. All send at one moment when all have started;
the test ends with the last answer. -t is only a limit.
"""

import sys
from pathlib import Path

# our packages first, wherever Locust was started
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

from results.schema import Phase, Scenario
from scenarios.generator._locust_user import LoadUser
from scenarios.generator.cell_run import CellRun
from scenarios.generator.recorder import SampleKey


class Burst(LoadUser):
    """One of N users that send one request at the same instant."""

    scenario = Scenario.BURST

    def send_requests(self, cell_run: CellRun) -> None:
        """Send once. All N share the intended moment, however long writing N requests takes."""
        sample_key = SampleKey(cell_run.cell, Phase.STEADY, self.index)
        self.client.send_request(self.connection, sample_key, cell_run.start_time)
