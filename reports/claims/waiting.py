"""The loop held and freed: waiting in `async def`, in `def`, and in threads."""

import json
from typing import Any

from reports.claims.model import (
    FROZEN_RATIO,
    Claim,
    ClaimOutcome,
    ClaimResult,
    MissingData,
    format_neighbour_p90,
    format_served_interval,
    judge_pool,
    measured_neighbour,
    measured_route,
)
from reports.formatting import format_seconds
from reports.metrics.executor import default_executor_size, server_cpu_count
from reports.metrics.model import RunMetrics
from reports.verdicts.neighbours import SERIAL_LIMIT
from results.schema import Variant

_MIN_SHARE_CONFIRMED = 0.9  # of the users: the rest is what a request costs the CPU
_MIN_SHARE_NUANCED = 0.5


def _judge_async_many(run_metrics: RunMetrics) -> ClaimResult:
    """Served at once against the users of the top level; the CPU is the only limit left."""
    route, top, _, served = measured_route(run_metrics, Variant.ASYNC)
    if served >= _MIN_SHARE_CONFIRMED * top.users:
        outcome, why = (
            ClaimOutcome.CONFIRMED,
            "at each await the loop serves the others; one thread is enough",
        )
    elif served >= _MIN_SHARE_NUANCED * top.users:
        outcome, why = (
            ClaimOutcome.NUANCED,
            "many at once, but the CPU that each request costs has become the limit",
        )
    else:
        outcome, why = ClaimOutcome.REFUTED, "most of the users waited for others"
    cpu = "" if top.cpu is None else f", server CPU {top.cpu:.0%} of a core"
    measured = f"{format_served_interval(route)} of {top.users} at once{cpu}".replace("%", " %")
    return ClaimResult(f"{top.users} of {top.users} at once", measured, outcome, why)


ASYNC_MANY = Claim(
    id="async-many",
    sentence=(
        "At each `await` the event loop serves other requests: one thread, as many at once as ask."
    ),
    source="Sync vs Async - The Core Difference",
    judge=_judge_async_many,
    needs=("crowd/async/",),
)


def _judge_blocks_loop(run_metrics: RunMetrics) -> ClaimResult:
    """Both must hold: a plateau at one, and a neighbour that waits. A lock gives only one."""
    route, top, _, served = measured_route(run_metrics, Variant.BROKEN_ASYNC)
    async_neighbour, ratio = measured_neighbour(route, "async")
    holds = served < SERIAL_LIMIT and ratio >= FROZEN_RATIO
    replay_note = (
        f"; behind a replay of the crowd: {format_seconds(async_neighbour.predicted_p90)}"
        if async_neighbour.predicted_p90
        else ""
    )
    return ClaimResult(
        predicted=(
            f"1 at once; the async neighbour's p90 at least {FROZEN_RATIO:.0f} times its idle"
            f" value{replay_note}"
        ),
        measured=(
            f"{format_served_interval(route)} at once with {top.users} users;"
            f" {format_neighbour_p90(async_neighbour)}"
        ),
        outcome=ClaimOutcome.CONFIRMED if holds else ClaimOutcome.REFUTED,
        why=(
            "the loop runs one thing at a time, and time.sleep does not give it back"
            if holds
            else (
                "either more than one request was served at once, or an innocent route was not"
                " held up"
            )
        ),
    )


BLOCKS_LOOP = Claim(
    id="blocks-loop",
    sentence=(
        "A blocking call inside `async def` freezes every request of the worker: one at once, and"
        " the neighbours wait."
    ),
    source="async def vs def in FastAPI; When to Use def",
    judge=_judge_blocks_loop,
    needs=("neighbours/", "crowd/broken-async/"),
)


# AnyIO's default limiter of worker threads, documented in its manual and in Starlette's
THREAD_TOKENS = 40


def _judge_def_pool(run_metrics: RunMetrics) -> ClaimResult:
    """The loop must stay free, and the plateau must lie at AnyIO's 40."""
    limit = (
        f"true, up to {THREAD_TOKENS} at once: the next one waits for a thread, and so does every"
        " other `def` route"
    )
    return judge_pool(run_metrics, Variant.SYNC, THREAD_TOKENS, "AnyIO's thread tokens", limit)


DEF_POOL = Claim(
    id="def-pool",
    sentence="`def` routes run in a thread pool and do not block the event loop.",
    source="async def vs def in FastAPI; When to Use def",
    judge=_judge_def_pool,
    needs=("neighbours/", "crowd/sync/"),
)


def _judge_to_thread_free(run_metrics: RunMetrics) -> ClaimResult:
    """The loop must stay free; the plateau must lie at the executor's documented size."""
    pool_size = documented_executor_size(run_metrics.run)
    limit = (
        f"true, up to {pool_size} at once on this machine: another pool than the 40 of `def`,"
        " shared with DNS look-ups"
    )
    return judge_pool(run_metrics, Variant.TO_THREAD, pool_size, "min(32, cpus + 4)", limit)


def documented_executor_size(run: dict[str, Any], server: str = Variant.TO_THREAD) -> int:
    """Threads of the default ThreadPoolExecutor: min(32, CPUs + 4), by Python's manual."""
    if not {"python", "cpus"} <= set(run["machine"]):
        raise MissingData("the Python version and the number of CPUs")
    return default_executor_size(server_cpu_count(run, run.get("targets", {}).get(server, {})))


TO_THREAD_FREE = Claim(
    id="to-thread-free",
    sentence="Blocking code called through `asyncio.to_thread` leaves the event loop free.",
    source="Running Sync Code from Async Routes",
    judge=_judge_to_thread_free,
    needs=("neighbours/", "crowd/to-thread/"),
)


_COMPILES_PATH = "/pitfall/compiles"
_SYNTAX_ERROR = "SyntaxError: 'await' outside async function"
_COMPILED = "compiled"
# Python's reference: `await` may only be used in a coroutine function, and in any generator
# expression
_EXPECTED = {
    "await in def": _SYNTAX_ERROR,
    "await in def in async def": _SYNTAX_ERROR,
    "await in async def": _COMPILED,
    "await in a generator in def": _COMPILED,
    "no await in async def": _COMPILED,
}


_UNPROTECTED = {  # what the rule does not protect from, where the compiler takes it
    "no await in async def": "an `async def` that blocks and awaits nothing",
    "await in a generator in def": "an `await` in a generator expression inside a `def`",
}


def _judge_await_in_def(run_metrics: RunMetrics) -> ClaimResult:
    """The compiler's own words, from the Python that runs the app."""
    answers = run_metrics.session_answers("pitfalls", _COMPILES_PATH)
    if not answers:
        raise MissingData(_COMPILES_PATH)
    results: dict[str, str] = json.loads(answers[0]["body"])
    kinds = {
        name: (text.partition(":")[0], results[name].partition(":")[0])
        for name, text in _EXPECTED.items()
    }
    wrong = [
        name
        for name, (expected, actual) in kinds.items()
        if name not in _UNPROTECTED and expected != actual
    ]
    unprotected = [text for name, text in _UNPROTECTED.items() if results[name] == _COMPILED]
    if wrong:
        outcome, why = ClaimOutcome.REFUTED, f"the compiler says otherwise to {' and '.join(wrong)}"
    elif unprotected:
        outcome, why = (
            ClaimOutcome.NUANCED,
            (
                "true, and no protection: without a word the compiler also takes"
                f" {' and '.join(unprotected)}"
            ),
        )
    else:
        outcome, why = ClaimOutcome.CONFIRMED, "the compiler knows coroutines by their `async`"
    return ClaimResult(
        _format_compiler_output(_EXPECTED),
        f"Python {results['python']}:"
        f" {_format_compiler_output({name: results[name] for name in _EXPECTED})}",
        outcome,
        why,
    )


def _format_compiler_output(results: dict[str, str]) -> str:
    """What the compiler says, and to what."""
    alike = {text: [name for name in results if results[name] == text] for text in results.values()}
    return "; ".join(f"{text}: {', '.join(names)}" for text, names in alike.items())


AWAIT_IN_DEF = Claim(
    id="await-in-def",
    sentence="`await` inside a plain `def` is a syntax error.",
    source="async def vs def in FastAPI",
    judge=_judge_await_in_def,
    needs=("asked/pitfalls",),
)
