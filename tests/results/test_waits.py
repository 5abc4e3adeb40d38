"""Where requests wait: looks summed by line, and what they decide."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.judgement.model import Measurement, RouteEvidence
from results.judgement.rules import evaluate_rules
from results.judgement.wait_rules import match_gate
from results.judgement.waits import Wait, WaitProfile, read_waits
from results.judgement.window import Window
from results.verdicts import Verdict
from tests.support.evidence_factory import exam, look

HOME = "/srv/shop"


def frame(file: str, line: int, function: str, call: str = "", *, own: bool) -> dict[str, Any]:
    """A frame as the agent writes it."""
    return {
        "file": file,
        "line": line,
        "function": function,
        "call": call,
        "is_user_code": own,
    }


STARLETTE = "/lib/site-packages/starlette/middleware/base.py"
POOL = "/lib/site-packages/asyncpg/pool.py"
PLACES = {
    # a line of the app's, below the app's own middleware
    0: ("pool", "asyncpg.Pool", 10, [
        frame(POOL, 900, "Pool._acquire", own=False),
        frame(f"{HOME}/db.py", 12, "rows", "pool.acquire", own=True),
        frame(STARLETTE, 190, "BaseHTTPMiddleware.__call__", own=False),
        frame(f"{HOME}/main.py", 5, "timing", "call_next", own=True),
    ]),
    # nothing of the app's but the middleware, which waits for the rest
    1: ("limiter", "anyio.CapacityLimiter", 40, [
        frame("/lib/site-packages/anyio/to_thread.py", 56, "run_sync", own=False),
        frame(STARLETTE, 190, "BaseHTTPMiddleware.__call__", own=False),
        frame(f"{HOME}/main.py", 5, "timing", "call_next", own=True),
    ]),
    2: ("thread", "", None, [frame(f"{HOME}/billing.py", 33, "charge", "requests.get", own=True)]),
    # the same line of the app in another place of the library
    3: ("pool", "asyncpg.Pool", 10, [
        frame(POOL, 777, "Pool._get", own=False),
        frame(f"{HOME}/db.py", 12, "rows", "pool.acquire", own=True),
    ]),
}  # fmt: skip


def write_looks(folder: Path, name: str, looks: list[dict[str, Any]]) -> None:
    """The places, then the looks, and half a line of a killed process."""
    folder.mkdir(exist_ok=True)
    lines: list[dict[str, Any]] = [
        {
            "kind": "place",
            "number": number,
            "what": what,
            "name": of,
            "size": size,
            "frames": frames,
        }
        for number, (what, of, size, frames) in PLACES.items()
    ]
    lines += [{"kind": "look", "took": 0.001, "cpu": 0.001, **facts} for facts in looks]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / name).write_text(text + '{"kind": "lo', encoding="utf-8")


def test_looks_of_a_window_are_summed_by_line(tmp_path: Path) -> None:
    """Two stacks of one line are one place; other sessions and moments do not count."""
    look_at = {"requests": 64, "waits": [[0, 40], [1, 8], [3, 14]], "threads": [["threads", 2, 8]]}
    later = {"requests": 32, "waits": [[0, 30]], "threads": []}
    write_looks(
        tmp_path,
        "app-1-77.jsonl",
        [{"t": 11.0, **look_at}, {"t": 12.0, **later}, {"t": 99.0, **later}],
    )
    write_looks(tmp_path, "app-12-78.jsonl", [{"t": 11.0, **later}])
    profile = read_waits(tmp_path, "app-1", 10.0, Window(0.5, 3.0), [Path(HOME)])
    assert profile
    assert (profile.looks, profile.requests) == (2, 48.0)
    pool, limiter = profile.waits
    assert (pool.location, pool.function, pool.call) == (("db.py", 12), "rows", "pool.acquire")
    assert (pool.what, pool.name, pool.size, pool.count) == ("pool", "asyncpg.Pool", 10, 42.0)
    assert (limiter.location, limiter.size, limiter.count) == (("", 0), 40, 4.0)
    (thread,) = profile.threads
    assert (thread.location, thread.pool, thread.count) == (("billing.py", 33), "threads", 4.0)
    assert profile.share(pool) == pytest.approx(42 / 46)
    assert profile.share(thread) == 1.0
    assert read_waits(tmp_path, "app-1", 10.0, Window(5.0, 6.0), []) is None
    assert read_waits(tmp_path, "app-3", 10.0, Window(0.5, 3.0), []) is None


def waiting(count: float, what: str = "pool", size: int | None = 10) -> WaitProfile:
    """So many of 64 requests at one place."""
    place = Wait(
        count=count,
        file="db.py",
        line=12,
        function="rows",
        call="pool.acquire",
        what=what,
        name="asyncpg.Pool",
        size=size,
    )
    rest = replace(place, count=64 - count, line=13, what="socket", name="", size=None)
    return WaitProfile(20, 64.0, (place, rest), ())


def pool_of_ten(others: float = 0.5, **more: Any) -> RouteEvidence:
    """A plateau of ten, of which a busy machine might be the cause."""
    levels = [look(8, 80), look(21, 100, others=others), look(64, 100, others=others, **more)]
    return exam(0.1, *levels)


def test_the_place_decides_where_a_busy_machine_left_a_plateau_open() -> None:
    """It names the line, and how many it lets in."""
    open_evidence = replace(pool_of_ten(), waits=None)
    seen = evaluate_rules(open_evidence)
    assert (seen.verdict, seen.needs) == (Verdict.UNKNOWN, Measurement.WAITS)
    seen = evaluate_rules(replace(open_evidence, waits=waiting(54)))
    assert (seen.verdict, seen.needs, seen.concurrency) == (Verdict.POOL_LIMITED, None, 10)
    assert seen.reason == (
        "54 of 64 requests wait at db.py:12 for a pool (asyncpg.Pool) of 10, while 100 requests/s"
        " are answered"
    )


@pytest.mark.parametrize(
    ("profile", "places"),
    [
        (waiting(54, size=None), 10),  # as measured
        (waiting(54, size=20), 10),  # each request takes two
        (waiting(20), None),  # most of the queue is elsewhere
        (waiting(54, "socket"), None),  # what it waits for lets all in
        (waiting(54, "event"), None),
    ],
)
def test_what_lets_some_in_at_a_time_and_holds_most_of_the_queue_is_the_limit(
    profile: WaitProfile, places: int | None
) -> None:
    """Where the size that was read is not the plateau, the plateau counts."""
    seen = evaluate_rules(replace(pool_of_ten(), waits=profile))
    assert seen.concurrency == places
    assert (seen.verdict is Verdict.POOL_LIMITED) is (places is not None)


def test_threads_that_wait_for_a_pool_are_its_queue() -> None:
    """Forty threads, 36 of them before a pool of four; 24 requests wait for a thread."""
    profile = WaitProfile(
        20,
        64.0,
        (
            replace(waiting(40).waits[0], count=40.0, file="", line=0, what="thread", name=""),
            replace(waiting(24).waits[0], count=24.0, file="", line=0, what="limiter", size=40),
        ),
        (
            replace(waiting(36).waits[0], count=36.0, pool="threads", size=None),
            replace(waiting(4).waits[0], count=4.0, pool="threads", what="thread", line=14),
        ),
    )
    few = look(8, 40, threads=8.0)
    seen = evaluate_rules(
        exam(0.1, few, look(64, 40, threads=40.0, threads_waiting=24.0), waits=profile)
    )
    assert (seen.verdict, seen.concurrency) == (Verdict.POOL_LIMITED, 4)
    assert seen.reason.startswith("36 of 40 busy threads wait at db.py:12 for a pool")


def test_a_profile_accuses_no_calm_route() -> None:
    """Nothing queues, though many requests were seen at one lock; or the core is what is full."""
    calm = exam(0.1, look(8, 80), look(64, 630), waits=waiting(60, "lock", 1))
    assert evaluate_rules(calm).verdict is Verdict.SCALES
    assert match_gate(calm) is None  # by itself, too: the rule before it may be unsure
    full = exam(0.004, look(8, 250, cpu=1.0), look(64, 250, cpu=1.0), waits=waiting(60, "lock", 1))
    assert evaluate_rules(full).verdict is Verdict.SCALES


@pytest.mark.parametrize(
    ("evidence", "is_asked"),
    [
        (exam(0.1, look(8, 80), look(21, 100), look(64, 100), waits=None), True),
        (exam(0.1, look(8, 80), look(64, 400, threads_waiting=24.0), waits=None), True),
        (exam(0.1, look(8, 80), look(64, 630), waits=None), False),  # it scales
        (exam(0.1, look(8, 10, loop=0.7), look(64, 10, loop=5.0), waits=None), False),  # a line
        (exam(0.1, look(8, 80), look(21, 100), look(64, 100), waits=None, has_agent=False), False),
    ],
)
def test_a_look_is_taken_where_requests_queue_for_a_pool(
    evidence: RouteEvidence,
    is_asked: bool,  # noqa: FBT001
) -> None:
    """Not of a route that scales or holds the loop, nor without an agent in the app."""
    assert (evaluate_rules(evidence).needs is Measurement.WAITS) is is_asked
