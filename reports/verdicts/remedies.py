"""From a verdict and its guilty line to what should be written instead, and the number to expect of that.

The rules stand in `cures.py`. Expectations follow from Little's law: of N users that share c places each waits N S / c.
"""

import re
from collections.abc import Sequence

from reports.formatting import count, number, seconds
from reports.verdicts.culprit import Blame
from reports.verdicts.findings import NEAR
from reports.verdicts.model import Remedy, Verdict
from reports.verdicts.remedy_rules import CURES, MEASURED, Cure, Gain

USERS = 64
THREADS = 40  # of AnyIO
EASILY = 700.0  # requests/s that one core answers through an awaited library, as the twins show


def remedy(  # noqa: PLR0913 - what is known of a route
    verdict: Verdict,
    blame: Blame | None = None,
    *,
    service_s: float | None,
    is_async: bool | None,
    places: float | None,
    cores: int | None = None,
) -> Remedy | None:
    """What to do about a verdict; nothing where nothing is wrong, or nothing known.

    `blame` is the line that holds the loop, where one does; `places` is how many are served at once, `cores` how many the app had.
    """
    call, below = (blame.call, libraries(blame)) if blame else ("", [])
    for cure in CURES:
        if verdict in cure.on and cure.is_async in {None, is_async} and fits(cure, call, below, places):
            names = {"CALL": call or "work", "PLACES": str(round(places or 1))}
            before, after = (tuple(filled(line, names) for line in lines) for lines in (cure.before, cure.after))
            told = expected(cure.gain, service_s, max(places or 1.0, 1.0), cores)
            told += f" Measured with {MEASURED[cure.twin]}." if told and cure.twin in MEASURED else ""
            told += simpler(service_s) if cure.also_def and is_async and service_s else ""
            return Remedy(cure.title, before, after, told, cure.twin)
    return None


def libraries(blame: Blame) -> list[str]:
    """The packages below the guilty line, nearest and innermost; and whether the framework makes an answer there."""
    names = [name.partition(".")[0] for name in blame.library.split(" -> ")]
    return [*names, "serialising"] if blame.is_serialising else names


def fits(cure: Cure, call: str, below: Sequence[str], places: float | None) -> bool:
    """Whether a rule is meant: by its call or its library, by one deeper down, or by the places; one that asks for nothing always is."""
    if cure.places:
        return any(abs((places or 0.0) / size - 1) < NEAR for size in cure.places)
    asked = [bool(re.search(cure.call, call))] if cure.call else []
    asked += [bool(re.fullmatch(cure.library, below[0] if below else ""))] if cure.library else []
    asked += [any(re.fullmatch(cure.deeper, name) for name in below)] if cure.deeper else []
    return any(asked) or not asked


def filled(line: str, names: dict[str, str]) -> str:
    """A line about this very call."""
    return re.sub("|".join(names), lambda found: names[found[0]], line)


def expected(gain: Gain, service: float | None, places: float, cores: int | None) -> str:
    """One sentence: how long requests take afterwards instead of now, or how many per second are answered."""
    if gain is Gain.RIGHT:
        return "The right answer; only then is its speed worth measuring."
    if not service:
        return ""
    now = seconds(USERS * service / places)
    if gain is Gain.CORES:
        here = f"; the app had {count(cores, 'core')} here, and more were not tried" if cores else ""
        return f"About {number(1 / service)} requests/s for each core that it may use{here}. Other routes do not wait for it."
    if gain is Gain.NOTHING_LEFT:
        return f"The {seconds(service)} of each request are gone, and with {USERS} users nobody waits {now} for their turn."
    if USERS / service > EASILY:
        return f"{USERS} users no longer wait {now} for their turn: as many are answered as one core can."
    bears = ", if what is behind it bears that many" if gain is Gain.WIDER else ""
    return (
        f"{USERS} users are answered in little more than {seconds(service)} each instead of {now}{bears}; "
        "served at once grows with the users until the core, or a pool of your own size, is full."
    )


def simpler(service: float) -> str:
    """What a route that holds the loop gains by losing one word."""
    return f" Where it awaits nothing else, a plain `def` does: up to {THREADS} at once, about {seconds(USERS * service / THREADS)} each."
