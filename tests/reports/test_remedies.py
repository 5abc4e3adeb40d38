"""What to write instead: the right rule for each guilty call, valid lines, an existing twin."""

import ast
import asyncio
from pathlib import Path

import httpx
import pytest

from reports.verdicts.remedies import choose_remedy
from reports.verdicts.remedy_rules import REMEDY_RULES, Effect, Remedy
from results.judgement.culprit import Culprit, read_holds, summarise_holds
from results.verdicts import Verdict
from targets.agent.watchdog import Watchdog
from tests.targets.test_antipatterns import WARD_TRUTH, visited

ROOT = Path(__file__).resolve().parents[2]
BLOCKED, BUSY, PLACES = Verdict.LOOP_BLOCKED, Verdict.LOOP_BUSY, Verdict.POOL_LIMITED
CASES: list[tuple[Verdict, str, str, str]] = [  # verdict, guilty call, what lies below it, twin
    (BLOCKED, "time.sleep", "", "GET /report"),
    (BUSY, "httpx.AsyncClient", "httpx.call -> ssl.call", "GET /insurance"),
    (BLOCKED, "session.get", "requests.call -> socket.call", "GET /insurance"),
    (BLOCKED, "urllib.request.urlopen", "urllib.call -> socket.call", "GET /insurance"),
    (BLOCKED, "cache.get", "redis.call -> socket.call", "GET /insurance"),
    (BLOCKED, "session.execute", "sqlalchemy.call", "GET /patients"),
    (BLOCKED, "cursor.execute", "", "GET /patients"),
    (BLOCKED, "users.find_one", "pymongo.call -> socket.call", "GET /patients"),
    (BLOCKED, "subprocess.run", "subprocess.call -> selectors.call", "GET /letter"),
    (BUSY, "os.system", "", "GET /letter"),
    (BLOCKED, "self.lock.acquire", "", "GET /stock"),
    (BLOCKED, "jobs.get", "queue.call -> threading.call", "GET /stock"),
    (BLOCKED, "future.result", "concurrent.call -> threading.call", "GET /stock"),
    (BLOCKED, "open(...).read", "", "GET /xray"),
    (BLOCKED, "path.read_text", "pathlib.call", "GET /xray"),
    (BUSY, "s3.get_object", "botocore.call -> socket.call", "GET /xray"),
    (BLOCKED, "charge.create", "stripe.call -> urllib3.call", "GET /xray"),
    (BLOCKED, "sock.recv", "", "GET /xray"),
    (BLOCKED, "", "", "GET /xray"),
    (BUSY, "bcrypt.hashpw", "", "GET /login"),
    (BUSY, "image.resize", "PIL.call", "GET /login"),
    (BUSY, "re.search", "re.call", "GET /search"),
    (BUSY, "EMAIL.fullmatch", "", "GET /search"),
    (BUSY, "json.dumps", "json.call", "GET /export"),
    (BUSY, "order.model_dump", "pydantic.call", "GET /export"),
    (BUSY, "tokenizer.encode", "transformers.call", "GET /risk"),
    (Verdict.GIL_BOUND, "", "", "GET /risk"),
    (Verdict.THREAD_POOL, "", "", "GET /insurance"),
    (Verdict.EXECUTOR_POOL, "", "", "GET /xray"),
    (Verdict.WRONG_ANSWER, "", "", "GET /dose"),
    (Verdict.DEADLOCK, "anyio.from_thread.run", "", "GET /bill"),
    (Verdict.DEADLOCK, "", "", "GET /bill"),
    (Verdict.CPU_BOUND, "", "", "GET /badge"),
]


def line(call: str, library: str, *, is_serialising: bool = False) -> Culprit:
    """A guilty line."""
    what = {"file": "shop.py", "line": 7, "function": "route", "call": call, "library": library}
    sums = dict.fromkeys(
        ("share", "hold_seconds", "holds", "longest", "median", "blind", "outside_requests"), 1
    )
    return Culprit(**what, **sums, is_serialising=is_serialising)  # type: ignore[arg-type]


def chosen(
    verdict: Verdict,
    call: str = "",
    library: str = "",
    *,
    is_async: bool = True,
    places: float = 1.0,
) -> Remedy:
    """The remedy of a route that takes 100 ms."""
    remedy = choose_remedy(
        verdict, line(call, library), service_s=0.1, is_async=is_async, concurrency=places
    )
    assert remedy
    return remedy


def all_of_them() -> list[Remedy]:
    """The remedies of all rows of `CASES`, and those that places or the kind of route decide."""
    named = [
        chosen(verdict, call, library, is_async=verdict in {BLOCKED, BUSY})
        for verdict, call, library, _ in CASES
    ]
    return [
        *named,
        chosen(Verdict.THREAD_POOL),
        chosen(Verdict.DEADLOCK),
        *(chosen(PLACES, places=places) for places in (0.99, 4.02, 10.1, 14.8)),
    ]


@pytest.mark.parametrize(("verdict", "call", "library", "twin"), CASES)
def test_the_guilty_call_finds_its_remedy(
    verdict: Verdict, call: str, library: str, twin: str
) -> None:
    """By its own name or by the library below it."""
    remedy = chosen(verdict, call, library, is_async=verdict in {BLOCKED, BUSY})
    assert twin == remedy.twin
    assert "CALL" not in "".join(remedy.before + remedy.after)


def test_a_pool_is_known_by_its_size() -> None:
    """And a `def` dependency by the route that is none."""
    twins = [chosen(PLACES, places=places).twin for places in (1.04, 9.8, 14.6, 4.0, 12.5)]
    assert twins == ["GET /stock", "GET /patients", "GET /patients", "GET /beds", "GET /beds"]
    assert chosen(PLACES, places=4.02).before == ("places = asyncio.Semaphore(4)",)
    assert "dependency" in chosen(Verdict.THREAD_POOL, is_async=True).title
    assert "dependency" not in chosen(Verdict.THREAD_POOL, is_async=False).title


def test_a_deadlock_of_an_async_route_is_no_matter_of_its_thread() -> None:
    """Unless it is seen to call back into the loop from one."""
    assert chosen(Verdict.DEADLOCK).twin == "GET /surgery"
    assert chosen(Verdict.DEADLOCK, "asyncio.run_coroutine_threadsafe").twin == "GET /bill"
    assert chosen(Verdict.DEADLOCK, is_async=False).twin == "GET /bill"
    assert chosen(Verdict.DEADLOCK, places=40.0).expect == (
        "64 users are answered in little more than 100 ms each, or as fast as the core can,"
        " instead of never."
    )


def test_a_full_core_has_a_capacity() -> None:
    """The CPU of a request decides, not the time that it takes; without it, nothing is said."""
    for cores, cpu, sentence in (
        (1, 0.05, "1 core / 50.0 ms of CPU per request = 20.0 requests/s at most"),
        (4, 0.02, "4 cores / 20.0 ms of CPU per request = 200 requests/s at most"),
        (4, None, ""),
    ):
        remedy = choose_remedy(
            Verdict.CPU_BOUND,
            service_s=0.1,
            is_async=False,
            concurrency=1.0,
            cores=cores,
            cpu_s=cpu,
        )
        assert remedy
        assert "no rewriting to `async def` helps" in remedy.title
        assert remedy.expect.startswith(sentence)
        assert bool(sentence) == bool(remedy.expect)


def test_every_rule_is_the_first_that_fits_somewhere() -> None:
    """None hides behind another."""
    assert {cure.title for cure in REMEDY_RULES} == {remedy.title for remedy in all_of_them()}


def test_a_remedy_is_two_to_six_lines_that_compile() -> None:
    """Inside a route that awaits."""
    for remedy in all_of_them():
        assert 2 <= len(remedy.after) <= 6
        for lines in (remedy.before, remedy.after):
            ast.parse("\n    ".join(["async def route():", *lines]))


def test_what_is_sound_or_unknown_needs_no_remedy() -> None:
    """Nothing is advised blindly."""
    for verdict in (Verdict.SCALES, Verdict.UNKNOWN, Verdict.UNTRUSTED):
        assert (
            choose_remedy(
                verdict, line("time.sleep", ""), service_s=0.1, is_async=True, concurrency=1.0
            )
            is None
        )


def test_what_to_expect_is_littles_law() -> None:
    """64 users, 0.1 s each, by how many are served at once."""
    blocked = chosen(BLOCKED, "time.sleep").expect
    assert blocked.startswith(
        "64 users are answered in little more than 100 ms each instead of 6.40 s. "
        "Served at once grows"
    )
    assert blocked.endswith("a plain `def` is enough: up to 40 at once, about 160 ms each.")
    assert (
        "instead of 1.60 s, if what it calls can take that many"
        in chosen(PLACES, places=4.0).expect
    )
    assert chosen(BUSY, "grind").expect.startswith(
        "About 10.0 requests/s for each core that it may use. Other routes"
    )
    one_core = choose_remedy(
        BUSY, line("grind", ""), service_s=0.1, is_async=True, concurrency=1.0, cores=1
    )
    assert one_core
    assert "may use; this app ran on 1 core, and no run used more. Other" in one_core.expect
    quick = choose_remedy(BLOCKED, service_s=0.01, is_async=False, concurrency=1.0)
    assert quick
    assert quick.expect.startswith(
        "64 users no longer wait 640 ms for their turn: only the core limits how many"
    )
    unmeasured = choose_remedy(BLOCKED, service_s=None, is_async=True, concurrency=None)
    assert unmeasured
    assert unmeasured.expect == ""
    serial = choose_remedy(
        BUSY,
        line("", "pydantic.dump_json", is_serialising=True),
        service_s=0.03,
        is_async=None,
        concurrency=1.0,
    )
    assert serial
    assert serial.twin == "GET /export"


def test_a_remedy_says_what_its_number_was_measured_with() -> None:
    """Where its twin stands for libraries that were never measured."""
    for call, library, measured_with in (
        ("users.find_one", "pymongo.call", "SQLAlchemy and aiosqlite on SQLite"),
        ("cache.get", "redis.call", "aiohttp"),
        ("s3.get_object", "botocore.call", "a file on a slow disk"),
        ("image.resize", "PIL.call", "hashlib"),
        ("tokenizer.encode", "transformers.call", "a loop in pure Python"),
    ):
        assert (
            f" Measured with {measured_with}."
            in chosen(BLOCKED if "get" in call or "find" in call else BUSY, call, library).expect
        )
    assert "Measured" not in chosen(BLOCKED, "time.sleep").expect


def test_every_twin_is_in_the_app_and_sound() -> None:
    """The twin can be run; tests of the antipattern app compare its answers with the mistake.

    Work that moves to the cores fills them: only the loop is free then.
    """
    for cure in REMEDY_RULES:
        is_moved = cure.effect is Effect.CORES
        assert WARD_TRUTH[cure.twin] is (Verdict.CPU_BOUND if is_moved else Verdict.SCALES)


@pytest.mark.parametrize(
    "route", [route for route, verdict in WARD_TRUTH.items() if verdict in {BLOCKED, BUSY}]
)
def test_the_apps_own_guilty_lines_lead_to_the_fix_beside_them(route: str, tmp_path: Path) -> None:
    """As the watchdog sees them, with two users at once."""
    path, file = route.removeprefix("GET "), tmp_path / "ward-1.jsonl"

    async def visit(client: httpx.AsyncClient) -> None:
        await client.get(path)
        watch = Watchdog(file, ROOT)
        watch.start(asyncio.get_running_loop())
        await asyncio.sleep(0.03)
        await asyncio.gather(client.get(path), client.get(path))
        await asyncio.sleep(0.03)
        watch.stop()

    visited(visit)
    blames = summarise_holds(read_holds(tmp_path, "ward", 0.0), [(0, 1e12)], [ROOT]).culprits
    remedy = choose_remedy(
        WARD_TRUTH[route], blames[0], service_s=0.1, is_async=True, concurrency=1.0
    )
    assert remedy
    assert "/".join(route.split("/")[:2]) == remedy.twin, blames[0]
