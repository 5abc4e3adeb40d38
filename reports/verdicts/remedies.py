"""From a verdict and its culprit to the remedy, and the number to expect of it.

The rules stand in `remedy_rules.py`. Expectations follow from Little's law: of N users that share c
places each waits N S / c.
"""

import re
from collections.abc import Sequence

from reports.verdicts.remedy_rules import MEASURED_WITH, REMEDY_RULES, Effect, Remedy, RemedyRule
from results.formatting import format_count, format_number, format_seconds
from results.judgement.culprit import Culprit
from results.judgement.predicates import NEAR_POOL_SIZE
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
    cpu_s: float | None = None,
) -> Remedy | None:
    """Return what to do about a verdict; None where nothing is wrong, or nothing known.

    `culprit` is the line that holds the loop, if any. The route serves `concurrency` requests at
    once with `cpu_s` seconds of CPU each, and `cores` is how many cores its app may use.
    """
    call, packages = (culprit.call, _called_packages(culprit)) if culprit else ("", [])
    for rule in REMEDY_RULES:
        if verdict not in rule.verdicts or rule.is_async not in {None, is_async}:
            continue
        if not _is_matching_rule(rule, call, packages, concurrency):
            continue
        served = max(concurrency or 1.0, 1.0)
        effect = _describe_effect(rule.effect, service_s, served, cores, cpu_s)
        if effect and rule.twin in MEASURED_WITH:
            effect += f" Measured with {MEASURED_WITH[rule.twin]}."
        if rule.is_plain_def_enough and is_async and service_s:
            latency = format_seconds(_EXAMPLE_USERS * service_s / _ANYIO_THREADS)
            effect += (
                " If the route awaits nothing else, a plain `def` is enough: up to"
                f" {_ANYIO_THREADS} at once, about {latency} each."
            )
        places = str(round(concurrency or 1))
        before, after = (
            tuple(line.replace("CALL", call or "compute").replace("PLACES", places) for line in x)
            for x in (rule.before, rule.after)
        )
        return Remedy(rule.title, before, after, effect, rule.twin)
    return None


def _called_packages(culprit: Culprit) -> list[str]:
    names = [name.partition(".")[0] for name in culprit.library.split(" -> ")]
    return [*names, "serialising"] if culprit.is_serialising else names


def _is_matching_rule(
    rule: RemedyRule, call: str, packages: Sequence[str], concurrency: float | None
) -> bool:
    """Whether a rule fits by call, library or places; or needs none of them."""
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


def _describe_effect(  # noqa: PLR0911 - one for each effect
    effect: Effect, service: float | None, concurrency: float, cores: int | None, cpu: float | None
) -> str:
    if effect is Effect.CORRECT_ANSWER:
        return "The right answer; only then is its speed worth measuring."
    if effect is Effect.LESS_CPU and cpu:
        cores = cores or 1
        return (
            f"{format_count(cores, 'core')} / {format_seconds(cpu)} of CPU per request ="
            f" {format_number(cores / cpu)} requests/s at most, in any form of the route. Half the"
            f" CPU per request doubles that. One more core adds {format_number(1 / cpu)} requests/s."
        )
    if effect is Effect.LESS_CPU or not service:
        return ""
    now, alone = format_seconds(_EXAMPLE_USERS * service / concurrency), format_seconds(service)
    if effect is Effect.CORES:
        rate = f"About {format_number(1 / service)} requests/s for each core that it may use"
        if cores:
            rate += f"; this app ran on {format_count(cores, 'core')}, and no run used more"
        return f"{rate}. Other routes do not wait for it."
    if effect is Effect.NO_WORK:
        return (
            f"Saves {alone} of work per request. The {now} queue at {_EXAMPLE_USERS} users"
            " disappears."
        )
    if effect is Effect.ANY_ANSWER:
        return (
            f"{_EXAMPLE_USERS} users are answered in little more than {alone} each, or as fast as"
            " the core can, instead of never."
        )
    if _EXAMPLE_USERS / service > _SINGLE_CORE_RATE:
        return (
            f"{_EXAMPLE_USERS} users no longer wait {now} for their turn: only the core limits how"
            " many are answered."
        )
    provided = ", if what it calls can take that many" if effect is Effect.LARGER_POOL else ""
    return (
        f"{_EXAMPLE_USERS} users are answered in little more than {alone} each instead of"
        f" {now}{provided}. Served at once grows with the users until a core, or a pool whose"
        " size you set, is full."
    )
