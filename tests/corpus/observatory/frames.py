"""Tables, spectra and the nightly page."""

from functools import lru_cache

import numpy as np
import pandas as pd
from jinja2 import DictLoader, Environment

PAGE = """<h1>{{ title }}</h1>{% for row in rows %}{% if row.magnitude < limit and row.name.endswith("7") %}
<li class="{{ loop.cycle("odd", "even") }}">{{ row.name|upper }}: {{ "%.2f"|format(row.magnitude) }}{% endif %}{% endfor %}"""
PAGES = Environment(loader=DictLoader({"nightly": PAGE}), autoescape=True)
RANDOM = np.random.default_rng(11)


@lru_cache(maxsize=1)
def brightest() -> dict[str, float]:
    """Sift the whole catalogue, once."""
    table = pd.DataFrame({"field": np.arange(150_000) % 15_000, "magnitude": RANDOM.normal(18, 2, 150_000)})
    best = table.groupby("field")["magnitude"].apply(lambda some: some.nsmallest(2).mean() if some.name % 20 == 0 else 99.0)
    return {f"field-{number}": round(float(value), 3) for number, value in best.nsmallest(10).items()}


def observed() -> list[dict[str, object]]:
    """List last night's objects."""
    table = pd.DataFrame({"name": [f"obj-{number}" for number in range(20_000)], "magnitude": RANDOM.normal(18, 2, 20_000)})
    return table.to_dict("records")


def nightly(rows: list[dict[str, object]], limit: float) -> str:
    """Write the page about last night."""
    template = PAGES.get_template("nightly")
    return template.render(title="Last night", rows=rows, limit=limit)


def continuum(pixels: int = 50_000) -> float:
    """Estimate a spectrum's continuum; numpy lets go of the GIL meanwhile."""
    flux = np.linspace(0, 900, pixels)
    guesses = []
    for shift in range(48):
        shifted = np.sin(flux + shift)
        shifted.sort()
        guesses.append(float(shifted[pixels // 2]))
    return sum(guesses) / len(guesses)
