"""The lesson, statement by statement, in reading order: what it says, what theory predicts, what this run measured.

One claim is one file with a `CLAIM`; this list is the only place that names them all. A claim judges a `Study` and
nothing else, so that a planted run can refute it. Verdicts: confirmed; nuanced, when it is true with a limit that the
lesson does not mention; refuted; untested, with the missing part named.
"""

from reports.claims import (
    async_many,
    blocks_loop,
    def_pool,
    latency_spike,
    loop_fairness,
    serial_queue,
    server_timer_blind,
    to_thread_free,
)
from reports.claims.claim import Claim, Judged, Outcome, judge

CLAIMS: tuple[Claim, ...] = (
    blocks_loop.CLAIM,
    serial_queue.CLAIM,
    latency_spike.CLAIM,
    async_many.CLAIM,
    def_pool.CLAIM,
    to_thread_free.CLAIM,
    server_timer_blind.CLAIM,
    loop_fairness.CLAIM,
)

__all__ = ["CLAIMS", "Claim", "Judged", "Outcome", "judge"]
