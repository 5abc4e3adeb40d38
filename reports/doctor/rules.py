"""The doctor's rules, all of them, in the order in which they are asked; the first that holds gives the verdict.

 1. It answers wrongly, or with errors once somebody loads it: wrong-answer. It refuses (429, 503): unknown.
 2. A check of its cells failed: untrusted. It was not measured: unknown, with the reason.
 3. The innocent `async` route beside it suffers (p90 five times its idle value and 20 ms or more):
    a. while the app's own threads, and not the loop, fill the core: gil-bound - where a request computes for 10 ms or more, and
       a few of them harm already: with many, any full core does;
    b. while the core idles: loop-blocked, however short the wait: nobody may wait on the loop;
    c. while the loop computes: loop-busy, if one request takes 10 ms or more *and* half of its load harms as well; else it scales.
    Behind many users honest work on a full core harms as much: a and c take 10 ms per request, and c half of the load as well.
    A watchdog must have seen b: where nobody holds the loop, somebody else has the core, and the verdict is unknown.
    d. It suffers seldom, but the watchdog caught requests that hold the loop for 50 ms and more: the same two verdicts, sometimes.
       Garbage collections, which meet any line that asks for memory, are no line's holds: the watchdog tells them apart.
 4. Users, their pauses and the unloaded time explain the rate, or it is beyond what one generator asks with room to spare, and
    the neighbours are calm: nothing queues, it scales - at least as far as was asked.
 5. Requests wait for AnyIO's threads, and the rate is what those give: thread-pool. They wait for the loop's executor: executor-pool.
    They wait for another executor: pool-limited.
 6. The core is full: it scales as far as the core goes, for instance in threads that let the GIL go. The app computes for more than
    half of the time, and the handler itself takes no longer than alone: requests wait for the core, and for nothing in the app.
 7. A plateau of one at least, the same at two levels, with calm neighbours and an idle core: pool-limited, by something with that many places.
 8. Else: unknown, with what was seen.

Neighbours are asked, not plateaus alone: a route that holds the loop for a tenth of its time imitates a pool of ten. Whatever
else in the app holds the loop while nobody asks is in the idle neighbour already, and the watchdog says "elsewhere".
"""

from collections.abc import Callable
from dataclasses import dataclass

from reports.checks import Check
from reports.doctor.exam import Exam, Look
from reports.findings import Verdict, suffers
from reports.wording import count, number, seconds, share
from results.limits import ALIKE, COMPUTES, FEW, GROWS, HOLD, MANY, STARTLING, SUFFERS_FROM

MOSTLY = 0.5  # share of the CPU used, or of a time
CAUGHT = 0.1  # share of the time that the watchdog looked
BUSY = 0.3  # share of all cores that neither app nor generator used
FULL = 0.8  # share of a core
NEAR = 0.15  # how near a rate must come to what a pool of threads gives
PLENTY = 1000.0  # requests per second
LONGER = 1.25  # times that a handler takes alone
A_FEW = 0.1  # of the users: so many may be waiting for a thread while the core is what they wait for
QUEUES = 1.0  # calls that wait, on average
WRONG = 0.01  # share of answers
REFUSALS = ("status 429", "status 503")


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict, what it rests on, and what would change it. `places` is how many are served at once, where a pool is to blame."""

    verdict: Verdict
    seen: str
    change: str = ""
    places: int | None = None


Rule = Callable[[Exam], Ruling | None]


def rule(exam: Exam, faults: list[Check]) -> Ruling:
    """Ask the rules one after another."""
    if ruling := wrong(exam):
        return ruling
    if faults and not exam.entry.get("unfit"):
        return Ruling(Verdict.UNTRUSTED, f"{faults[0].why}", faults[0].remedy)
    for ask in RULES:
        if ruling := ask(exam):
            return ruling
    return Ruling(
        Verdict.UNKNOWN, "none of the known mechanisms explains what was seen", "A longer look: --only this route, --budget 10m."
    )


def wrong(exam: Exam) -> Ruling | None:
    """Rule 1."""
    if exam.entry.get("wrong"):
        return Ruling(Verdict.WRONG_ANSWER, exam.entry["wrong"], "An answer of the declared kind.")
    for users, (faults, sent, status) in sorted(exam.faults.items()):
        if faults > WRONG * sent:
            told = f"{faults} of {sent} answers with {count(users, 'user')} were wrong ({status})"
            if status in REFUSALS:
                return Ruling(
                    Verdict.UNKNOWN, f"{told}: it refuses under load, and nothing else can be said", "Lift the limit for a test."
                )
            return Ruling(Verdict.WRONG_ANSWER, told, "Right answers under load: log.txt has the app's words.")
    return None


def unmeasured(exam: Exam) -> Ruling | None:
    """Rule 2."""
    why = exam.entry.get("unfit")
    if not why and (1 not in exam.looks or FEW not in exam.looks):
        why = "it was not measured far enough"
    return Ruling(Verdict.UNKNOWN, why, "More time, or fewer routes: --budget, --only.") if why else None


def harmed(exam: Exam) -> Ruling | None:
    """Rule 3, but for its last part."""
    suffering = [look for users in (FEW, MANY) if (look := exam.looks.get(users)) and is_harmed(look)]
    for look in suffering:
        if computes(exam, look) and takes(exam, look) >= HOLD and (look.inside.kin_cpu or 0.0) < MOSTLY:
            if on_loop(exam, look):
                return busy(exam, look)
            if look.level.users == FEW and is_full(exam, look):
                return gil(exam, look)
    for look in suffering:
        if not computes(exam, look):
            return held(exam, look)
    return None


def held(exam: Exam, look: Look) -> Ruling:
    """Rule 3b, and who is to blame for it."""
    if (elsewhere := outside(exam)) > MOSTLY:
        told = f"the loop is held, but {share(elsewhere)} of that time outside any request"
        return Ruling(Verdict.UNKNOWN, told, "Mend that first: it harms every route.")
    if look.inside.cpu is None or look.others >= BUSY:
        why = "the app's CPU is not known" if look.inside.cpu is None else f"others used {share(look.others)} of the machine"
        if not caught(exam):
            return Ruling(
                Verdict.UNKNOWN, f"{harm(look)}, but {why}: waiting, or for want of a core?", "A machine of its own; MODULE:APP."
            )
    if exam.is_guarded and not caught(exam):
        why = "nobody was seen holding the loop" if exam.held else "there was no time to see who holds the loop"
        return Ruling(Verdict.UNKNOWN, f"{harm(look)}, but {why}", "A quiet machine, and more time: --budget.")
    if (exam.computing or 0.0) >= MOSTLY:
        return Ruling(Verdict.LOOP_BUSY, f"{harm(look)}, and who held the loop computed", "Calm neighbours under the same load.")
    return Ruling(Verdict.LOOP_BLOCKED, f"{harm(look)}, while the app used {core(look)}", "Calm neighbours under the same load.")


def caught(exam: Exam) -> bool:
    """Whether the watchdog saw requests hold the loop, for a part of the time that counts."""
    return exam.held is not None and exam.held.seconds * (1 - outside(exam)) >= CAUGHT * exam.watched


def busy(exam: Exam, few: Look) -> Ruling:
    """Rule 3c."""
    if exam.half is None or "async" not in exam.half or not exam.half["async"].loaded:
        return Ruling(Verdict.UNKNOWN, f"{harm(few)}, computing; half of the load was not measured", "More time: --budget.")
    if suffers(exam.half["async"]):
        half = exam.half["async"].loaded
        told = f"{harm(few)}, and at half of its capacity still {seconds(half.low)}, while the app used {core(few)}"
        return Ruling(Verdict.LOOP_BUSY, told, "Calm neighbours at half of its capacity.")
    return Ruling(Verdict.SCALES, f"it fills the core, and at half of its capacity harms nobody ({core(few)})")


def sometimes(exam: Exam) -> Ruling | None:
    """Rule 3d."""
    caught = [one for one in exam.held.blames if one.elsewhere <= MOSTLY and one.holds > 1] if exam.held else []
    worst = next((one for one in caught if one.longest >= STARTLING and one.median >= STARTLING / 2), None)
    if not worst:
        return None
    told = f"{count(worst.holds, 'hold')} of {seconds(worst.median)}, the longest {seconds(worst.longest)}, in {count(exam.requests, 'request')}"
    verdict = Verdict.LOOP_BUSY if (exam.computing or 0.0) >= MOSTLY else Verdict.LOOP_BLOCKED
    return Ruling(verdict, told, "No such hold in as many requests.")


def nothing_queues(exam: Exam) -> Ruling | None:
    """Rule 4."""
    top = exam.looks.get(MANY)
    if not top or not (explained(exam, top) or (top.level.rate >= PLENTY and not is_harmed(top))):
        return None
    return Ruling(Verdict.SCALES, f"with {count(top.level.users, 'user')} nothing queues at {number(top.level.rate)} requests/s")


def threads(exam: Exam) -> Ruling | None:
    """Rule 5."""
    top = exam.looks.get(MANY) or exam.looks[FEW]
    inside, served = top.inside, top.level.rate * exam.service
    if (inside.threads_waiting or 0.0) > QUEUES and exam.tokens and not is_full(exam, top):
        if served >= (1 - NEAR) * expected(exam):
            told = f"{number(inside.threads_waiting or 0)} requests waited for one of {exam.tokens} threads"
            return Ruling(Verdict.THREAD_POOL, told, "More tokens: the plateau moves with them.", exam.tokens * exam.workers)
        return None  # its threads wait for something with fewer places
    if (inside.executor_waiting or 0.0) > QUEUES and exam.executor and not is_full(exam, top):
        told = f"{number(inside.executor_waiting or 0)} calls waited for one of the executor's {exam.executor} threads"
        return Ruling(Verdict.EXECUTOR_POOL, told, "A `def` twin of the route reaches 40.", exam.executor * exam.workers)
    if (inside.pool_waiting or 0.0) > QUEUES and inside.pool_threads and not is_full(exam, top):
        told = f"{number(inside.pool_waiting or 0)} calls waited for an executor of {inside.pool_threads:.0f} threads"
        return Ruling(Verdict.POOL_LIMITED, told, "A larger executor.", int(inside.pool_threads) * exam.workers)
    return None


def expected(exam: Exam) -> float:
    """Served at once where AnyIO's threads are the limit: tokens x unloaded time / time that a request keeps one.

    The time it keeps one is what a single user's requests had busy, as a share of their latency.
    """
    alone = exam.looks[1]
    turn = exam.service + alone.think
    kept = (alone.inside.threads or 0.0) * turn
    kept = kept if 0.2 * exam.service < kept < exam.service else exam.service
    return (exam.tokens or 0) * exam.workers * exam.service / kept


def full(exam: Exam) -> Ruling | None:
    """Rule 6."""
    top = exam.looks.get(MANY) or exam.looks[FEW]
    if not is_full(exam, top):
        return unhurried(exam, top)
    return Ruling(
        Verdict.SCALES,
        f"the core is full ({core(top)}) at {number(top.level.rate)} requests/s: {seconds(takes(exam, top))} of CPU each",
    )


def unhurried(exam: Exam, top: Look) -> Ruling | None:
    """The end of rule 6."""
    alone, many = exam.looks[1].level.split, top.level.split
    waits = max(top.inside.threads_waiting or 0.0, top.inside.executor_waiting or 0.0, top.inside.pool_waiting or 0.0)
    if (
        not alone
        or not many
        or waits > A_FEW * top.level.users
        or not computes(exam, top)
        or many.served > LONGER * alone.served + SUFFERS_FROM
    ):
        return None
    told = f"requests wait for the core ({core(top)}) at {number(top.level.rate)} requests/s, and for nothing inside the app"
    return Ruling(Verdict.SCALES, told)


def gil(exam: Exam, look: Look) -> Ruling:
    """Rule 3a."""
    told = f"the app used {core(look)} at {number(look.level.rate * exam.service)} at once, and its loop only {share(look.inside.loop_cpu or 0)}"
    return Ruling(Verdict.GIL_BOUND, told, "Processes instead of threads.")


def plateau(exam: Exam) -> Ruling | None:
    """Rule 7."""
    top = exam.looks.get(MANY)
    if not top or is_harmed(top) or "async" not in top.beside or top.level.rate <= 0:  # without neighbours a held loop looks alike
        return None
    below = [look for users, look in exam.looks.items() if 1 < users < MANY and not explained(exam, look)]
    if not any(abs(look.level.rate / top.level.rate - 1) <= ALIKE for look in below):
        return None
    served = top.level.rate * exam.service
    if served < GROWS:
        return None  # a pool has one place at least: what is slower than that is no pool
    places = max(1, round(served))
    told = f"with {below[-1].level.users} and {MANY} users the same {number(top.level.rate)} requests/s, neighbours calm, {core(top)} used"
    return Ruling(Verdict.POOL_LIMITED, told, f"Find what has {places} places and give it more: the plateau moves with it.", places)


RULES: tuple[Rule, ...] = (unmeasured, harmed, sometimes, nothing_queues, threads, full, plateau)


def outside(exam: Exam) -> float:
    """Share of the held time that lies outside any request."""
    return sum(one.share * one.elsewhere for one in exam.held.blames) if exam.held else 0.0


def is_harmed(look: Look) -> bool:
    """Whether the `async` neighbour suffers."""
    return "async" in look.beside and suffers(look.beside["async"])


def computes(exam: Exam, look: Look) -> bool:
    """Whether the app, with the processes it started, rather computes than waits."""
    return (look.inside.cpu or 0.0) + (look.inside.kin_cpu or 0.0) >= COMPUTES * exam.workers


def is_full(exam: Exam, look: Look) -> bool:
    """Whether the app's processes, and those they started, have no core left."""
    return (look.inside.cpu or 0.0) + (look.inside.kin_cpu or 0.0) >= FULL * exam.workers


def takes(exam: Exam, look: Look) -> float:
    """CPU seconds per request."""
    return (look.inside.cpu or 0.0) / look.level.rate if look.level.rate else exam.service


def on_loop(exam: Exam, look: Look) -> bool:
    """Whether it is the loop's own thread that computes. From outside: unless the neighbour only waits for turns with the GIL."""
    if look.inside.loop_cpu is not None:
        return look.inside.loop_cpu >= MOSTLY * (look.inside.cpu or 0.0)
    beside = look.beside.get("async")
    felt = beside.loaded.low if beside and beside.loaded else 0.0
    return felt >= MOSTLY * look.level.users * takes(exam, look)


def explained(exam: Exam, look: Look) -> bool:
    """Whether users, their pauses and the unloaded time alone give the rate that was measured."""
    return look.level.rate * (exam.service + look.think) >= GROWS * look.level.users


def harm(look: Look) -> str:
    """What the `async` neighbour felt, in words."""
    beside = look.beside["async"]
    assert beside.idle and beside.loaded  # noqa: S101, PT018 - it suffers, so both are known
    return f"an innocent route went from {seconds(beside.idle.low)} to {seconds(beside.loaded.low)} with {count(look.level.users, 'user')}"


def core(look: Look) -> str:
    """How much CPU the app used, in words."""
    return "an unknown part of a core" if look.inside.cpu is None else f"{share(look.inside.cpu)} of a core"
