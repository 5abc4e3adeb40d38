"""Two neighbour routes, async and def, at a low Poisson rate during another load.

An open model: each ping leaves at its planned moment on a free connection. On a blocked loop
hundreds can wait at a time. Under plain Locust each route gets 24 requests a second, whatever -u
and -r say. Use it with another scenario: `locust -f scenarios/crowd.py,scenarios/neighbours.py`.
"""

import sys
from pathlib import Path

# our packages first, wherever Locust was started
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

from results.schema import Scenario
from scenarios.generator._locust_user import LoadUser


class Neighbours(LoadUser):
    """The user that Locust wants. It does nothing: `dispatcher.py` keeps both schedules."""

    scenario = Scenario.NEIGHBOURS
