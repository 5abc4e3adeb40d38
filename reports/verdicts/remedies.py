"""From a verdict and its culprit to the remedy, and the number to expect of it.

The rules stand in `remedy_rules.py`. Expectations follow from Little's law: of N users that share c
places each waits N S / c.
"""

import re
from collections.abc import Sequence

from reports.formatting import format_count, format_number, format_seconds
from reports.verdicts.culprit import Culprit
from reports.verdicts.findings import NEAR_POOL_SIZE
from reports.verdicts.model import Remedy
from reports.verdicts.remedy_rules import MEASURED_WITH, REMEDY_RULES, Effect, RemedyRule
from results.verdicts import Verdict

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
    """Return what to do about a verdict; None where nothing is wrong, or nothing known.

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
            expectation = _describe_effect(
                rule.effect, service_s, max(concurrency or 1.0, 1.0), cores
            )
            if expectation and rule.twin in MEASURED_WITH:
                expectation += f" Measured with {MEASURED_WITH[rule.twin]}."
            if rule.is_plain_def_enough and is_async and service_s:
                expectation += (
                    " If the route awaits nothing else, a plain `def` is enough: up to"
                    f" {_ANYIO_THREADS} at once, about"
                    f" {format_seconds(_EXAMPLE_USERS * service_s / _ANYIO_THREADS)} each."
                )
            places = str(round(concurrency or 1))
            before, after = (
                tuple(line.replace("CALL", call or "work").replace("PLACES", places) for line in x)
                for x in (rule.before, rule.after)
            )
            return Remedy(rule.title, before, after, expectation, rule.twin)
    return None


def _called_packages(culprit: Culprit) -> list[str]:
    """Return the packages below the culprit, nearest first; then whether it makes an answer."""
    names = [name.partition(".")[0] for name in culprit.library.split(" -> ")]
    return [*names, "serialising"] if culprit.is_serialising else names


def _is_matching_rule(
    rule: RemedyRule, call: str, packages: Sequence[str], concurrency: float | None
) -> bool:
    """Whether a rule fits by call, nearest or deeper library, or places; or needs none of them."""
    if rule.pool_sizes:
        served = concurrency or 0.0
        return any(abs(served / size - 1) < NEAR_POOL_SIZE for size in rule.pool_sizes)
    if not (rule.call_pattern or rule.library_pattern or rule.deeper_pattern):
        return True
    return (
        bool(rule.call_pattern and re.search(rule.call_pattern, call))
        or any(re.fullmatch(rule.library_pattern, name) for name in packages[:1] if name)
        or any(re.fullmatch(rule.deeper_pattern, name) for name in packages if name)
    )


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
        here = f"; the app had {format_count(cores or 0, 'core')} here, and more were not tried"
        return (
            f"About {format_number(1 / service)} requests/s for each core that it may use"
            f"{here if cores else ''}. Other routes do not wait for it."
        )
    if effect is Effect.NO_WORK:
        return (
            f"Saves {format_seconds(service)} of work per request; the {now} queue at"
            f" {_EXAMPLE_USERS} users disappears."
        )
    if _EXAMPLE_USERS / service > _SINGLE_CORE_RATE:
        return (
            f"{_EXAMPLE_USERS} users no longer wait {now} for their turn: only the core limits"
            " how many are answered."
        )
    provided = ", if what it calls can take that many" if effect is Effect.LARGER_POOL else ""
    return (
        f"{_EXAMPLE_USERS} users are answered in little more than {format_seconds(service)} each"
        f" instead of {now}{provided}; served at once grows with the users until the core, or a"
        " pool of your own size, is full."
    )
