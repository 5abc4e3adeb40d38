"""Candidate values of one parameter: its examples first, then values made from its schema."""

import json
from typing import Any

from scenarios.doctor.openapi.json_schema import resolve_reference, schema_examples
from scenarios.doctor.openapi.route_selection import RouteSelection
from scenarios.doctor.openapi.schema_example import NoExample, SchemaPath, make_example

EXAMPLE_KEYS = ("example", "examples")


def candidate_values(
    parameter: dict[str, Any], document: dict[str, Any], selection: RouteSelection
) -> list[tuple[str, ...]]:
    """The values of a parameter as text, the likeliest first. Raises NoExample.

    An optional parameter without an example or a flag gets no value.
    """
    name, related = parameter["name"], parameter.get("related", [])
    if name in selection.params:
        return [(selection.params[name],)]
    values: list[Any] = []
    for source in (parameter, *related):
        values += _parameter_examples(source, document)
    if not values and not parameter.get("required"):
        return [()]
    why = None
    for item in (*related, parameter) if is_type_only(parameter) else (parameter, *related):
        try:
            values.append(_value_from_schema(item, document))
        except NoExample as error:
            why = why or error
    if not values:
        raise NoExample(f"{why}: --param {name}=...")
    texts = [json.dumps(item) if "content" in parameter else item for item in values]
    return list(
        dict.fromkeys(
            tuple(map(url_value, item if isinstance(item, list) else [item])) for item in texts
        )
    )


def is_type_only(parameter: dict[str, Any]) -> bool:
    """Whether a parameter declares nothing but a type."""
    schema = parameter.get("schema")
    return (
        not set(EXAMPLE_KEYS) & parameter.keys()
        and isinstance(schema, dict)
        and not schema.keys() - {"type", "title"}
    )


def _schema_holders(parameter: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameter, and the holder of its schema: itself, or its first media type."""
    return parameter, next(iter(parameter.get("content", {}).values()), parameter)


def _parameter_examples(parameter: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """The examples of a parameter, from the nearest place that has any."""
    described, holder = _schema_holders(parameter)
    schema = resolve_reference(document, holder.get("schema"))
    return (
        schema_examples(described)
        or schema_examples(holder)
        or (schema_examples(schema) if isinstance(schema, dict) else [])
    )


def _value_from_schema(parameter: dict[str, Any], document: dict[str, Any]) -> Any:
    """A value from its schema alone, without examples. Raises NoExample."""
    schema = _schema_holders(parameter)[1].get("schema")
    resolved = resolve_reference(document, schema)
    if isinstance(resolved, dict) and schema_examples(resolved):
        schema = {key: value for key, value in resolved.items() if key not in EXAMPLE_KEYS}
    return make_example(schema, SchemaPath(document, parameter["name"]))


def url_value(value: Any) -> str:
    """A value as text for a URL."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)
