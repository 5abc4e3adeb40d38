"""The lesson, statement by statement, in reading order: what it says, what theory predicts, what this run measured.

One claim is one file with a `CLAIM`; this list is the only place that names them all. A claim judges a `Study` and
nothing else, so that a planted run can refute it. Verdicts: confirmed; nuanced, when it is true with a limit that the
lesson does not mention; refuted; untested, with the missing part named.
"""

from collections.abc import Callable, Iterator

from reports.claims import (
    aiohttp_frees,
    async_many,
    async_session_frees,
    await_in_def,
    blocks_loop,
    client_reuse,
    cpu_blocks,
    def_pool,
    file_read_blocks,
    forgotten_await,
    gather_overlaps,
    httpx_frees,
    latency_spike,
    loop_fairness,
    overhead,
    process_pool_frees,
    requests_blocks,
    serial_queue,
    server_timer_blind,
    sync_session_blocks,
    to_thread_free,
)
from reports.claims.claim import Claim, Judged, Outcome, judge
from results.trouble import Exit, Trouble

CLAIMS: tuple[Claim, ...] = (
    blocks_loop.CLAIM,
    serial_queue.CLAIM,
    latency_spike.CLAIM,
    async_many.CLAIM,
    def_pool.CLAIM,
    to_thread_free.CLAIM,
    overhead.CLAIM,
    requests_blocks.CLAIM,
    httpx_frees.CLAIM,
    aiohttp_frees.CLAIM,
    client_reuse.CLAIM,
    sync_session_blocks.CLAIM,
    async_session_frees.CLAIM,
    file_read_blocks.CLAIM,
    cpu_blocks.CLAIM,
    process_pool_frees.CLAIM,
    forgotten_await.CLAIM,
    gather_overlaps.CLAIM,
    await_in_def.CLAIM,
    server_timer_blind.CLAIM,
    loop_fairness.CLAIM,
)

__all__ = ["CLAIMS", "Claim", "Judged", "Outcome", "judge", "listing", "named", "needs_of"]


def named(ids: list[str]) -> list[Claim]:
    """The claims with these ids. Raises Trouble for one that there is not."""
    known = {one.id: one for one in CLAIMS}
    if strange := [one for one in ids if one not in known]:
        raise Trouble(f"There is no claim {strange[0]!r}. There are: {', '.join(known)}", Exit.USAGE)
    return [known[one] for one in ids]


def needs_of(ids: list[str]) -> set[str]:
    """All that some claims need together."""
    return {need for one in named(ids) for need in one.needs}


def listing(estimate: Callable[[set[str]], float]) -> Iterator[str]:
    """Every claim on a line, with the seconds that it takes alone."""
    for one in CLAIMS:
        yield f"{one.id:<20} {estimate(set(one.needs)):>3.0f} s  {one.sentence}"
    yield f"next: atonce claims {CLAIMS[0].id}"
