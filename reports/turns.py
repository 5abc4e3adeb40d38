"""Who got how many turns: a crowd from its first request to its last answer, so that nobody who starves can hide.

A window leaves out whoever asked before it and was answered after it: of a route that serves some again and again, just
those who wait. Over the whole drained cell the mean is the same in any order of service; the rest is what order does.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.percentiles import Array, Latency
from reports.queueing import busy_service, replay

WAITED = 1.02  # times the unloaded latency from which a request had to wait (science: busy periods)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Latencies of all requests of a crowd, in seconds, and what each user got out of it."""

    latency: Latency
    in_turn: float | None  # the mean, had one ideal server answered the same requests first come, first served
    answers: tuple[int, ...]  # per user, ascending
    longest: tuple[float, ...]  # wait of each user, ascending
    starved: int  # users with fewer than half as many answers as the median user


def turns_of(rows: pd.DataFrame, users: int, service: float) -> Turns | None:
    """Count the turns on a route that serves one at a time, `service` seconds unloaded. `rows`: all that was asked, and not failed."""
    finished = ~rows.censored.to_numpy()
    latency = Latency.of(rows.latency.to_numpy(), finished)
    if latency is None:
        return None
    asked = rows.sort_values("sent")
    sent, done = asked.sent.to_numpy(), asked.done.to_numpy()
    held = busy_service(sent, done, 1, WAITED * service) if finished.all() else None
    answers = answers_of(rows[~rows.censored], users)
    return Turns(
        latency=latency,
        in_turn=float(replay(sent, held, 1).mean()) if held else None,
        answers=tuple(sorted(int(one) for one in answers)),
        longest=tuple(sorted(float(one) for one in rows.groupby(["worker", "connection"]).latency.max())),
        starved=starved(answers),
    )


def answers_of(rows: pd.DataFrame, users: int) -> Array:
    """How many of these answers each user got; each worker numbers its own."""
    answers = rows.groupby(["worker", "connection"]).size().to_numpy()
    return np.append(answers, np.zeros(max(0, users - len(answers))))


def starved(answers: Array) -> int:
    """How many got fewer than half as many answers as the median user; of few rounds this reads 0 or noise."""
    return int((answers < np.median(answers) / 2).sum())
