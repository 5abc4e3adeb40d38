"""The signs that the doctor's rules go by: what counts as harmed, full, explained or waiting, and the same in words."""

import math

from reports.formatting import count, seconds, share
from reports.verdicts.culprit import Blame
from reports.verdicts.model import Exam, Look
from reports.verdicts.neighbours import suffers
from results.thresholds import ALIKE, AT_LEAST, AWAITS, COMPUTES, FEW, FULL, GROWS, MANY, OVERLAP
from results.unloaded import added_wait

MOSTLY = 0.5  # share of the CPU used, or of a time
CAUGHT = 0.1  # share of the time that the watchdog looked
CLEARLY = 1.05  # times what chance could hide
OFTEN = 5  # holds outside any request: what comes by the clock, and did not come at rest, comes more seldom


def outside(exam: Exam) -> float:
    """Share of the held time that is not the route's."""
    return sum(one.share * one.elsewhere for one in exam.held.blames if not is_own(exam, one)) if exam.held else 0.0


def is_own(exam: Exam, line: Blame) -> bool:
    """Whether a line holds the loop because of the route's requests: within one, or so often, and never while nobody asks."""
    is_frequent = line.holds >= OFTEN or line.held >= MOSTLY * exam.watched  # callbacks in a row are one hold
    return line.elsewhere <= MOSTLY or (is_frequent and line.place not in exam.restless)


def is_harmed(look: Look) -> bool:
    """Whether the `async` neighbour suffers."""
    return "async" in look.beside and suffers(look.beside["async"])


def is_calm(exam: Exam) -> bool:
    """Whether the `async` neighbour stayed calm at every level, up to the many, or to the few where the route refuses more.

    What was cut short says nothing: the many, or the watchdog, might have told otherwise.
    """
    looks = [exam.looks[users] for users in (FEW, MANY) if users in exam.looks]
    known = all("async" in one.beside and one.beside["async"].loaded for one in looks)
    is_whole = FEW in exam.looks and (MANY in exam.looks or bool(exam.faults)) and not exam.entry.get("unfit")
    return is_whole and known and not any(is_harmed(one) for one in looks)


def computes(exam: Exam, look: Look) -> bool:
    """Whether the app, with the processes it started, rather computes than waits."""
    return (look.inside.cpu or 0.0) + (look.inside.kin_cpu or 0.0) >= COMPUTES * exam.workers


def is_full(exam: Exam, look: Look) -> bool:
    """Whether the app's processes, and those they started, have no core left."""
    return (look.inside.cpu or 0.0) + (look.inside.kin_cpu or 0.0) >= FULL * exam.workers


def takes(exam: Exam, look: Look) -> float:
    """CPU seconds per request, the app's own children left out."""
    return (look.inside.cpu or 0.0) / look.level.rate if look.level.rate else exam.service


def on_loop(exam: Exam, look: Look) -> bool:
    """Whether it is the loop's own thread that computes. From outside: unless the neighbour only waits for turns with the GIL."""
    if look.inside.loop_cpu is not None:
        return look.inside.loop_cpu >= MOSTLY * (look.inside.cpu or 0.0)
    beside = look.beside.get("async")
    felt = beside.loaded.low if beside and beside.loaded else 0.0
    return felt >= MOSTLY * look.level.users * takes(exam, look)


def explained(exam: Exam, look: Look, grows: float = GROWS) -> bool:
    """Whether users, their pauses and the unloaded time alone give the rate that was measured, or so much of it."""
    return look.level.rate * (exam.service + look.think) >= grows * look.level.users


def may_be_explained(exam: Exam, look: Look) -> bool:
    """The same with as long an unloaded time as so few lone requests allow."""
    return look.level.rate * (exam.unloaded.most + look.think) >= GROWS * look.level.users


def is_unmoved(exam: Exam, look: Look) -> bool:
    """Whether most requests take no longer than among a few users, and nobody starves: a queue would make all of them wait."""
    few = exam.looks[FEW].level
    if look.level.users <= FEW or not few.quartiles or not look.level.quartiles:
        return False
    mean = look.level.mean.low
    nobody_starves = look.level.rate * (mean + look.think) >= GROWS * look.level.users
    return nobody_starves and added_wait(few.quartiles, look.level.quartiles) <= (1 - GROWS) * mean


def is_plateau(exam: Exam, low: Look, high: Look) -> bool:
    """Whether two levels have one rate, though the users of the higher would have given a higher one that chance cannot hide.

    Twice the standard error of a count of n answers is 2 spread / sqrt(n) (renewal process; Cox 1962).
    """
    if may_be_explained(exam, low) or not (low.level.rate and high.level.rate):
        return False
    chance = [2 * exam.spread / math.sqrt(max(one.level.completed, 1)) for one in (low, high)]
    alike = ALIKE + math.hypot(*chance)
    asked = [one.level.users / (exam.service + one.think) for one in (low, high)]
    return abs(high.level.rate / low.level.rate - 1) <= alike and asked[1] / asked[0] >= (1 + alike) * CLEARLY


def harm(look: Look) -> str:
    """What the `async` neighbour felt, in words."""
    beside = look.beside["async"]
    assert beside.idle and beside.loaded  # noqa: S101, PT018 - it suffers, so both are known
    return f"an innocent route went from {seconds(beside.idle.low)} to {seconds(beside.loaded.low)} with {count(look.level.users, 'user')}"


def core(look: Look) -> str:
    """How much CPU the app used, in words."""
    kin = look.inside.kin_cpu or 0.0
    more = f", and its own processes {share(kin)}" if kin >= CAUGHT else ""
    return "an unknown part of a core" if look.inside.cpu is None else f"{share(look.inside.cpu)} of a core{more}"


def expected(exam: Exam) -> float:
    """Requests per second that AnyIO's threads give, all of them busy; less what chance leaves open.

    How long a request keeps a thread is seen where none waits for one: busy threads / rate. A few
    users show it in a hundred requests and more, a single one in a dozen.
    """
    total = (exam.tokens or 0) * exam.workers
    look = exam.looks[FEW if total >= 2 * FEW and exam.looks[FEW].inside.threads else 1]
    kept = (look.inside.threads or 0.0) / look.level.rate if look.level.rate else 0.0
    kept = kept if kept > 0.2 * exam.service else exam.service
    return total / kept * max(0.0, 1 - doubt(look))


def doubt(look: Look) -> float:
    """How far chance may have moved a level's mean latency, as a share of it; 0 where all take as long.

    What lies between 0 and the longest varies by the root of (longest - mean) x mean at most.
    """
    above = max(0.0, look.level.longest.low / look.level.mean.low - 1)
    return math.sqrt(above / look.level.count)


def waits_alone(exam: Exam, look: Look) -> bool:
    """Whether requests wait inside the app for something, though the core is not full, and one at a time: their waits never overlap."""
    alone = exam.looks[1]
    if not alone.level.split or alone.level.split.timer is None or is_full(exam, look):
        return False
    waits = alone.level.split.timer - takes(exam, alone)
    return waits > AWAITS * alone.level.split.timer + AT_LEAST and look.level.rate * waits < OVERLAP * exam.workers


def caught(exam: Exam) -> bool:
    """Whether the watchdog saw requests hold the loop, for a part of the time that counts."""
    return exam.held is not None and exam.held.seconds * (1 - outside(exam)) >= CAUGHT * exam.watched
