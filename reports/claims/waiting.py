"""Waiting in `async def`, in `def`, and in threads."""

import json

from reports.claims import routes
from reports.claims.model import Claim, MissingData, PartResult
from reports.metrics.model import RunMetrics
from results.formatting import format_share
from results.schema import Variant

_MIN_SHARE_CONFIRMED = 0.9  # of the users: the rest is what a request costs the CPU
_MIN_SHARE_NUANCED = 0.5

BLOCKS_LOOP = Claim(
    id="blocks-loop",
    sentence="A blocking call inside `async def` freezes every request of the worker.",
    source="async def vs def in FastAPI; When to Use def",
    needs=routes.crowd_needs(Variant.BROKEN_ASYNC),
    parts=(routes.holds_loop(Variant.BROKEN_ASYNC),),
    why="the loop runs one thing at a time, and time.sleep does not give it back",
)
_THREADS_NOTE = "the next request waits for a thread, and so does every other `def` route"
DEF_POOL = Claim(
    id="def-pool",
    sentence="`def` routes run in a thread pool and do not block the event loop.",
    source="async def vs def in FastAPI; When to Use def",
    needs=routes.crowd_needs(Variant.SYNC),
    parts=(routes.fills_pool(Variant.SYNC, routes.THREAD_POOL, _THREADS_NOTE),),
)
_EXECUTOR_NOTE = (
    "on this machine, in another pool than the 40 threads of `def`, shared with DNS look-ups"
)
TO_THREAD_FREE = Claim(
    id="to-thread-free",
    sentence="Blocking code called through `asyncio.to_thread` leaves the event loop free.",
    source="Running Sync Code from Async Routes",
    needs=routes.crowd_needs(Variant.TO_THREAD),
    parts=(routes.fills_pool(Variant.TO_THREAD, routes.EXECUTOR, _EXECUTOR_NOTE),),
)


def _judge_async_many(run_metrics: RunMetrics) -> PartResult:
    """Compare served at once with the users; the CPU is the only limit left."""
    measured = routes.measured_route(run_metrics, Variant.ASYNC)
    users, cpu = measured.level.users, measured.level.cpu
    cpu_text = "" if cpu is None else f", server CPU {format_share(cpu)} of a core"
    has_limit = measured.served < _MIN_SHARE_CONFIRMED * users
    return PartResult(
        f"{users} of {users} at once",
        f"{measured.served_interval} of {users} at once{cpu_text}",
        {"most of the users waited for others": measured.served < _MIN_SHARE_NUANCED * users},
        limit="many at once, but the CPU time of each request limits them" if has_limit else "",
        why="at each await the loop serves other requests; one thread is enough",
    )


ASYNC_MANY = Claim(
    id="async-many",
    sentence="At each `await` the event loop serves others: one thread serves all users at once.",
    source="Sync vs Async - The Core Difference",
    needs=("crowd/async/",),
    parts=(_judge_async_many,),
)

_COMPILES_PATH = "/pitfall/compiles"
_SYNTAX_ERROR, _COMPILED = "SyntaxError: 'await' outside async function", "compiled"
# Python's reference: only a coroutine function and any generator expression may use `await`.
_EXPECTED = {
    "await in def": _SYNTAX_ERROR,
    "await in def in async def": _SYNTAX_ERROR,
    "await in async def": _COMPILED,
    "await in a generator in def": _COMPILED,
    "no await in async def": _COMPILED,
}
_UNPROTECTED = {  # what the rule does not protect from, where the compiler accepts it
    "no await in async def": "an `async def` that blocks and awaits nothing",
    "await in a generator in def": "an `await` in a generator expression inside a `def`",
}


def _judge_await_in_def(run_metrics: RunMetrics) -> PartResult:
    """Compare with the messages of the compiler in the Python that runs the app."""
    answers = run_metrics.session_answers("pitfalls", _COMPILES_PATH)
    if not answers:
        raise MissingData(_COMPILES_PATH)
    actual: dict[str, str] = json.loads(answers[0].body)
    unprotected = " and ".join(
        text for name, text in _UNPROTECTED.items() if actual[name] == _COMPILED
    )
    return PartResult(
        _format_compiler_output(_EXPECTED),
        f"Python {actual['python']}: {_format_compiler_output(actual)}",
        {
            f"the compiler answers differently to {name}": (
                expected.partition(":")[0] != actual[name].partition(":")[0]
            )
            for name, expected in _EXPECTED.items()
            if name not in _UNPROTECTED
        },
        limit=unprotected and f"true, but no protection: the compiler also accepts {unprotected}",
        why="the compiler recognises coroutines by their `async`",
    )


def _format_compiler_output(outputs: dict[str, str]) -> str:
    names_by_text: dict[str, list[str]] = {}
    for name in _EXPECTED:
        names_by_text.setdefault(outputs[name], []).append(name)
    return "; ".join(f"{text}: {', '.join(names)}" for text, names in names_by_text.items())


AWAIT_IN_DEF = Claim(
    id="await-in-def",
    sentence="`await` inside a plain `def` is a syntax error.",
    source="async def vs def in FastAPI",
    needs=("asked/pitfalls",),
    parts=(_judge_await_in_def,),
)
