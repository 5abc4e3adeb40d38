"""Whether one number stands for what was measured: a steady run, a sample large enough, a queue that keeps its law."""

import math
from collections.abc import Iterator

from reports.checks.check import Check
from reports.percentiles import QUANTILES, Latency
from reports.study import Level, Study
from reports.wording import number

INDEPENDENT = 10  # requests beyond a quantile that it takes to print it without doubt


def check(study: Study) -> Iterator[Check]:
    """V15 to V18, V20 and V23 of every load."""
    for route in study.everything:
        for level in route.levels:
            yield from supported(level.cell, level)
        for load in route.offered:
            if load.latency and not load.overloaded:
                yield from supported(load.cell, load.latency)


def supported(cell: str, latency: Latency | Level) -> Iterator[Check]:
    """V17: how many independent requests lie beyond the highest percentile that is printed. Never a fault of the run."""
    printed = [name for name, one in latency.quantiles.items() if one]
    if not printed:
        return
    name = printed[-1]
    beyond = latency.count * (1 - QUANTILES[name])
    why = f"{number(beyond)} independent requests lie beyond its {name}, the highest percentile that is printed"
    yield Check("V17", "sample size", cell, beyond, (INDEPENDENT, math.inf), (0.0, math.inf), why, number, is_finding=True)
