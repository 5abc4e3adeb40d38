"""Arrivals at a stated rate, Poisson or constant, answered or not: the open model.

Above capacity the queue grows by rate - capacity every second, which no closed loop can show.
Latency counts from the planned moment. Under plain Locust the rate is --atonce-rate, not -u or -r:
one schedule per test, which all worker processes share. -t is how long the test lasts, the first
second of it for opening connections; without -t it is an hour.
"""

import sys
from pathlib import Path

# our packages first, wherever Locust was started
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

from results.schema import Scenario
from scenarios.generator._locust_user import LoadUser


class Steady(LoadUser):
    """The user that Locust wants. It does nothing: `dispatcher.py` keeps the schedule."""

    scenario = Scenario.STEADY
