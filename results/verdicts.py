"""The verdicts on a route, in one table: codes, order, colours and sentences for all reports.

A new verdict is an entry here and a rule that gives it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What limits a route, the worst first."""

    LOOP_BLOCKED = "loop-blocked"  # holds the event loop while it waits
    LOOP_BUSY = "loop-busy"  # holds the event loop while it computes
    DEADLOCK = "deadlock"  # its requests wait for one another: none is ever answered
    WRONG_ANSWER = "wrong-answer"  # answers with an error, or with the wrong content
    GIL_BOUND = "gil-bound"  # computes in threads, of which one runs at a time; slows the loop
    EXECUTOR_POOL = "executor-pool"  # queues for a thread of the loop's default executor
    THREAD_POOL = "thread-pool"  # queues for one of AnyIO's worker threads
    POOL_LIMITED = "pool-limited"  # queues for some other pool, semaphore or lock; the loop is free
    CPU_BOUND = "cpu-bound"  # computes so long that a few requests fill the core; the loop is free
    UNKNOWN = "unknown"  # not enough evidence
    UNTRUSTED = "untrusted"  # the run cannot be trusted, so it gives no verdict
    SCALES = "scales"  # serves all users at once, until the CPU is full


class Tone(StrEnum):
    """How good a result is. The value is the name of the page's colour."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    SOFT = "soft"


TERMINAL_COLOURS = {Tone.GOOD: "green", Tone.WARN: "yellow", Tone.BAD: "red", Tone.SOFT: ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFacts:
    """The texts and properties of a verdict."""

    tone: Tone
    mechanism: str = ""  # what limits the route, as part of a sentence
    remedy: str = ""  # what to do if no culprit is known
    ci_title: str = ""  # of the annotation on the culprit's line; "" for none
    holds_loop: bool = False  # all other routes wait for it
    is_pool: bool = False  # it serves as many at once as the pool has places

    @property
    def ci_level(self) -> str:
        """The kind of the annotation; "" without one."""
        level = "error" if self.tone is Tone.BAD else "warning"
        return level if self.ci_title else ""


VERDICTS: dict[Verdict, VerdictFacts] = {
    Verdict.LOOP_BLOCKED: VerdictFacts(
        tone=Tone.BAD,
        mechanism="it holds the event loop while it waits",
        remedy=(
            "Never wait inside `async def` without `await`: await an async library, make the route"
            " a plain `def`, or wrap the call in `await asyncio.to_thread(...)`."
        ),
        ci_title="Blocks the event loop",
        holds_loop=True,
    ),
    Verdict.LOOP_BUSY: VerdictFacts(
        tone=Tone.BAD,
        mechanism="it holds the event loop while it computes",
        remedy="Move the computation off the loop: into a process pool, or at least a thread.",
        ci_title="Computes on the event loop",
        holds_loop=True,
    ),
    Verdict.DEADLOCK: VerdictFacts(
        tone=Tone.BAD,
        mechanism="its requests wait for one another, and none is answered",
        remedy=(
            "Take everything that a request needs at once, or in one order, and let no request keep"
            " a place while it waits for another place of the same pool."
        ),
        ci_title="Stops answering under load",
    ),
    Verdict.WRONG_ANSWER: VerdictFacts(
        tone=Tone.BAD,
        remedy="Check the answers before their speed; a forgotten `await` is a common cause.",
        ci_title="Answers wrongly",
    ),
    Verdict.GIL_BOUND: VerdictFacts(
        tone=Tone.WARN,
        mechanism="its threads compute, and only one at a time has the GIL",
        remedy=(
            "Threads keep the loop free but compute no faster: use a process pool, or a library"
            " that releases the GIL."
        ),
        ci_title="Computes in threads that share the GIL",
    ),
    Verdict.EXECUTOR_POOL: VerdictFacts(
        tone=Tone.WARN,
        mechanism="all threads of the loop's executor are taken",
        remedy=(
            "Fine up to cpus + 4 at once. For more, use `def` (40 threads), a larger executor, or"
            " an async library."
        ),
        ci_title="Queues for the executor's threads",
        is_pool=True,
    ),
    Verdict.THREAD_POOL: VerdictFacts(
        tone=Tone.WARN,
        mechanism="all worker threads are taken",
        remedy=(
            "Fine up to the pool's size. For more, await an async library: more threads only move"
            " the limit."
        ),
        ci_title="Queues for a worker thread",
        is_pool=True,
    ),
    Verdict.POOL_LIMITED: VerdictFacts(
        tone=Tone.WARN,
        mechanism="all places of a shared pool or lock are taken",
        remedy="Find the pool, semaphore or lock of this size.",
        ci_title="Queues for a pool",
        is_pool=True,
    ),
    Verdict.CPU_BOUND: VerdictFacts(
        tone=Tone.WARN,
        mechanism="each request computes, and together they fill the core",
        remedy="Compute less per request, cache the result, or add cores: processes, or machines.",
        ci_title="Fills the core",
    ),
    Verdict.UNKNOWN: VerdictFacts(tone=Tone.SOFT, mechanism="the evidence does not say why"),
    Verdict.UNTRUSTED: VerdictFacts(tone=Tone.BAD),
    Verdict.SCALES: VerdictFacts(tone=Tone.GOOD, mechanism="nothing queues"),
}
LOOP_VERDICTS = tuple(verdict for verdict, facts in VERDICTS.items() if facts.holds_loop)
POOL_VERDICTS = tuple(verdict for verdict, facts in VERDICTS.items() if facts.is_pool)
WORST_FIRST = tuple(VERDICTS)


class ClaimOutcome(StrEnum):
    """How a claim fared on a run."""

    CONFIRMED = "confirmed"  # measured as stated
    NUANCED = "nuanced"  # true, with a limit that the lesson does not mention
    REFUTED = "refuted"  # measured otherwise
    UNTESTED = "untested"  # this run lacks something that the claim needs
