"""N users that each wait for their answer before the next request: the closed model.

Throughput X, latency R, think time Z and users N obey N = X (R + Z). A server that serves c at once
answers in max(D, N D / c - Z): flat up to c users, then a straight line. Under plain Locust the
window opens when all users have been spawned; without -r they are spawned at once.
"""

import sys
from pathlib import Path

# our packages first, wherever Locust was started
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

from results.schema import Scenario
from scenarios.generator._locust_user import LoadUser
from scenarios.generator.cell_run import CellRun, clock
from scenarios.generator.recorder import SampleKey

RETRY_PAUSE = 0.1  # seconds; a dead target must not turn users into a storm of failed connects


class Crowd(LoadUser):
    """One of N users: send, wait, think, send again."""

    scenario = Scenario.CROWD

    def send_requests(self, cell_run: CellRun) -> None:
        """Send requests until the window closes; each is due when its user sends it."""
        cell = cell_run.cell
        if cell.stagger:
            cell_run.pause_until(cell_run.start_time + cell.stagger * self.index / cell.users)
        while cell_run.try_acquire_request():
            intended = clock()
            sample_key = SampleKey(cell, cell_run.phase, self.index)
            answered, is_right = self.client.send_request(self.connection, sample_key, intended)
            cell_run.record_answer(clock() - intended, is_right=is_right)
            pause = cell.think if answered else max(cell.think, RETRY_PAUSE)
            if pause:
                cell_run.pause_until(clock() + pause)
