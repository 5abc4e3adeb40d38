"""From a verdict and its culprit to the remedy, and the number to expect of it.

The rules stand in `remedy_rules.py`. Expectations follow from Little's law: of N users that share c
places each waits N S / c.
"""

import re
from collections.abc import Sequence

from reports.formatting import format_count, format_number, format_seconds
from reports.verdicts.culprit import Culprit
from reports.verdicts.findings import NEAR_POOL_SIZE
from reports.verdicts.model import Remedy, Verdict
from reports.verdicts.remedy_rules import MEASURED_WITH, REMEDY_RULES, Effect, RemedyRule

_EXAMPLE_USERS = 64
_ANYIO_THREADS = 40  # AnyIO's default
# requests/s that one core answers through an awaited library, as the twins show
_SINGLE_CORE_RATE = 700.0


def choose_remedy(  # noqa: PLR0913 - what is known of a route
    verdict: Verdict,
    culprit: Culprit | None = None,
    *,
    service_s: float | None,
    is_async: bool | None,
    concurrency: float | None,
    cores: int | None = None,
) -> Remedy | None:
    """What to do about a verdict; nothing where nothing is wrong, or nothing known.

    `culprit` is the line that holds the loop, if any; `concurrency` is how many are served at
    once, `cores` how many the app had.
    """
    call, packages = (culprit.call, _called_packages(culprit)) if culprit else ("", [])
    for rule in REMEDY_RULES:
        if (
            verdict in rule.verdicts
            and rule.is_async in {None, is_async}
            and _is_matching_rule(rule, call, packages, concurrency)
        ):
            names = {"CALL": call or "work", "PLACES": str(round(concurrency or 1))}
            before, after = (
                tuple(_fill_placeholders(line, names) for line in lines)
                for lines in (rule.before, rule.after)
            )
            expectation = _describe_effect(
                rule.effect, service_s, max(concurrency or 1.0, 1.0), cores
            )
            expectation += (
                f" Measured with {MEASURED_WITH[rule.twin]}."
                if expectation and rule.twin in MEASURED_WITH
                else ""
            )
            expectation += (
                _describe_plain_def(service_s)
                if rule.is_plain_def_enough and is_async and service_s
                else ""
            )
            return Remedy(rule.title, before, after, expectation, rule.twin)
    return None


def _called_packages(culprit: Culprit) -> list[str]:
    """The packages below the culprit, nearest and innermost; and whether it makes an answer."""
    names = [name.partition(".")[0] for name in culprit.library.split(" -> ")]
    return [*names, "serialising"] if culprit.is_serialising else names


def _is_matching_rule(
    rule: RemedyRule, call: str, packages: Sequence[str], concurrency: float | None
) -> bool:
    """Whether a rule fits by call, nearest or deeper library, or places; or asks for none."""
    if rule.pool_sizes:
        return any(
            abs((concurrency or 0.0) / size - 1) < NEAR_POOL_SIZE for size in rule.pool_sizes
        )
    matches = [bool(re.search(rule.call_pattern, call))] if rule.call_pattern else []
    matches += (
        [bool(re.fullmatch(rule.library_pattern, packages[0] if packages else ""))]
        if rule.library_pattern
        else []
    )
    matches += (
        [any(re.fullmatch(rule.deeper_pattern, name) for name in packages)]
        if rule.deeper_pattern
        else []
    )
    return any(matches) or not matches


def _fill_placeholders(line: str, names: dict[str, str]) -> str:
    """Fill this call's names into a line."""
    return re.sub("|".join(names), lambda match: names[match[0]], line)


def _describe_effect(
    effect: Effect, service: float | None, concurrency: float, cores: int | None
) -> str:
    """One sentence: how long requests take then, not now, or how many per second are answered."""
    if effect is Effect.CORRECT_ANSWER:
        return "The right answer; only then is its speed worth measuring."
    if not service:
        return ""
    now = format_seconds(_EXAMPLE_USERS * service / concurrency)
    if effect is Effect.CORES:
        here = (
            f"; the app had {format_count(cores, 'core')} here, and more were not tried"
            if cores
            else ""
        )
        return (
            f"About {format_number(1 / service)} requests/s for each core that it may use{here}."
            " Other routes do not wait for it."
        )
    if effect is Effect.NO_WORK:
        return (
            f"The {format_seconds(service)} of each request are gone, and with {_EXAMPLE_USERS}"
            f" users nobody waits {now} for their turn."
        )
    if _EXAMPLE_USERS / service > _SINGLE_CORE_RATE:
        return (
            f"{_EXAMPLE_USERS} users no longer wait {now} for their turn: as many are answered as"
            " one core can."
        )
    bears = ", if what is behind it bears that many" if effect is Effect.LARGER_POOL else ""
    return (
        f"{_EXAMPLE_USERS} users are answered in little more than {format_seconds(service)} each"
        f" instead of {now}{bears}; served at once grows with the users until the core, or a pool"
        " of your own size, is full."
    )


def _describe_plain_def(service: float) -> str:
    """What a route that holds the loop gains as a plain `def`."""
    return (
        f" Where it awaits nothing else, a plain `def` does: up to {_ANYIO_THREADS} at once, about"
        f" {format_seconds(_EXAMPLE_USERS * service / _ANYIO_THREADS)} each."
    )
