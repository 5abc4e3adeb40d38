"""One value that a JSON schema allows, as OpenAPI 3.0 and 3.1 write it: what its author shows, or else the plainest."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from typing import Any

from scenarios.doctor.openapi.json_schema import is_tag, kind_of, pointed, ready, references, tag_of

MOST = 10_000  # characters or items that are made
MOST_STEPS = 3_000  # schemas that are tried for one value
WORDS = ("string", "1", "A")
FORMATS = {
    "date": "2024-01-15",
    "date-time": "2024-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1S",
    "uuid": "00000000-0000-4000-8000-000000000000",
    **{f"uuid{version}": f"00000000-0000-{version}000-8000-000000000000" for version in range(1, 9)},
    "email": "user@example.com",
    "hostname": "localhost",
    "uri": "http://127.0.0.1/",  # an app may well fetch it: nothing leaves this machine
    "url": "http://127.0.0.1/",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "ipvanyaddress": "127.0.0.1",
    "ipv4network": "127.0.0.0/8",
    "ipv6network": "::/64",
    "ipvanynetwork": "127.0.0.0/8",
    "ipvanyinterface": "127.0.0.1/8",
    "byte": "YXRvbmNl",
    "base64url": "YXRvbmNl",
}


class Unfillable(Exception):  # noqa: N818 - not an error: this route is not asked
    """Raised with a clause that says which value cannot be made, and why."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value stands: its name for a person, and the references that led to it.

    The mutable state, shared by all spots of one value: the steps so far, and where each reference leads.
    """

    document: dict[str, Any]
    at: str
    seen: tuple[str, ...] = ()
    steps: Iterator[int] = field(default_factory=count)
    ways: dict[str, set[str]] = field(default_factory=dict)

    def no(self, why: str) -> Unfillable:
        """Why no value can stand here."""
        return Unfillable(f"{self.at} {why}")

    def leads_back(self, schema: Any) -> bool:
        """Whether a value of the schema would contain what led here."""
        names = references(schema, {}) if self.seen else set()
        for name in names - self.ways.keys():
            self.ways[name] = references({"$ref": name}, self.document)
        return any(not self.ways[name].isdisjoint(self.seen) for name in names)


def merged(schema: Any, spot: Spot) -> tuple[dict[str, Any], Spot]:
    """A schema with its reference and its `allOf` put into one. What stands beside them goes before what they say."""
    if schema in (True, None):
        return {}, spot
    if not isinstance(schema, dict):
        raise spot.no("can have no value")
    if "$ref" in schema:
        name = schema["$ref"]
        if name in spot.seen:
            raise spot.no("contains itself without end")
        spot = replace(spot, seen=(*spot.seen, name))
        schema = pointed(spot.document, schema)
        if schema is None:
            raise spot.no(f"is described by {name}, which the document lacks")
    seen = set(spot.seen)
    for part in schema.get("allOf", []):
        told, there = merged(part, spot)
        seen |= set(there.seen)
        properties = {**told.get("properties", {}), **schema.get("properties", {})}
        required = [*schema.get("required", []), *told.get("required", [])]
        schema = {**told, **schema, "properties": properties, "required": required}
    return {key: one for key, one in schema.items() if key != "allOf"}, replace(spot, seen=tuple(seen))


def fill(schema: Any, spot: Spot) -> Any:
    """A value that the schema names, or one made by type. Raises Unfillable."""
    if next(spot.steps) >= MOST_STEPS:
        raise spot.no(f"takes more than {MOST_STEPS:,} steps to make")
    schema, spot = merged(schema, spot)
    if named := ready(schema):
        return named[0]
    for either in ("anyOf", "oneOf"):
        if options := [one for one in schema.get(either, []) if one != {"type": "null"}]:
            options.sort(key=spot.leads_back)  # what ends goes first
            return first_of(options, {key: one for key, one in schema.items() if key != either}, spot)
    kind = kind_of(schema)
    if kind in ("boolean", "null"):
        return kind == "boolean" or None
    make = {"integer": number, "number": number, "array": array, "object": mapping, "string": text}[kind]
    return make(schema, spot)


def first_of(options: list[Any], beside: dict[str, Any], spot: Spot) -> Any:
    """The first of several schemas for which a value can be made, with the tag that names it."""
    why = None
    for option in options:
        try:
            rest = {name: one for name, one in beside.items() if name != "discriminator"}
            return fill({**rest, "allOf": [tag_of(option, beside.get("discriminator") or {}), option]}, spot)
        except Unfillable as no:
            why = why or no
    raise why or spot.no("can have no value")


def number(schema: dict[str, Any], spot: Spot) -> float:
    """The plainest number within the bounds: 1 if it may be (the id that is likeliest to exist)."""

    def bound(inclusive: str, exclusive: str, endless: float) -> tuple[Any, Any]:
        limit, strict = schema.get(inclusive, endless), schema.get(exclusive, endless)
        return (endless, limit) if strict is True else (limit, endless if strict is False else strict)  # OpenAPI 3.0 says true

    (low, floor), (high, ceiling) = bound("minimum", "exclusiveMinimum", -math.inf), bound("maximum", "exclusiveMaximum", math.inf)
    least, most = max(low, floor), min(high, ceiling)
    whole = kind_of(schema) == "integer"
    step = Fraction(str(schema.get("multipleOf", int(whole))))  # 0: any number
    grid = step or Fraction(1)
    tries = [Fraction(1), Fraction(0), grid]
    for edge, rounded in ((least, math.ceil), (most, math.floor)):
        if math.isfinite(edge):
            near = rounded(Fraction(edge) / grid) * grid
            tries += [near, near + grid, near - grid, Fraction(edge)]
    tries += [(Fraction(least) + Fraction(most)) / 2] if math.isfinite(least) and math.isfinite(most) else []
    for one in tries:
        value = int(one) if one.denominator == 1 else float(one)
        inside = low <= value <= high and floor < value < ceiling
        if inside and (not step or one % step == 0) and (one.denominator == 1 or not whole):
            return value
    raise spot.no("has bounds that leave no plain number")


def text(schema: dict[str, Any], spot: Spot) -> str:
    """A word that fits the format, the lengths and the pattern."""
    if "contentSchema" in schema:
        return json.dumps(fill(schema["contentSchema"], spot))
    least, most, pattern = schema.get("minLength", 0), schema.get("maxLength", MOST), schema.get("pattern", "")
    if least > MOST:
        raise spot.no(f"must be {least} characters long")
    form = schema.get("format")
    tries = [FORMATS[form]] if form in FORMATS else [word[:most].ljust(least, word[-1]) for word in WORDS]
    try:
        fitting = [one for one in tries if least <= len(one) <= most and re.search(pattern, one)]
    except re.error:
        fitting = []
    if not fitting:
        raise spot.no(f"must match the pattern {pattern[:60]!r}" if pattern else "has a length that does not go with its format")
    return fitting[0]


def array(schema: dict[str, Any], spot: Spot) -> list[Any]:
    """As many items as there must be, at least one where one can be made."""
    made = [fill(one, replace(spot, at=f"{spot.at}[{n}]")) for n, one in enumerate(schema.get("prefixItems", []))]
    least = schema.get("minItems", 0)
    wanted = min(max(least, 1), schema.get("maxItems", MOST)) - len(made)
    if wanted <= 0 or (least <= len(made) and spot.leads_back(schema.get("items"))):
        return made
    try:
        item = fill(schema.get("items"), replace(spot, at=f"{spot.at}[{len(made)}]"))
    except Unfillable:
        if least > len(made):
            raise
        return made
    if least > MOST or (schema.get("uniqueItems") and wanted > 1):
        raise spot.no(f"must hold {least} {'different ' if schema.get('uniqueItems') else ''}items")
    return [*made, *[item] * wanted]


def mapping(schema: dict[str, Any], spot: Spot) -> dict[str, Any]:
    """What is required or can have one value only, and others where there must be more."""
    properties, least = schema.get("properties", {}), schema.get("minProperties", 0)
    tags = [name for name, one in properties.items() if isinstance(one, dict) and is_tag(one)]
    required = dict.fromkeys([*schema.get("required", []), *tags])
    if least > MOST:
        raise spot.no(f"must hold {least} properties")
    names = dict.fromkeys([*required, *properties, *(f"key{n}" for n in range(least))])
    chosen = list(names)[: max(len(required), least)]
    rest = schema.get("additionalProperties")
    return {name: fill(properties.get(name, rest), replace(spot, at=f"{spot.at}.{name}")) for name in chosen}
