"""Does a gate hold? Judged on the summary, so that whoever has its file can judge the same.

A number that is only bounded lies in [low, high]: a gate that both ends keep holds, one that both ends break fails, all
else is inconclusive, and so is whatever was not measured or cannot be trusted. Chance decides nothing: where the limit
lies inside a number's interval the number itself decides, and the outcome is borderline.

One bound is read as a person means it: `served_at_once >= 20` holds where 20 users and more asked and nothing queued, though
a quick route answers so soon that fewer are worked on at a time, and more is not asked of it than one generator sends.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from reports.formatting import number, places, seconds, share, times
from reports.gates.metrics import Entry, Reading, readings, told
from results.errors import Exit
from results.gate_expression import COMPARE, METRICS, Gate, Kind, parse

IN_WORDS: dict[Kind, Callable[[Any], str]] = {
    Kind.TIME: seconds,
    Kind.SHARE: share,
    Kind.RATE: lambda rate: f"{number(rate)}/s",
    Kind.RATIO: times,
    Kind.COUNT: places,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What became of a gate, by the route that decides it. `margin` is a share of the limit, negative where it is broken."""

    expression: str
    limit: float | str
    actual: float | str | None = None
    actual_at_least: float | None = None
    holds: bool | None = None
    margin: float | None = None
    borderline: bool = False
    route: str | None
    words: str

    @property
    def weight(self) -> tuple[int, float]:
        """The smallest decides: what fails, then what is not known, then what holds; the narrowest of each."""
        order = [(False, False), (False, True), (None, False), (True, True), (True, False)]
        return order.index((self.holds, self.borderline)), self.margin or 0.0


def rulings(expressions: Iterable[str], data: Entry) -> list[Entry]:
    """The `gates` of a summary."""
    return [asdict(judge(parse(one), data)) for one in expressions]


def strictly(data: Entry) -> Entry:
    """The same summary, where a borderline gate is inconclusive."""
    return {**data, "gates": [{**one, "holds": None} if one.get("borderline") else one for one in data["gates"]]}


def exit_code(data: Entry) -> Exit:
    """What the gates mean: 1 when one failed, else 3 when one is inconclusive."""
    found = [one["holds"] for one in data["gates"]]
    return Exit.FAILED if False in found else Exit.UNTRUSTED if None in found else Exit.FINE


def judge(gate: Gate, data: Entry) -> Ruling:
    """Judge one gate; of several routes the worst decides."""
    entries = [one for one in data["routes"] if gate.matches(one["route"])]
    found = [one for entry in entries for one in rules(gate, entry, data)]
    if not found:
        return undecided(gate, None, Reading(why="no route that fits was measured"))
    worst = min(found, key=lambda one: one.weight)
    rest = f" (the worst of {len(entries)} routes)" if len(entries) > 1 else ""
    return replace(worst, words=worst.words + rest)


def rules(gate: Gate, entry: Entry, data: Entry) -> Iterator[Ruling]:
    """One ruling for each number of a route that the gate is about: several where a level was repeated."""
    if "untrusted" in {data["trust"]["verdict"], entry["verdict"]}:
        yield undecided(gate, entry["route"], Reading(level=gate.level, why="the run cannot be trusted"))
    elif METRICS[gate.metric] is Kind.CODE:
        yield by_code(gate, entry)
    else:
        for one in readings(gate, entry, data):
            yield (undecided if one.why else by_number)(gate, entry["route"], one)


def by_code(gate: Gate, entry: Entry) -> Ruling:
    """Judge a verdict. `unknown` is none, but the examination may have excluded the one that is asked about."""
    code, wanted = entry["verdict"], gate.limit if gate.compare == "==" else f"anything but {gate.limit}"
    is_excluded = code == "unknown" and gate.limit in entry.get("excluded", [])
    is_open = code == "unknown" and not is_excluded
    why = ", which its calm neighbours exclude" if is_excluded else ": inconclusive" if is_open else ""
    return Ruling(
        expression=gate.expression,
        limit=gate.limit,
        actual=code,
        holds=None if is_open else COMPARE[gate.compare](code, gate.limit),
        route=entry["route"],
        words=f"verdict({entry['route']}) = {code}, wanted {wanted}{why}",
    )


def undecided(gate: Gate, route: str | None, one: Reading) -> Ruling:
    """Nothing is known, and why."""
    say = IN_WORDS.get(METRICS[gate.metric], str)
    words = f"{subject(gate, route, one)}: inconclusive, {one.why}; limit {say(gate.limit)}"
    return Ruling(expression=gate.expression, limit=gate.limit, route=route, words=words)


def by_number(gate: Gate, route: str, one: Reading) -> Ruling:
    """Judge what is known of a number."""
    limit, say = float(gate.limit), IN_WORDS[METRICS[gate.metric]]
    ends = {COMPARE[gate.compare](end, limit) for end in (one.low, one.high)}
    suffices = gate.compare in {">", ">="} and COMPARE[gate.compare](one.asked, limit)
    is_short = suffices and len(ends) > 1  # so many asked, and none had to wait: the number only says how seldom they did
    holds = True if suffices else ends.pop() if len(ends) == 1 else None
    near = min(one.low, one.high, key=lambda end: abs(end - limit))
    apart = abs(near - limit) / limit if limit and holds is not None and not is_short else None
    borderline = holds is not None and not suffices and one.interval is not None and one.interval[0] <= limit <= one.interval[1]
    words = f"{subject(gate, route, one)} {told(one, say)}, limit {say(limit)}"
    if is_short:
        words += f": nothing queues with {one.asked} users, the most that are asked"
    elif holds is None:
        words += ": inconclusive, no more is known"
    elif apart is not None:
        words += f", {'over' if near > limit else 'under'} by {share(apart)}" if apart else ", exactly that"
    return Ruling(
        expression=gate.expression,
        limit=limit,
        actual=one.low if one.low == one.high else None,
        actual_at_least=None if one.low == one.high else one.low,
        holds=holds,
        margin=apart if holds or apart is None else -apart,
        borderline=borderline,
        route=route,
        words=words + (": borderline, chance alone could turn it" if borderline else ""),
    )


def subject(gate: Gate, route: str | None, one: Reading) -> str:
    """What was read where: `p99(GET /checkout) @ 50/s`."""
    where = route or gate.scope
    return gate.metric + (f"({where})" if where else "") + (f" @ {one.level}" if one.level else "")
