"""Computing inside `async def` holds the loop as sleeping does; a thread saves the loop, and computes no faster on one interpreter."""

from dataclasses import dataclass

from reports.claims.model import Claim, Judgement, Outcome, at_once, measured_route, neighbour
from reports.formatting import seconds, share
from reports.metrics.model import Bystander, Level, Route, Study
from reports.verdicts.neighbours import ONE, SWITCH, VISITS, Wait, delays, waits_for

COMPUTES = 0.5  # CPU of an answer as a share of its service time: waiting has next to none, computing all but what others took


def judge(study: Study) -> Judgement:
    """Inline, one at once and the neighbour behind whole requests; in a thread, one at once and no whole request in its way."""
    inline, threaded = ([tried(study, f"{how} {what}") for what in ("cpu", "hash")] for how in ("broken-async", "to-thread"))
    blocks = all(one.is_one and one.computes and one.felt is Wait.REQUESTS for one in inline)
    lives = all(one.is_one and one.computes for one in threaded) and [one.felt for one in threaded] == [Wait.TURNS, Wait.NOTHING]
    users, service = inline[0].level.users, inline[0].route.service or 0.0
    turns, whole = delays(users, service).values()
    return Judgement(
        predicted=f"1 at once on one core, however written; the async neighbour's p90 inline at least 0.9 x {users} users x {seconds(service)} = "
        f"{seconds(whole)}; in threads that keep the GIL some {VISITS} x {users} x {seconds(SWITCH)} = {seconds(turns)}; in threads "
        f"that let it go less than half of that, {seconds(turns / 2)}",
        measured="; ".join(one.words for one in (*inline, *threaded)),
        outcome=Outcome.CONFIRMED if blocks and lives else Outcome.REFUTED,
        why="the loop computes one thing at a time and lets nobody in between; a thread saves the loop, slowed by turns of the GIL "
        "unless the code lets it go. This app has one core, so nothing serves more; on several, code that lets the GIL go would"
        if blocks and lives
        else "computing inline did not hold the loop"
        if not blocks
        else "threads that keep the GIL and threads that let it go did not differ as they should, or more than one was served at once",
        bars=tuple(
            (f"{one.route.variant}, ms", 1000 * one.beside.loaded.low if one.beside.loaded else 0.0) for one in (*inline, *threaded)
        ),
    )


@dataclass(frozen=True, slots=True)
class Tried:
    """One way to compute, as measured."""

    route: Route
    level: Level
    beside: Bystander

    @property
    def is_one(self) -> bool:
        """Whether one was served at once."""
        return (self.route.served or 0.0) < ONE

    @property
    def computes(self) -> bool:
        """Whether the work takes CPU: else something waits, and this is about nothing."""
        return (self.level.cpu or 0.0) / self.level.rate >= COMPUTES * (self.route.service or 0.0)

    @property
    def felt(self) -> Wait | None:
        """What the neighbour waits for."""
        return waits_for(self.beside, self.level.users, self.route.service or 0.0)

    @property
    def words(self) -> str:
        """What was measured of it."""
        low = self.beside.loaded.low if self.beside.loaded else None
        return f"{self.route.variant} {at_once(self.route)} at once, core {share(self.level.cpu or 0.0)} full, neighbour {seconds(low)}"


def tried(study: Study, variant: str) -> Tried:
    """One of the four ways. Raises Untestable without it."""
    route, level, _, _ = measured_route(study, variant)
    return Tried(route, level, neighbour(route, "async")[0])


CLAIM = Claim(
    id="cpu-blocks",
    sentence="Computing inside `async def` blocks the loop, password hashing too; in a thread the loop lives, slowed where the GIL is kept.",
    source="Common Pitfalls",
    judge=judge,
    needs=("neighbours/", *(f"crowd/{how} {what}/" for how in ("broken-async", "to-thread") for what in ("cpu", "hash"))),
)
