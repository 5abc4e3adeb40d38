"""A remedy: what to write instead, with its measured effect."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to write instead, and the effect; `twin` is such a route of `targets.antipatterns`."""

    title: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    expect: str
    twin: str
