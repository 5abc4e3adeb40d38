"""Values made from schemas: plain, and valid for any schema."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.doctor.openapi.schema_example import MAX_STEPS, NoExample, SchemaPath, make_example


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "example": 5, "default": 6}, 5),
        ({"type": "integer", "examples": [5], "default": 6}, 5),
        ({"type": "integer", "default": 6, "enum": [7]}, 6),
        ({"enum": [None, "b"]}, "b"),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        (
            {"type": "integer", "minimum": 3, "exclusiveMinimum": True},
            4,
        ),  # as OpenAPI 3.0 writes it
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
        (
            {
                "allOf": [
                    {"$ref": "#/$defs/A"},
                    {"required": ["b"], "properties": {"b": {"const": 2}}},
                ]
            },
            {"b": 2, "a": 1},
        ),
        ({"oneOf": [{"type": "null"}, {"pattern": "^x{9}$"}, {"$ref": "#/$defs/A"}]}, {"a": 1}),
        (
            {"type": "object", "minProperties": 1, "additionalProperties": {"type": "boolean"}},
            {"key0": True},
        ),
    ],
)
def test_a_value_follows_its_schema(schema: dict[str, Any], value: Any) -> None:
    """What the author shows goes first; then the plainest that is allowed."""
    document = {
        "$defs": {
            "A": {
                "type": "object",
                "required": ["a"],
                "properties": {"a": {"type": "integer"}, "z": {}},
            },
            "a/b": {"const": 3},
        }
    }
    assert value == make_example(schema, SchemaPath(document, "value"))


INTEGERS = st.fixed_dictionaries(
    {"type": st.just("integer")},
    optional={
        "minimum": st.integers(-50, 0),
        "exclusiveMaximum": st.integers(40, 90),
        "multipleOf": st.integers(1, 9),
    },
)
NUMBERS = st.fixed_dictionaries(
    {"type": st.just("number")},
    optional={"exclusiveMinimum": st.floats(-9, 0.5), "maximum": st.floats(0.6, 9)},
)
STRINGS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={"minLength": st.integers(0, 12), "maxLength": st.integers(12, 20)},
)
FORMATTED = st.fixed_dictionaries(
    {
        "type": st.just("string"),
        "format": st.sampled_from(["date", "date-time", "uuid", "email", "ipv4", "ipv6"]),
    }
)
CHOSEN = st.fixed_dictionaries({"enum": st.lists(st.text() | st.integers(), min_size=1)})
SCHEMAS = st.recursive(
    INTEGERS | NUMBERS | STRINGS | FORMATTED | CHOSEN | st.just({"type": "boolean"}),
    lambda inner: (
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 4)}
        )
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
        | st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(
            lambda parts: {
                "type": "object",
                "properties": parts,
                "required": list(parts),
                "additionalProperties": False,
            }
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
        json.loads(json.dumps(make_example(schema, SchemaPath({}, "value"))))
    )


def reference(name: str) -> dict[str, str]:
    """A pointer to a named schema."""
    return {"$ref": f"#/$defs/{name}"}


def of_parts(parts: dict[str, Any]) -> dict[str, Any]:
    """An object that has them all."""
    return {
        "type": "object",
        "properties": parts,
        "required": list(parts),
        "additionalProperties": False,
    }


def expressions(operators: int, *, tagged: bool, leaf: bool) -> dict[str, Any]:
    """Trees of operators with two sides each, as people write them for filters and rules."""
    operators_ = [f"Op{number}" for number in range(operators)]
    names = operators_ + ["Number"] * leaf
    either = {"oneOf" if tagged else "anyOf": [reference(name) for name in names]}
    tags: dict[str, Any] = {
        "propertyName": "op",
        "mapping": {name: reference(name)["$ref"] for name in names},
    }
    whole = {**either, "discriminator": tags} if tagged else either
    sides = {"left": whole, "right": whole, "more": {"type": "array", "items": whole}}
    defs = {name: of_parts({"op": {"const": name}, **sides}) for name in operators_}
    return {
        "$defs": {
            **defs,
            **(
                {"Number": of_parts({"op": {"const": "Number"}, "value": {"type": "number"}})}
                if leaf
                else {}
            ),
        },
        **whole,
    }


@pytest.mark.parametrize("tagged", [True, False])
def test_trees_of_many_operators_stay_small(tagged: bool) -> None:  # noqa: FBT001
    """The option that ends goes first; where none does, few steps show it."""
    document = expressions(40, tagged=tagged, leaf=True)
    value = make_example(document, SchemaPath(document, "body"))
    assert len(json.dumps(value)) < 150
    jsonschema.Draft202012Validator(document).validate(value)
    endless = expressions(40, tagged=tagged, leaf=False)
    spot = SchemaPath(endless, "body")
    with pytest.raises(
        NoExample,
        match=r"^body.* (contains itself without end|takes more than \d,\d+ steps to make)",
    ):
        make_example(endless, spot)
    assert next(spot.step_counter) < 3 * MAX_STEPS


def test_a_value_that_must_be_huge_is_given_up() -> None:
    """Each of twenty kinds needs two of the next: a million parts, of which none is too many."""
    kinds = {
        f"K{number}": of_parts({side: reference(f"K{number + 1}") for side in "ab"})
        for number in range(20)
    }
    document = {"$defs": {**kinds, "K20": {"type": "boolean"}}}
    spot = SchemaPath(document, "body")
    with pytest.raises(NoExample, match="steps to make"):
        make_example(reference("K0"), spot)
    assert next(spot.step_counter) < 3 * MAX_STEPS


NAMES = "ABCDE"
REFERRING = st.recursive(
    st.sampled_from([{"type": "integer"}, *map(reference, NAMES)]),
    lambda inner: (
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 2)}
        )
        | st.dictionaries(st.sampled_from("xy"), inner, min_size=1).map(of_parts)
    ),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.sampled_from("xy"), REFERRING, min_size=1).map(of_parts)


def ends(schema: dict[str, Any], finite: set[str]) -> bool:
    """Whether a schema has a value, if the named schemas of a set have values."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2] in finite
    if "anyOf" in schema:
        return any(ends(option, finite) for option in schema["anyOf"])
    if schema["type"] == "array":
        return not schema.get("minItems") or ends(schema["items"], finite)
    return all(ends(part, finite) for part in schema.get("properties", {}).values())


@settings(deadline=None)
@given(defs=st.fixed_dictionaries(dict.fromkeys(NAMES, OBJECTS)))
def test_what_contains_itself_is_made_whenever_it_ends_and_is_valid(defs: dict[str, Any]) -> None:
    """For any five schemas that refer to one another; few steps, whatever the answer."""
    document, finite = {"$defs": defs, **reference("A")}, set[str]()
    for _ in NAMES:
        finite |= {name for name, schema in defs.items() if ends(schema, finite)}
    spot = SchemaPath(document, "value")
    try:
        value = make_example(document, spot)
    except NoExample:
        value = NoExample
    assert next(spot.step_counter) < 3 * MAX_STEPS
    assert (value is not NoExample) == ("A" in finite)
    if value is not NoExample:
        jsonschema.Draft202012Validator(document).validate(value)


@pytest.mark.parametrize(
    ("tag", "sent"),
    [
        ({"const": "dog", "default": "dog"}, "dog"),
        ({"enum": ["dog"], "default": "dog"}, "dog"),  # as OpenAPI 3.0 writes it
        ({"enum": ["hound", "dog"], "default": "dog"}, "dog"),
        ({"type": "string"}, "dog"),  # only the mapping says it
    ],
)
def test_the_tag_of_a_union_is_sent_though_it_has_a_default(tag: dict[str, Any], sent: str) -> None:
    """An app cannot know otherwise which of the kinds is meant."""
    dog = {
        "type": "object",
        "properties": {"kind": tag, "age": {"type": "integer"}, "name": {"default": "Rex"}},
        "required": ["age"],
    }
    tags = {"propertyName": "kind", "mapping": {"dog": "#/$defs/Dog"}}
    document = {"$defs": {"Dog": dog}}
    value = make_example(
        {"oneOf": [{"$ref": "#/$defs/Dog"}], "discriminator": tags}, SchemaPath(document, "body")
    )
    assert value == {"kind": sent, "age": 1}


def test_what_can_have_one_value_only_is_sent_without_a_discriminator() -> None:
    """A plain union of such kinds is resolved by it as well."""
    schema = {
        "properties": {
            "kind": {"const": "a", "default": "a"},
            "none": {"const": None},
            "n": {"type": "integer", "default": 3},
        }
    }
    assert make_example({"anyOf": [schema]}, SchemaPath({}, "body")) == {"kind": "a"}


def test_a_schema_that_contains_itself_ends() -> None:
    """With a reason, where a value would have no end."""
    document = {
        "$defs": {
            "A": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/A"}}}
        }
    }
    with pytest.raises(NoExample, match=r"value\.a contains itself without end"):
        make_example({"$ref": "#/$defs/A"}, SchemaPath(document, "value"))
