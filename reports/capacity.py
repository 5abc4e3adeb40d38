"""Service time, served at once, and what the closed forms predict.

served at once = saturated throughput x unloaded service time: the number of requests that were really worked on at the
same time, by Little's law, measured from outside.
"""

import numpy as np

from reports.percentiles import Array


def service_time(latencies: Array) -> float | None:
    """Median latency of the route with a single user, in seconds: nobody else was there to wait for."""
    return float(np.median(latencies)) if len(latencies) else None


def served_at_once(rate: float, service: float) -> float:
    """Throughput in requests per second times unloaded service time in seconds."""
    return rate * service


SATURATED = 0.9  # share of the users that are served at once, below which the rest must be queueing


def saturated(users: int, rate: float, service: float | None) -> float | None:
    """The throughput of a crowd as a capacity in requests per second; None unless part of the crowd had to wait."""
    return rate if service and 0 < served_at_once(rate, service) < SATURATED * users else None


def closed_loop_mean(users: int, service: float, places: float, think: float = 0.0) -> float:
    """Mean latency of `users` in a closed loop on `places` servers: max(D, N D / c - Z) seconds (Denning and Buzen)."""
    return max(service, users * service / places - think)


def burst_last(size: int, service: float, places: float) -> float:
    """Seconds until the last of a burst is answered: ceil(N / c) D."""
    return float(np.ceil(size / places)) * service
