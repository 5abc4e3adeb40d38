"""How many turns each user got, from a crowd's first request to its last answer.

A window leaves out requests sent before it and answered after it: on a route that serves some users
again and again, exactly those that wait. Over the whole drained cell the mean is the same in any
order of service; all other differences come from the order. With N users in flight for T seconds
and none afterwards, L's integral is N T + N^2 D / 2, and (T + N D) / D requests are answered.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.stats.quantiles import Array, LatencyStats


@dataclass(frozen=True, slots=True, kw_only=True)
class FairnessStats:
    """Latencies of all requests of a crowd, in seconds, and what each user got."""

    latency: LatencyStats
    predicted_mean: float  # of a server that takes one request at a time, in any order
    answers_per_user: tuple[int, ...]  # ascending
    longest_waits: tuple[float, ...]  # of each user, ascending
    starved_users: int  # users with fewer than half as many answers as the median user


def measure_fairness(
    rows: pd.DataFrame, users: int, service: float, lasts: float
) -> FairnessStats | None:
    """Count the turns of users that sent for `lasts` seconds; the route serves one at once."""
    latency = LatencyStats.from_samples(rows.latency.to_numpy(), ~rows.censored.to_numpy())
    if latency is None:
        return None
    answers, cycle = count_answers_per_user(rows[~rows.censored], users), users * service
    waits = rows.groupby(["worker", "connection"]).latency.max()
    return FairnessStats(
        latency=latency,
        # N D (T + N D / 2) / (T + N D), see above
        predicted_mean=cycle * (lasts + cycle / 2) / (lasts + cycle),
        answers_per_user=tuple(sorted(map(int, answers))),
        longest_waits=tuple(sorted(map(float, waits))),
        starved_users=count_starved_users(answers),
    )


def count_answers_per_user(rows: pd.DataFrame, users: int = 0) -> Array:
    """Return the answers of each connection, and 0 for each further one of `users`."""
    answers = rows.groupby(["worker", "connection"]).size().to_numpy()
    return np.append(answers, np.zeros(max(0, users - len(answers))))


def count_starved_users(answers: Array) -> int:
    """Count users with fewer than half the median's answers; of few rounds this is 0 or noise."""
    return int((answers < np.median(answers) / 2).sum())
