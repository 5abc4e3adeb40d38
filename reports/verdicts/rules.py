"""The doctor's rules, all of them, in the order in which they are asked; the first that holds gives the verdict.

 1. It answers wrongly, or with errors once somebody loads it: wrong-answer. It refuses (429, 503): unknown.
 2. A check of its cells failed: untrusted. It was not measured: unknown, with the reason.
 3. The innocent `async` route beside it suffers (p90 five times its idle value and 20 ms or more):
    a. while the app's own threads, and not the loop, fill the core: gil-bound - where a request computes for 10 ms or more, and
       a few of them harm already: with many, any full core does;
    b. while the core idles, or is not full and requests wait one at a time: loop-blocked, however short: nobody may wait on the loop;
    c. while the loop computes: loop-busy, if one request takes 10 ms or more *and* half of its load harms as well; else it scales.
    Behind many users honest work on a full core harms as much: a and c take 10 ms per request, and c half of the load as well.
    A watchdog must have seen b: where nobody holds the loop, somebody else has the core, and the verdict is unknown. It counts
    what the route sets going (a task, a batch), and not what holds the loop while nobody asks.
    d. It suffers seldom, but the watchdog caught requests that hold the loop for 50 ms and more: the same two verdicts, sometimes.
       Garbage collections, which meet any line that asks for memory, are no line's holds: the watchdog tells them apart.
 4. Users, their pauses and the unloaded time (the mean, known to within 15 %) explain the rate; or most requests take as long among
    many users as among a few; or the rate is beyond what one generator asks with room to spare, and the neighbours are calm:
    nothing queues, it scales - at least as far as was asked.
 5. Requests wait for AnyIO's threads, and the rate is what those give: thread-pool. They wait for the loop's executor: executor-pool.
    They wait for another executor: pool-limited.
 6. The core is full: it scales as far as the core goes, for instance in threads that let the GIL go. Or the app computes for more than
    half of the time, whatever its requests wait for they wait for together, and they queue before they enter the app (or hardly queue).
 7. A plateau of one at least, the same at two levels (as far as chance lets one tell), too low for any unloaded time that the lone
    requests allow, with calm neighbours and an idle core: pool-limited, by something with that many places.
    Nothing in the app was seen at it: other processes at work may be what is full, and a limit of requests per second looks alike.
 8. Else: unknown, with what was seen.

Neighbours are asked, not plateaus alone: a route that holds the loop for a tenth of its time imitates a pool of ten. Whatever
else in the app holds the loop while nobody asks is in the idle neighbour already, and the watchdog says "elsewhere".
"""

from collections.abc import Callable

from reports.checks.model import Check
from reports.formatting import count, number, seconds, share
from reports.verdicts.model import Exam, Look, Ruling, Verdict
from reports.verdicts.neighbours import suffers
from reports.verdicts.predicates import (
    MOSTLY,
    caught,
    computes,
    core,
    expected,
    explained,
    harm,
    is_full,
    is_harmed,
    is_plateau,
    is_unmoved,
    on_loop,
    outside,
    takes,
    waits_alone,
)
from results.thresholds import FEW, HOLD, MANY, STARTLING

BUSY = 0.3  # share of all cores that neither app nor generator used
NEAR = 0.15  # how near a rate must come to what a pool of threads gives
PLENTY = 1000.0  # requests per second
LEAST = 0.75  # of one place: whoever serves fewer at once is no pool; a lock may cost something where many wait for it
NEARLY = 0.55  # of the rate that users, pauses and unloaded time allow
A_FEW = 0.1  # of the users: so many may be waiting for a thread while the core is what they wait for
QUEUES = 1.0  # calls that wait, on average
WRONG = 0.01  # share of answers
REFUSALS = ("status 429", "status 503")


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
        if computes(exam, look) and min(exam.service, takes(exam, look)) >= HOLD and (look.inside.kin_cpu or 0.0) < MOSTLY:
            if on_loop(exam, look):
                return busy(exam, look)
            if look.level.users == FEW and is_full(exam, look):
                return gil(exam, look)
    for look in suffering:
        if not computes(exam, look) or waits_alone(exam, look):
            return held(exam, look)
    return None


def held(exam: Exam, look: Look) -> Ruling:
    """Rule 3b, and who is to blame for it."""
    if (elsewhere := outside(exam)) > MOSTLY:
        told = f"the loop is held, but {share(elsewhere)} of that time by what no request has set going, for all that is known"
        return Ruling(Verdict.UNKNOWN, told, "Mend that first: it harms every route.")
    if look.inside.cpu is None or look.others >= BUSY:
        why = "the app's CPU is not known" if look.inside.cpu is None else f"others used {share(look.others)} of the machine"
        if not caught(exam):
            return Ruling(
                Verdict.UNKNOWN, f"{harm(look)}, but {why}: waiting, or for want of a core?", "A machine of its own; MODULE:APP."
            )
    if exam.is_guarded and not caught(exam):
        unseen = exam.entry.get("unwatched") or "there was no time to see who holds the loop"
        why = "nobody was seen holding the loop" if exam.held else unseen
        return Ruling(Verdict.UNKNOWN, f"{harm(look)}, but {why}", "A quiet machine, and more time: --budget.")
    if (exam.computing or 0.0) >= MOSTLY:
        return Ruling(Verdict.LOOP_BUSY, f"{harm(look)}, and who held the loop computed", "Calm neighbours under the same load.")
    return Ruling(Verdict.LOOP_BLOCKED, f"{harm(look)}, while the app used {core(look)}", "Calm neighbours under the same load.")


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
    if not top:
        return None
    told = f"with {count(top.level.users, 'user')} nothing queues at {number(top.level.rate)} requests/s"
    if (exam.unloaded.is_sure and explained(exam, top)) or is_unmoved(exam, top):
        return Ruling(Verdict.SCALES, told, is_bound=True)
    if top.level.rate < PLENTY or is_harmed(top):
        return None
    plenty = f"it answers {number(top.level.rate)} requests/s, and one load generator asks for no more with room to spare"
    return Ruling(Verdict.SCALES, plenty)


def threads(exam: Exam) -> Ruling | None:
    """Rule 5."""
    top = exam.looks.get(MANY) or exam.looks[FEW]
    inside = top.inside
    if (inside.threads_waiting or 0.0) > QUEUES and exam.tokens and not is_full(exam, top):
        if top.level.rate >= (1 - NEAR) * expected(exam):
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


def full(exam: Exam) -> Ruling | None:
    """Rule 6."""
    top = exam.looks.get(MANY) or exam.looks[FEW]
    if not is_full(exam, top):
        return unhurried(exam, top)
    return Ruling(
        Verdict.SCALES,
        f"the core is full ({core(top)}) at {number(top.level.rate)} requests/s",
    )


def unhurried(exam: Exam, top: Look) -> Ruling | None:
    """The end of rule 6. Who waits for a pool does so inside the app; where users are nearly explained, they only come in waves."""
    alone, many = exam.looks[1].level.split, top.level.split
    queued = max(top.inside.threads_waiting or 0.0, top.inside.executor_waiting or 0.0, top.inside.pool_waiting or 0.0)
    if not alone or not many or alone.timer is None or many.timer is None or not computes(exam, top):
        return None
    before = many.total - alone.total - (many.timer - alone.timer)  # seconds that a request waits longer, before it enters the app
    is_outside = before >= MOSTLY * (many.total - alone.total)
    if queued > A_FEW * top.level.users or waits_alone(exam, top) or not (is_outside or explained(exam, top, NEARLY)):
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
    below = [look for users, look in exam.looks.items() if 1 < users < MANY and is_plateau(exam, look, top)]
    if not below:
        return None
    if top.others >= BUSY:
        told = f"a plateau of {number(top.level.rate)} requests/s while other processes used {share(top.others)} of the machine: one of them may be what is full"
        return Ruling(Verdict.UNKNOWN, told, "A quiet machine; or a look at what it asks, a database for instance.")
    served = top.level.rate * exam.service
    if served < LEAST:
        return None  # a pool has one place at least: what is slower than that is no pool
    places = max(1, round(served))
    told = f"with {below[-1].level.users} and {MANY} users the same {number(top.level.rate)} requests/s, neighbours calm, {core(top)} used"
    change = f"Find what has {places} places, or lets {number(top.level.rate)} requests/s pass, and give it more: the plateau moves with it."
    return Ruling(Verdict.POOL_LIMITED, told, change, places, is_inferred=True)


RULES: tuple[Rule, ...] = (unmeasured, harmed, sometimes, nothing_queues, threads, full, plateau)
