"""Values made from schemas: plain, and valid for any schema."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios._doctor.filling import Spot, Unfillable, fill


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "example": 5, "default": 6}, 5),
        ({"type": "integer", "examples": [5], "default": 6}, 5),
        ({"type": "integer", "default": 6, "enum": [7]}, 6),
        ({"enum": [None, "b"]}, "b"),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, 4),  # as OpenAPI 3.0 writes it
        ({"type": "integer", "exclusiveMinimum": 3, "multipleOf": 5}, 5),
        ({"type": "number", "maximum": -0.5}, -1),
        ({"type": "integer", "minimum": 1.2, "multipleOf": 0.5}, 2),
        ({"type": "string", "minLength": 8}, "stringgg"),
        ({"type": "string", "maxLength": 2}, "st"),
        ({"type": "string", "pattern": "^[0-9]+$"}, "1"),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "maxItems": 0}, []),
        ({"allOf": [{"$ref": "#/$defs/A"}, {"default": 1}], "default": 9}, 9),
        ({"$ref": "#/$defs/a~1b"}, 3),
        ({"allOf": [{"$ref": "#/$defs/A"}, {"required": ["b"], "properties": {"b": {"const": 2}}}]}, {"b": 2, "a": 1}),
        ({"oneOf": [{"type": "null"}, {"pattern": "^x{9}$"}, {"$ref": "#/$defs/A"}]}, {"a": 1}),
        ({"type": "object", "minProperties": 1, "additionalProperties": {"type": "boolean"}}, {"key0": True}),
    ],
)
def test_a_value_follows_its_schema(schema: dict[str, Any], value: Any) -> None:
    """What the author shows goes first; then the plainest that is allowed."""
    document = {
        "$defs": {
            "A": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "z": {}}},
            "a/b": {"const": 3},
        }
    }
    assert value == fill(schema, Spot(document, "value"))


INTEGERS = st.fixed_dictionaries(
    {"type": st.just("integer")},
    optional={"minimum": st.integers(-50, 0), "exclusiveMaximum": st.integers(40, 90), "multipleOf": st.integers(1, 9)},
)
NUMBERS = st.fixed_dictionaries(
    {"type": st.just("number")}, optional={"exclusiveMinimum": st.floats(-9, 0.5), "maximum": st.floats(0.6, 9)}
)
STRINGS = st.fixed_dictionaries(
    {"type": st.just("string")}, optional={"minLength": st.integers(0, 12), "maxLength": st.integers(12, 20)}
)
FORMATTED = st.fixed_dictionaries(
    {"type": st.just("string"), "format": st.sampled_from(["date", "date-time", "uuid", "email", "ipv4", "ipv6"])}
)
CHOSEN = st.fixed_dictionaries({"enum": st.lists(st.text() | st.integers(), min_size=1)})
SCHEMAS = st.recursive(
    INTEGERS | NUMBERS | STRINGS | FORMATTED | CHOSEN | st.just({"type": "boolean"}),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 4)})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
        | st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(
            lambda parts: {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(schema=SCHEMAS)
def test_what_is_made_is_valid(schema: dict[str, Any]) -> None:
    """For any schema of the kinds that people write, by an independent validator."""
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(
        json.loads(json.dumps(fill(schema, Spot({}, "value"))))
    )


def test_a_schema_that_contains_itself_ends() -> None:
    """With a reason, where a value would have no end."""
    document = {"$defs": {"A": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/A"}}}}}
    with pytest.raises(Unfillable, match=r"value\.a contains itself without end"):
        fill({"$ref": "#/$defs/A"}, Spot(document, "value"))
