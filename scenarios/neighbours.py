"""Two innocent routes, one async and one def, asked at a low Poisson rate while another route is pressed.

An open model: each ping leaves at its planned moment, whether or not the earlier ones were
answered, on a free one of many connections of its own. On a held loop hundreds can wait at a time;
the plan says how many connections that takes. Under plain Locust both are asked 24 times a second,
and -u and -r do not matter. Name it beside another scenario: `locust -f
scenarios/crowd.py,scenarios/neighbours.py`.
"""

import sys
from pathlib import Path

sys.path.insert(
    1, str(Path(__file__).resolve().parent.parent)
)  # the rooms first, wherever Locust was started

from results.schema import Scenario
from scenarios.generator._locust_user import LoadUser


class Neighbours(LoadUser):
    """Locust wants a user. It does nothing: `dispatcher.py` keeps the schedules of both neighbours."""

    scenario = Scenario.NEIGHBOURS
