"""Makes a value that a JSON schema (OpenAPI 3.0, 3.1) allows: its example, or the plainest."""

import contextlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from typing import Any

from scenarios.doctor.openapi import json_schema

_MAX_LENGTH = 10_000  # characters or items made, at most
MAX_STEPS = 3_000  # schemas tried for a value, at most
_SAMPLE_WORDS = ("string", "1", "A")
FORMAT_EXAMPLES = {
    "date": "2024-01-15",
    "date-time": "2024-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1S",
    "uuid": "00000000-0000-4000-8000-000000000000",
    **{f"uuid{n}": f"00000000-0000-{n}000-8000-000000000000" for n in range(1, 9)},
    "email": "user@example.com",
    "hostname": "localhost",
    # An app may fetch it: nothing leaves this machine
    **dict.fromkeys(("uri", "url"), "http://127.0.0.1/"),
    **dict.fromkeys(("ipv4", "ipvanyaddress"), "127.0.0.1"),
    "ipv6": "::1",
    **dict.fromkeys(("ipv4network", "ipvanynetwork"), "127.0.0.0/8"),
    "ipv6network": "::/64",
    "ipvanyinterface": "127.0.0.1/8",
    **dict.fromkeys(("byte", "base64url"), "YXRvbmNl"),
}


class NoExample(Exception):  # noqa: N818 - not an error: the route is skipped
    """Says in a clause which value cannot be made, and why."""


@dataclass(frozen=True, slots=True)
class SchemaPath:
    """Where a value stands. All paths of a value share the mutable counter and reachable_refs."""

    document: dict[str, Any]
    label: str  # for messages
    followed_refs: tuple[str, ...] = ()  # that led here
    step_counter: Iterator[int] = field(default_factory=count)
    reachable_refs: dict[str, set[str]] = field(default_factory=dict)  # by reference

    def child_path(self, suffix: str) -> "SchemaPath":
        """Return the path of a part of this value."""
        return replace(self, label=self.label + suffix)

    def no_example(self, why: str) -> NoExample:
        """Return the error that no value can be made here."""
        return NoExample(f"{self.label} {why}")

    def is_recursive(self, schema: Any) -> bool:
        """Return whether a value of the schema would contain a reference that led here."""
        names = json_schema.collect_references(schema, {}) if self.followed_refs else set()
        for name in names - self.reachable_refs.keys():
            self.reachable_refs[name] = json_schema.collect_references(
                {"$ref": name}, self.document
            )
        return any(not self.reachable_refs[name].isdisjoint(self.followed_refs) for name in names)


def _flatten_schema(schema: Any, schema_path: SchemaPath) -> tuple[dict[str, Any], SchemaPath]:
    """Merge a schema with its reference and its `allOf`; its own keywords take precedence."""
    if schema in (True, None):
        return {}, schema_path
    if not isinstance(schema, dict):
        raise schema_path.no_example("can have no value")
    if "$ref" in schema:
        name = schema["$ref"]
        if name in schema_path.followed_refs:
            raise schema_path.no_example("contains itself without end")
        schema_path = replace(schema_path, followed_refs=(*schema_path.followed_refs, name))
        schema = json_schema.resolve_reference(schema_path.document, schema)
        if schema is None:
            raise schema_path.no_example(f"refers to {name}, which the document lacks")
    followed = set(schema_path.followed_refs)
    for part in schema.get("allOf", []):
        part_schema, part_path = _flatten_schema(part, schema_path)
        followed |= set(part_path.followed_refs)
        properties = {**part_schema.get("properties", {}), **schema.get("properties", {})}
        required = [*schema.get("required", []), *part_schema.get("required", [])]
        schema = {**part_schema, **schema, "properties": properties, "required": required}
    flat_schema = {key: value for key, value in schema.items() if key != "allOf"}
    return flat_schema, replace(schema_path, followed_refs=tuple(followed))


def make_example(schema: Any, schema_path: SchemaPath) -> Any:
    """Return a value that the schema names, or make one by type. Raises NoExample."""
    if next(schema_path.step_counter) >= MAX_STEPS:
        raise schema_path.no_example(f"takes more than {MAX_STEPS:,} steps to make")
    schema, schema_path = _flatten_schema(schema, schema_path)
    if named_choices := json_schema.named_values(schema):
        return named_choices[0]
    for keyword in ("anyOf", "oneOf"):
        if options := [value for value in schema.get(keyword, []) if value != {"type": "null"}]:
            options.sort(key=schema_path.is_recursive)  # non-recursive options first
            siblings = {key: value for key, value in schema.items() if key != keyword}
            return _make_first_option(options, siblings, schema_path)
    kind = json_schema.schema_type(schema)
    if kind in ("boolean", "null"):
        return kind == "boolean" or None
    if kind in ("integer", "number"):
        return _make_number(schema, schema_path, is_integer=kind == "integer")
    make = {"array": _make_array, "object": _make_object, "string": _make_text}[kind]
    return make(schema, schema_path)


def _make_first_option(
    options: list[Any], siblings: dict[str, Any], schema_path: SchemaPath
) -> Any:
    """Make a value of the first option that allows one, with its discriminator tag."""
    discriminator = siblings.pop("discriminator", None) or {}
    errors = []
    for option in options:
        try:
            whole_option = [json_schema.discriminator_tag(option, discriminator), option]
            return make_example({**siblings, "allOf": whole_option}, schema_path)
        except NoExample as error:
            errors.append(error)
    raise errors[0]


def _read_bounds(schema: dict[str, Any], side: str, endless: float) -> tuple[Any, Any]:
    """Return the inclusive and the exclusive bound of a side, `Minimum` or `Maximum`."""
    limit, strict = schema.get(side.lower(), endless), schema.get(f"exclusive{side}", endless)
    if strict is True:  # OpenAPI 3.0: a flag for the limit
        return endless, limit
    return limit, endless if strict is False else strict


def _make_number(schema: dict[str, Any], schema_path: SchemaPath, *, is_integer: bool) -> float:
    """Make the plainest number within the bounds: 1 if allowed (the id likeliest to exist)."""
    low, floor = _read_bounds(schema, "Minimum", -math.inf)
    high, ceiling = _read_bounds(schema, "Maximum", math.inf)
    lower, upper = max(low, floor), min(high, ceiling)
    step = Fraction(str(schema.get("multipleOf", int(is_integer))))  # 0: any number is allowed
    grid = step or Fraction(1)
    candidates = [Fraction(1), Fraction(0), grid]
    for edge, rounded in ((lower, math.ceil), (upper, math.floor)):
        if math.isfinite(edge):
            nearest = rounded(Fraction(edge) / grid) * grid
            candidates += [nearest, nearest + grid, nearest - grid, Fraction(edge)]
    if math.isfinite(lower) and math.isfinite(upper):
        candidates.append((Fraction(lower) + Fraction(upper)) / 2)
    for candidate in candidates:
        is_whole = candidate.denominator == 1
        value = int(candidate) if is_whole else float(candidate)
        is_on_grid = (not step or candidate % step == 0) and (is_whole or not is_integer)
        if is_on_grid and low <= value <= high and floor < value < ceiling:
            return value
    raise schema_path.no_example("has bounds that leave no plain number")


def _make_text(schema: dict[str, Any], schema_path: SchemaPath) -> str:
    """Make a text that fits the format, the lengths and the pattern."""
    if "contentSchema" in schema:
        return json.dumps(make_example(schema["contentSchema"], schema_path))
    min_length, max_length = schema.get("minLength", 0), schema.get("maxLength", _MAX_LENGTH)
    if min_length > _MAX_LENGTH:
        raise schema_path.no_example(f"must be {min_length} characters long")
    form, pattern = schema.get("format"), schema.get("pattern", "")
    words = [word[:max_length].ljust(min_length, word[-1]) for word in _SAMPLE_WORDS]
    for candidate in [FORMAT_EXAMPLES[form]] if form in FORMAT_EXAMPLES else words:
        with contextlib.suppress(re.error):
            if min_length <= len(candidate) <= max_length and re.search(pattern, candidate):
                return candidate
    if pattern:
        raise schema_path.no_example(f"must match the pattern {pattern[:60]!r}")
    raise schema_path.no_example("has a length that does not go with its format")


def _make_array(schema: dict[str, Any], schema_path: SchemaPath) -> list[Any]:
    """Make as many items as required, and at least one if it can be made."""
    items = [
        make_example(prefix_schema, schema_path.child_path(f"[{n}]"))
        for n, prefix_schema in enumerate(schema.get("prefixItems", []))
    ]
    item_schema, min_items = schema.get("items"), schema.get("minItems", 0)
    missing_count = min(max(min_items, 1), schema.get("maxItems", _MAX_LENGTH)) - len(items)
    is_enough = min_items <= len(items)
    if missing_count <= 0 or (is_enough and schema_path.is_recursive(item_schema)):
        return items
    try:
        item = make_example(item_schema, schema_path.child_path(f"[{len(items)}]"))
    except NoExample:
        if is_enough:
            return items
        raise
    is_unique = schema.get("uniqueItems")
    if min_items > _MAX_LENGTH or (is_unique and missing_count > 1):
        raise schema_path.no_example(f"needs {min_items} {'different ' if is_unique else ''}items")
    return [*items, *[item] * missing_count]


def _make_object(schema: dict[str, Any], schema_path: SchemaPath) -> dict[str, Any]:
    """Make required and single-valued properties, and others up to `minProperties`."""
    properties, min_properties = schema.get("properties", {}), schema.get("minProperties", 0)
    if min_properties > _MAX_LENGTH:
        raise schema_path.no_example(f"needs {min_properties} properties")
    tags = [
        name
        for name, property_schema in properties.items()
        if isinstance(property_schema, dict) and json_schema.is_single_value(property_schema)
    ]
    required = dict.fromkeys([*schema.get("required", []), *tags])
    names = dict.fromkeys([*required, *properties, *(f"key{n}" for n in range(min_properties))])
    rest = schema.get("additionalProperties")
    return {
        name: make_example(properties.get(name, rest), schema_path.child_path(f".{name}"))
        for name in list(names)[: max(len(required), min_properties)]
    }
