"""Makes a value that a JSON schema (OpenAPI 3.0, 3.1) allows: its example, or the plainest."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from typing import Any

from scenarios.doctor.openapi.json_schema import (
    collect_references,
    discriminator_tag,
    is_single_value,
    named_values,
    resolve_reference,
    schema_type,
)

_MAX_LENGTH = 10_000  # characters or items made, at most
MAX_STEPS = 3_000  # schemas tried for a value, at most
_SAMPLE_WORDS = ("string", "1", "A")
FORMAT_EXAMPLES = {
    "date": "2024-01-15",
    "date-time": "2024-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1S",
    "uuid": "00000000-0000-4000-8000-000000000000",
    **{
        f"uuid{version}": f"00000000-0000-{version}000-8000-000000000000" for version in range(1, 9)
    },
    "email": "user@example.com",
    "hostname": "localhost",
    "uri": "http://127.0.0.1/",  # an app may fetch it: nothing leaves this machine
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


class NoExample(Exception):  # noqa: N818 - not an error: this route is not asked
    """Says in a clause which value cannot be made, and why."""


@dataclass(frozen=True, slots=True)
class SchemaPath:
    """Where a value stands: its label for messages, and the references that led to it.

    Mutable state, shared by all paths of a value: the step counter, and the references that each
    reference reaches.
    """

    document: dict[str, Any]
    label: str
    followed_refs: tuple[str, ...] = ()
    step_counter: Iterator[int] = field(default_factory=count)
    reachable_refs: dict[str, set[str]] = field(default_factory=dict)

    def no_example(self, why: str) -> NoExample:
        """The error that no value can be made here."""
        return NoExample(f"{self.label} {why}")

    def is_recursive(self, schema: Any) -> bool:
        """Whether a value of the schema would contain a reference that led here."""
        names = collect_references(schema, {}) if self.followed_refs else set()
        for name in names - self.reachable_refs.keys():
            self.reachable_refs[name] = collect_references({"$ref": name}, self.document)
        return any(not self.reachable_refs[name].isdisjoint(self.followed_refs) for name in names)


def _flatten_schema(schema: Any, schema_path: SchemaPath) -> tuple[dict[str, Any], SchemaPath]:
    """A schema merged with its reference and its `allOf`; its own keywords take precedence."""
    if schema in (True, None):
        return {}, schema_path
    if not isinstance(schema, dict):
        raise schema_path.no_example("can have no value")
    if "$ref" in schema:
        name = schema["$ref"]
        if name in schema_path.followed_refs:
            raise schema_path.no_example("contains itself without end")
        schema_path = replace(schema_path, followed_refs=(*schema_path.followed_refs, name))
        schema = resolve_reference(schema_path.document, schema)
        if schema is None:
            raise schema_path.no_example(f"is described by {name}, which the document lacks")
    followed = set(schema_path.followed_refs)
    for part in schema.get("allOf", []):
        part_schema, part_path = _flatten_schema(part, schema_path)
        followed |= set(part_path.followed_refs)
        properties = {**part_schema.get("properties", {}), **schema.get("properties", {})}
        required = [*schema.get("required", []), *part_schema.get("required", [])]
        schema = {**part_schema, **schema, "properties": properties, "required": required}
    return {key: value for key, value in schema.items() if key != "allOf"}, replace(
        schema_path, followed_refs=tuple(followed)
    )


def make_example(schema: Any, schema_path: SchemaPath) -> Any:
    """A value that the schema names, or a value made by type. Raises NoExample."""
    if next(schema_path.step_counter) >= MAX_STEPS:
        raise schema_path.no_example(f"takes more than {MAX_STEPS:,} steps to make")
    schema, schema_path = _flatten_schema(schema, schema_path)
    if named_choices := named_values(schema):
        return named_choices[0]
    for keyword in ("anyOf", "oneOf"):
        if options := [value for value in schema.get(keyword, []) if value != {"type": "null"}]:
            options.sort(key=schema_path.is_recursive)  # non-recursive options first
            return _make_first_option(
                options,
                {key: value for key, value in schema.items() if key != keyword},
                schema_path,
            )
    kind = schema_type(schema)
    if kind in ("boolean", "null"):
        return kind == "boolean" or None
    make = {
        "integer": _make_number,
        "number": _make_number,
        "array": _make_array,
        "object": _make_object,
        "string": _make_text,
    }[kind]
    return make(schema, schema_path)


def _make_first_option(
    options: list[Any], siblings: dict[str, Any], schema_path: SchemaPath
) -> Any:
    """A value of the first option that allows one, with its discriminator tag."""
    why = None
    for option in options:
        try:
            rest = {name: value for name, value in siblings.items() if name != "discriminator"}
            return make_example(
                {
                    **rest,
                    "allOf": [
                        discriminator_tag(option, siblings.get("discriminator") or {}),
                        option,
                    ],
                },
                schema_path,
            )
        except NoExample as error:
            why = why or error
    raise why or schema_path.no_example("can have no value")


def _make_number(schema: dict[str, Any], schema_path: SchemaPath) -> float:
    """The plainest number within the bounds: 1 if allowed (the id likeliest to exist)."""

    def read_bound(inclusive: str, exclusive: str, endless: float) -> tuple[Any, Any]:
        limit, strict = schema.get(inclusive, endless), schema.get(exclusive, endless)
        if strict is True:  # OpenAPI 3.0: a flag beside the limit
            return endless, limit
        return limit, endless if strict is False else strict

    (low, floor), (high, ceiling) = (
        read_bound("minimum", "exclusiveMinimum", -math.inf),
        read_bound("maximum", "exclusiveMaximum", math.inf),
    )
    lower, upper = max(low, floor), min(high, ceiling)
    is_integer = schema_type(schema) == "integer"
    step = Fraction(str(schema.get("multipleOf", int(is_integer))))  # 0: any number is allowed
    grid = step or Fraction(1)
    candidates = [Fraction(1), Fraction(0), grid]
    for edge, rounded in ((lower, math.ceil), (upper, math.floor)):
        if math.isfinite(edge):
            nearest_multiple = rounded(Fraction(edge) / grid) * grid
            candidates += [
                nearest_multiple,
                nearest_multiple + grid,
                nearest_multiple - grid,
                Fraction(edge),
            ]
    candidates += (
        [(Fraction(lower) + Fraction(upper)) / 2]
        if math.isfinite(lower) and math.isfinite(upper)
        else []
    )
    for candidate in candidates:
        value = int(candidate) if candidate.denominator == 1 else float(candidate)
        is_within = low <= value <= high and floor < value < ceiling
        if (
            is_within
            and (not step or candidate % step == 0)
            and (candidate.denominator == 1 or not is_integer)
        ):
            return value
    raise schema_path.no_example("has bounds that leave no plain number")


def _make_text(schema: dict[str, Any], schema_path: SchemaPath) -> str:
    """A text that fits the format, the lengths and the pattern."""
    if "contentSchema" in schema:
        return json.dumps(make_example(schema["contentSchema"], schema_path))
    min_length, max_length, pattern = (
        schema.get("minLength", 0),
        schema.get("maxLength", _MAX_LENGTH),
        schema.get("pattern", ""),
    )
    if min_length > _MAX_LENGTH:
        raise schema_path.no_example(f"must be {min_length} characters long")
    form = schema.get("format")
    candidates = (
        [FORMAT_EXAMPLES[form]]
        if form in FORMAT_EXAMPLES
        else [word[:max_length].ljust(min_length, word[-1]) for word in _SAMPLE_WORDS]
    )
    try:
        fitting = [
            candidate
            for candidate in candidates
            if min_length <= len(candidate) <= max_length and re.search(pattern, candidate)
        ]
    except re.error:
        fitting = []
    if not fitting:
        raise schema_path.no_example(
            f"must match the pattern {pattern[:60]!r}"
            if pattern
            else "has a length that does not go with its format"
        )
    return fitting[0]


def _make_array(schema: dict[str, Any], schema_path: SchemaPath) -> list[Any]:
    """As many items as required, and at least one if it can be made."""
    items = [
        make_example(item_schema, replace(schema_path, label=f"{schema_path.label}[{n}]"))
        for n, item_schema in enumerate(schema.get("prefixItems", []))
    ]
    min_items = schema.get("minItems", 0)
    missing_count = min(max(min_items, 1), schema.get("maxItems", _MAX_LENGTH)) - len(items)
    if missing_count <= 0 or (
        min_items <= len(items) and schema_path.is_recursive(schema.get("items"))
    ):
        return items
    try:
        item = make_example(
            schema.get("items"), replace(schema_path, label=f"{schema_path.label}[{len(items)}]")
        )
    except NoExample:
        if min_items > len(items):
            raise
        return items
    if min_items > _MAX_LENGTH or (schema.get("uniqueItems") and missing_count > 1):
        raise schema_path.no_example(
            f"must hold {min_items} {'different ' if schema.get('uniqueItems') else ''}items"
        )
    return [*items, *[item] * missing_count]


def _make_object(schema: dict[str, Any], schema_path: SchemaPath) -> dict[str, Any]:
    """Required and single-valued properties, and others up to `minProperties`."""
    properties, min_properties = schema.get("properties", {}), schema.get("minProperties", 0)
    tags = [
        name
        for name, property_schema in properties.items()
        if isinstance(property_schema, dict) and is_single_value(property_schema)
    ]
    required = dict.fromkeys([*schema.get("required", []), *tags])
    if min_properties > _MAX_LENGTH:
        raise schema_path.no_example(f"must hold {min_properties} properties")
    names = dict.fromkeys([*required, *properties, *(f"key{n}" for n in range(min_properties))])
    chosen = list(names)[: max(len(required), min_properties)]
    rest = schema.get("additionalProperties")
    return {
        name: make_example(
            properties.get(name, rest), replace(schema_path, label=f"{schema_path.label}.{name}")
        )
        for name in chosen
    }
