"""Where requests wait: sentences, shares of a request's time, and what the summary has."""

from dataclasses import replace

import pytest

from reports.metrics.breakdown import LatencyBreakdown
from reports.render.page import overview_length, time_bar
from reports.render.summary import route_entry
from reports.render.wait_tree import build_tree
from reports.verdicts.diagnosis import Diagnosis, Finding
from reports.verdicts.request_time import request_time_parts
from reports.verdicts.wait_sentences import wait_sentences
from results.judgement.model import RouteEvidence
from results.judgement.waits import RUNNING, Wait, WaitProfile, WaitStack
from results.verdicts import Verdict
from tests.reports.test_bounds import case_of
from tests.support.evidence_factory import exam, look

POOL = Wait(
    count=54.0,
    file="app/db.py",
    line=12,
    function="rows",
    call="pool.acquire",
    what="pool",
    name="asyncpg.Pool",
    size=10,
)
QUERY = replace(
    POOL, count=9.0, line=14, call="connection.fetch", what="socket", name="", size=None
)
RUNS = replace(QUERY, count=0.96, file="", line=0, call="", what=RUNNING)
STRAY = replace(QUERY, count=0.04, line=99, call="log")
LIMITER = replace(
    POOL, call="", count=56.0, file="", line=0, what="limiter", name="anyio.CapacityLimiter", size=8
)
IN_THREAD = replace(LIMITER, count=8.0, what="thread", name="", size=None, call="")
THREADS = (
    replace(QUERY, count=6.0, pool="threads", file="billing.py", line=33, call="requests.get", what="thread"),
    replace(QUERY, count=2.0, pool="threads", file="billing.py", line=40, call="json.dumps", what="thread"),
)  # fmt: skip


def profile(*waits: Wait, threads: tuple[Wait, ...] = ()) -> WaitProfile:
    """Places, the commonest first."""
    return WaitProfile(20, sum(wait.count for wait in waits), waits, threads)


def pool_of_ten(served: float = 10.0) -> RouteEvidence:
    """A plateau, and where its requests wait."""
    rate = 10 * served
    levels = look(8, min(80, rate)), look(21, rate), look(64, rate)
    return exam(0.1, *levels, waits=profile(POOL, QUERY, RUNS, STRAY))


def thread_pool_of_eight() -> RouteEvidence:
    """All worker threads are taken."""
    levels = look(8, 78), look(64, 80, threads=8.0, threads_waiting=56.0)
    waits = profile(LIMITER, IN_THREAD, threads=THREADS)
    return exam(0.1, *levels, waits=waits, thread_tokens=8)


def texts(seen: RouteEvidence) -> list[str]:
    """What is said of it."""
    return list(wait_sentences(case_of(seen)))


def test_a_pool_is_named_with_its_line_and_the_places_that_its_users_need() -> None:
    """Ten places, kept for 100 ms each: 64 users need 64."""
    assert texts(pool_of_ten()) == [
        "54 of 64 requests wait for a pool of 10 (asyncpg.Pool) at app/db.py:12 in pool.acquire.",
        "9 of 64 requests wait for a socket at app/db.py:14 in connection.fetch.",
        (
            "A request keeps a place for 100 ms: 64 users need 640/s x 100 ms = 64 places, and what"
            " it calls then has as many requests at once. A place kept for half of the time serves"
            " twice as many."
        ),
    ]


def test_a_plateau_that_is_not_the_size_is_said() -> None:
    """Each request takes two: five are served, and 64 users need 128."""
    _, _, differs, needs = texts(pool_of_ten(served=5.0))
    assert differs.startswith("It has 10 places, yet 5.00 are served at once")
    assert "= 128 places" in needs


def test_threads_are_shown_with_what_they_do() -> None:
    """The requests themselves have no line: they wait for a thread, or are in one."""
    assert texts(thread_pool_of_eight()) == [
        "56 of 64 requests wait for one of 8 worker threads.",
        "8 of 64 requests wait in a thread.",
        "6 of 8 busy threads are in requests.get at billing.py:33.",
        "2 of 8 busy threads are in json.dumps at billing.py:40.",
    ]


def test_a_default_size_is_said_to_be_one() -> None:
    """Where threads wait, no object is read."""
    before = replace(POOL, pool="threads", name="sqlalchemy.QueuePool", size=None, count=36.0)
    waits = profile(LIMITER, IN_THREAD, threads=(before,))
    [sentence] = [text for text in texts(replace(pool_of_ten(), waits=waits)) if "busy" in text]
    assert "(sqlalchemy.QueuePool; by default of 15, its own size was not read)" in sentence


def timed_case(seen: RouteEvidence, before: float) -> Diagnosis:
    """A case whose requests spend this share of their time before the app."""
    case = case_of(seen)
    parts = LatencyBreakdown(0.0, before, 0.0, 1 - before, 0.0, 1 - before, 9, 9)
    levels = tuple(replace(level, breakdown=parts) for level in case.route.levels)
    return replace(case, route=replace(case.route, levels=levels))


def test_the_parts_of_a_requests_time_sum_to_one() -> None:
    """By Little's law: shares of the requests in flight, after the time before the app."""
    parts = dict(request_time_parts(timed_case(pool_of_ten(), 0.25)))
    assert sum(parts.values()) == pytest.approx(1.0, abs=0.01)
    assert parts["before the app"] == 0.25
    assert parts["app/db.py:12 pool.acquire"] == pytest.approx(0.75 * 54 / 64)
    assert parts["running"] == pytest.approx(0.75 * 0.96 / 64)
    assert not any("log" in label for label in parts)  # too small
    threads = dict(request_time_parts(timed_case(thread_pool_of_eight(), 0.0)))
    assert threads == {
        "for a thread": pytest.approx(56 / 64),
        "billing.py:33 requests.get": pytest.approx(6 / 64),
        "billing.py:40 json.dumps": pytest.approx(2 / 64),
    }
    assert request_time_parts(case_of(replace(pool_of_ten(), waits=None))) == []


def test_the_bar_has_no_gap() -> None:
    """Each part begins where the last ended."""
    bar = time_bar(timed_case(thread_pool_of_eight(), 0.5))
    end = 0.0
    for _, _, begin, length in bar:
        assert begin == pytest.approx(end)
        end = begin + length
    assert end == pytest.approx(100.0)


def test_the_overview_has_a_log_scale() -> None:
    """Eight times as many served at once is the same length anywhere; the ends are kept."""
    single, eight, all_users = (
        overview_length(case_of(exam(0.1, look(8, 10 * n), look(64, 10 * n)))) for n in (1, 8, 64)
    )
    assert eight - single == pytest.approx(all_users - eight, rel=0.05)
    assert overview_length(case_of(exam(0.1))) == 0.0


def test_what_lets_some_in_comes_first_where_it_is_the_limit() -> None:
    """Forty sleep in a semaphore, 24 wait for it; of a thread pool, what most threads do."""
    inside = replace(QUERY, count=40.0, what="sleep")
    before = replace(POOL, count=24.0, what="semaphore", name="asyncio.Semaphore", size=None)
    seen = exam(0.1, look(8, 80), look(52, 400), look(64, 400), waits=profile(inside, before))
    assert case_of(seen).main_wait == before
    sleeping = replace(QUERY, count=3.4, what="sleep")
    pool = thread_pool_of_eight()
    waits = profile(LIMITER, IN_THREAD, sleeping, threads=THREADS)
    assert case_of(replace(pool, waits=waits)).main_wait == THREADS[0]


def test_the_summary_has_where_it_waits() -> None:
    """With where each size comes from."""
    case = case_of(pool_of_ten())
    finding = Finding(case.route, Verdict.POOL_LIMITED, "", "", case)
    first, second = route_entry(finding)["waits"]
    assert (first["file"], first["line"], first["what"]) == ("app/db.py", 12, "pool")
    assert (first["name"], first["size"], first["size_from"]) == ("asyncpg.Pool", 10, "object")
    assert first["share"] == pytest.approx(54 / 64)
    assert (second["what"], second["size"], second["size_from"]) == ("socket", None, None)


def test_stacks_that_share_frames_are_one_branch() -> None:
    """Its frames stand together up to where they part; what is too small is left out."""
    stacks = [
        WaitStack(54.0, "", ("app", "rows", "acquire")),
        WaitStack(8.0, "", ("app", "rows", "fetch")),
        WaitStack(1.6, "", ("app", "rows")),
        WaitStack(0.4, "", ("app", "log")),
        WaitStack(8.0, "threads", ("run", "charge")),
    ]
    (node,) = build_tree(stacks)
    assert node.count == pytest.approx(64.0)
    assert node.frames == ("app",)
    (rows,) = node.children
    assert rows.count == pytest.approx(63.6)
    assert rows.frames == ("rows",)
    assert [(child.count, child.frames) for child in rows.children] == [
        (54.0, ("acquire",)),
        (8.0, ("fetch",)),
    ]
    (thread,) = build_tree(stacks, "threads")
    assert (thread.count, thread.frames, thread.children) == (8.0, ("run", "charge"), ())
    assert build_tree(stacks, "executor") == ()
