"""What to write instead of what: the rules of `remedies.py`, of which the first that fits wins.

`CALL` stands for the culprit's call. Each line is Python that compiles inside an `async def`; the
twin is the route of `targets.antipatterns` that is written so.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

from results.verdicts import LOOP_VERDICTS, Verdict

_RUN_IN_EXECUTOR = "await asyncio.get_running_loop().run_in_executor"
_IN_THREADS = (
    "threads = ThreadPoolExecutor(64)  # once, in the lifespan; asyncio.to_thread has cpus + 4",
    "work = functools.partial(CALL, ...)  # with its arguments",
    f"found = {_RUN_IN_EXECUTOR}(threads, work)",
)


class Effect(Enum):
    """What a remedy brings."""

    CONCURRENT_WAITS = auto()  # all users wait at the same time
    CORES = auto()  # the cores share the work
    NO_WORK = auto()
    LARGER_POOL = auto()  # as many places as users
    CORRECT_ANSWER = auto()
    ANY_ANSWER = auto()  # requests no longer wait for one another
    LESS_CPU = auto()  # the cores answer more requests


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to write instead, and the effect; `twin` is such a route of `targets.antipatterns`."""

    title: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    expect: str
    twin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyRule:
    """One rule: on which verdicts, for which call or library (empty fits all), and what to do.

    That is to use threads of one's own, where a rule does not say otherwise.
    """

    verdicts: tuple[Verdict, ...] = LOOP_VERDICTS
    call_pattern: str = ""  # as it is written in the user's code; looked for anywhere in it
    library_pattern: str = ""  # or directly below it; its whole name
    deeper_pattern: str = ""  # or further down
    pool_sizes: tuple[int, ...] = ()  # served at once
    is_async: bool | None = None
    is_plain_def_enough: bool = False  # whether a plain `def` would do, as it is
    title: str
    before: tuple[str, ...] = ("CALL(...)",)
    after: tuple[str, ...] = _IN_THREADS
    twin: str = "GET /xray"
    effect: Effect = Effect.CONCURRENT_WAITS


_BLOCKED, _BUSY = (Verdict.LOOP_BLOCKED,), (Verdict.LOOP_BUSY,)
_HTTP_LIBRARIES = "requests|urllib3?|http|httpx|httplib2|pycurl"
_DATABASE_LIBRARIES = (
    "sqlite3|psycopg2?|pymysql|MySQLdb|mysql|oracledb|pyodbc|pymongo|peewee|django|duckdb"
)
_FETCH = ("async with session.get(url) as answer:", "    found = await answer.json()")
_IN_PROCESSES = (
    "processes = ProcessPoolExecutor()  # once, in the lifespan",
    "work = functools.partial(CALL, ...)  # a function of a module; arguments that pickle",
    f"found = {_RUN_IN_EXECUTOR}(processes, work)",
)

_THREAD_KEPT = RemedyRule(
    verdicts=(Verdict.DEADLOCK,),
    call_pattern=r"from_thread\.run|run_coroutine_threadsafe|async_to_sync|syncify",
    title="Keep no thread while waiting for another place of a pool: write it as `async def`",
    before=(
        "def route():  # or a `def` dependency: keeps a thread, and needs a second one",
        "    return anyio.from_thread.run(anyio.to_thread.run_sync, save)",
    ),
    after=(
        "threads = ThreadPoolExecutor(64)  # once, in the lifespan",
        "async def route():  # keeps no thread",
        f"    return {_RUN_IN_EXECUTOR}(threads, save)",
        "# keep no connection of a pool either while you wait for a thread",
    ),
    twin="GET /bill",
    effect=Effect.ANY_ANSWER,
)

# what a twin that stands for other libraries, too, was measured with
MEASURED_WITH = {
    "GET /insurance": "aiohttp",
    "GET /patients": "SQLAlchemy and aiosqlite on SQLite",
    "GET /xray": "a file on a slow disk",
    "GET /login": "hashlib",
    "GET /risk": "a loop in pure Python",
}

REMEDY_RULES: tuple[RemedyRule, ...] = (
    RemedyRule(
        call_pattern=r"(^|\.)sleep$",
        is_plain_def_enough=True,
        title="Await the sleep",
        after=(
            "async def helper():  # and every caller of it, up to the route, awaits",
            "    await asyncio.sleep(delay)",
        ),
        twin="GET /report",
    ),
    RemedyRule(
        call_pattern=r"(Async)?Client$|create_(default|ssl)_context$|^boto3\.(client|resource)$",
        title="Open one client for the whole app, not one for each request",
        before=("CALL(...)  # for each request: loads the certificates and connects again",),
        after=(
            "session = aiohttp.ClientSession()  # or httpx.AsyncClient(), once, in the lifespan",
            *_FETCH,
        ),
        twin="GET /insurance",
    ),
    RemedyRule(
        library_pattern=_HTTP_LIBRARIES,
        is_plain_def_enough=True,
        title="Await an HTTP client that the whole app shares",
        after=(
            "session = aiohttp.ClientSession()  # once, in the lifespan",
            *_FETCH,
            "# a shared httpx.AsyncClient is good for about 20 calls; then its pool fills the core",
        ),
        twin="GET /insurance",
    ),
    RemedyRule(
        library_pattern="redis",
        title="Await Redis",
        after=(
            "client = redis.asyncio.Redis()  # once, in the lifespan",
            "found = await client.get(key)",
        ),
        twin="GET /insurance",
    ),
    RemedyRule(
        library_pattern="sqlalchemy|sqlmodel",
        title="Await the session",
        before=("with Session(engine) as session:", "    found = CALL(...)"),
        after=(
            "engine = create_async_engine(url, pool_size=64)  # once; the default is 5 + 10",
            "async with AsyncSession(engine) as session:",
            "    found = await session.execute(query)",
        ),
        twin="GET /patients",
    ),
    RemedyRule(
        call_pattern=r"\.(execute\w*|fetch(one|all|many)|commit)$",
        library_pattern=_DATABASE_LIBRARIES,
        title="Await the database: aiosqlite, psycopg.AsyncConnection, asyncmy, AsyncMongoClient",
        after=(
            "cursor = await connection.execute(query)  # of a pool that the lifespan opens",
            "rows = await cursor.fetchall()",
        ),
        twin="GET /patients",
    ),
    RemedyRule(
        library_pattern="subprocess",
        call_pattern=r"^os\.(system|popen|wait\w*)$",
        is_plain_def_enough=True,
        # create_subprocess_exec starts it on the loop
        title="Start the other program, and wait for it, in a thread of your own",
        twin="GET /letter",
    ),
    RemedyRule(
        verdicts=_BLOCKED,
        call_pattern=r"(^|\.)acquire$|__enter__$",
        title="Await the lock, and hold it around memory only",
        after=(
            "lock = asyncio.Lock()  # once, instead of threading.Lock",
            "async with lock:  # nothing inside that waits",
            "    taken += 1",
            "await save()  # after it",
        ),
        twin="GET /stock",
    ),
    RemedyRule(
        verdicts=_BLOCKED,
        library_pattern="concurrent|queue|threading|multiprocessing",
        title="Await the other thread",
        after=(
            "found = await asyncio.wrap_future(future)  # instead of future.result()",
            "# asyncio.Queue and asyncio.Event instead of queue.Queue and threading.Event",
        ),
        twin="GET /stock",
    ),
    RemedyRule(
        verdicts=_BUSY,
        library_pattern="re|regex",
        call_pattern=r"(?i)(^re|pattern|regex\w*|_re)\.\w+$|\.((full)?match|find(all|iter)|subn?)$",
        title="Bound the pattern, and the text",
        after=(
            'PATTERN = re.compile("a{1,64}")  # once; no repetition of a repetition, as in (a+)+',
            "found = len(text) <= 64 and PATTERN.fullmatch(text)",
        ),
        twin="GET /search",
        effect=Effect.NO_WORK,
    ),
    RemedyRule(
        verdicts=_BUSY,
        call_pattern=(
            r"(^|\.)(dumps?|model_dump(_json)?|dict)$|jsonable_encoder$|JSONResponse$"
            r"|(?i:serialize\w*)$"
        ),
        deeper_pattern="serialising",  # the framework's own work on what a route returns
        title="Write a long answer once, not for each request",
        after=(
            "WRITTEN = JSONResponse(rows).body  # when the rows change; or return pages",
            'return Response(WRITTEN, media_type="application/json")',
        ),
        twin="GET /export",
        effect=Effect.NO_WORK,
    ),
    RemedyRule(
        library_pattern=(
            "hashlib|bcrypt|argon2|passlib|pwdlib|nacl|cryptography"
            "|zlib|gzip|bz2|lzma|zstandard|PIL|cv2|numpy|scipy"
        ),
        call_pattern=(
            r"^(hashlib|bcrypt|zlib|gzip|bz2|lzma|np|numpy|cv2)\."
            r"|(?i:hash|pbkdf2|scrypt|checkpw|compress)"
        ),
        title="Compute in a thread: this C code releases the GIL",
        after=(
            "cores = ThreadPoolExecutor(os.cpu_count())  # once; more would only take turns",
            "work = functools.partial(CALL, ...)  # with its arguments",
            f"found = {_RUN_IN_EXECUTOR}(cores, work)",
        ),
        twin="GET /login",
        effect=Effect.CORES,
    ),
    RemedyRule(
        call_pattern=(
            r"(^|\.)(open|read\w*|write\w*|flush|fsync|glob|rglob|stat|exists|iterdir|listdir|walk"
            r"|copy\w*|unlink)$"
        ),
        library_pattern="pathlib|shutil|_?io|os|tempfile|glob|codecs|logging",
        is_plain_def_enough=True,
        title="Read and write files in threads of your own",
    ),
    RemedyRule(
        deeper_pattern=_HTTP_LIBRARIES
        + "|httpcore|botocore|grpc|smtplib|ftplib|paramiko|socket|ssl",
        is_plain_def_enough=True,
        title="Await this library's asynchronous twin or, if it has none, use your own threads",
    ),
    RemedyRule(
        verdicts=_BLOCKED,
        is_plain_def_enough=True,
        title="Wait in a thread of your own",
    ),
    RemedyRule(
        verdicts=(Verdict.LOOP_BUSY, Verdict.GIL_BOUND),
        title="Compute in another process: threads only take turns with the GIL",
        after=_IN_PROCESSES,
        twin="GET /risk",
        effect=Effect.CORES,
    ),
    RemedyRule(
        verdicts=(Verdict.THREAD_POOL,),
        is_async=True,
        title="Write a dependency that does not wait as `async def`: `def` takes a thread",
        before=("def dependency():", "    ..."),
        after=("async def dependency():  # what does not wait needs no thread", "    return found"),
        twin="GET /report",
    ),
    RemedyRule(
        verdicts=(Verdict.THREAD_POOL,),
        title="Await an asynchronous library: then no thread waits",
        before=("def route():  # keeps one of 40 threads for as long as it waits", "    ..."),
        after=(
            "async def route():",
            "    async with session.get(url) as answer:",
            "        return await answer.json()",
            "# where there is no such library, more threads, in the lifespan:",
            "anyio.to_thread.current_default_thread_limiter().total_tokens = 64",
        ),
        twin="GET /insurance",
    ),
    RemedyRule(
        verdicts=(Verdict.EXECUTOR_POOL,),
        title="Use threads of your own, as many as are to wait at once",
        before=("await asyncio.to_thread(CALL)  # cpus + 4 threads for the whole app and its DNS",),
    ),
    RemedyRule(
        verdicts=(Verdict.POOL_LIMITED,),
        pool_sizes=(10, 15),
        title="Allow the pool more connections: SQLAlchemy's default is 5 + 10, asyncpg's 10",
        before=("engine = create_async_engine(url)", "pool = await asyncpg.create_pool(url)"),
        after=(
            "engine = create_async_engine(url, pool_size=64)",
            "pool = await asyncpg.create_pool(url, max_size=64)",
        ),
        twin="GET /patients",
        effect=Effect.LARGER_POOL,
    ),
    RemedyRule(
        verdicts=(Verdict.POOL_LIMITED,),
        pool_sizes=(1,),
        title="Hold the lock around memory only",
        before=("async with lock:", "    taken += 1", "    await save()"),
        after=("async with lock:", "    taken += 1", "await save()"),
        twin="GET /stock",
    ),
    RemedyRule(
        verdicts=(Verdict.POOL_LIMITED,),
        title="Find the pool or semaphore of this size, and widen it as far as its target allows",
        before=("places = asyncio.Semaphore(PLACES)",),
        after=(
            "places = asyncio.Semaphore(64)  # once",
            "async with places:",
            "    found = await look_up(key)",
        ),
        twin="GET /beds",
        effect=Effect.LARGER_POOL,
    ),
    RemedyRule(
        verdicts=(Verdict.WRONG_ANSWER,),
        title="Check the answer first: is an `await` forgotten?",
        before=("return look_up(key)  # a coroutine, not what it finds",),
        after=("found = await look_up(key)", "return found"),
        twin="GET /dose",
        effect=Effect.CORRECT_ANSWER,
    ),
    _THREAD_KEPT,
    replace(_THREAD_KEPT, call_pattern="", is_async=False),
    RemedyRule(
        verdicts=(Verdict.DEADLOCK,),
        title="Keep no place while waiting for another one of the same pool",
        before=(
            "async with places:",
            "    async with places:  # the second place for one request",
            "        found = await look_up(key)",
        ),
        after=(
            "places = asyncio.Semaphore(64)  # once; of two pools, all take places in one order",
            "async with places:  # one place for all that the request does",
            "    found = await look_up(key)",
        ),
        twin="GET /surgery",
        effect=Effect.ANY_ANSWER,
    ),
    RemedyRule(
        verdicts=(Verdict.CPU_BOUND,),
        title="Compute less, or only once, or add cores: no rewriting to `async def` helps",
        before=("found = compute(key)  # for each request",),
        after=(
            "known = functools.lru_cache(1000)(compute)  # once: keep what was computed",
            "found = known(key)  # or less: after a log-in, a signed token instead of the password",
            "# or more cores: more machines, uvicorn --workers, or a pool of the cores' size:",
            "processes = ProcessPoolExecutor(os.cpu_count())  # once, in the lifespan",
            f"found = {_RUN_IN_EXECUTOR}(processes, compute, key)",
        ),
        twin="GET /badge",
        effect=Effect.LESS_CPU,
    ),
)
