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
    """Return the values of a parameter as text, the likeliest first. Raises NoExample.

    An optional parameter without an example or a flag gets no value.
    """
    name, sources = parameter["name"], [parameter, *parameter.get("related", [])]
    if name in selection.params:
        return [(selection.params[name],)]
    values = [value for source in sources for value in _parameter_examples(source, document)]
    if not values and not parameter.get("required"):
        return [()]
    if is_type_only(parameter):  # the declarations of other routes say more
        sources = [*sources[1:], parameter]
    errors = []
    for source in sources:
        try:
            values.append(_value_from_schema(source, document))
        except NoExample as error:
            errors.append(error)
    if not values:
        raise NoExample(f"{errors[0]}: --param {name}=...")
    if "content" in parameter:
        values = [json.dumps(value) for value in values]
    lists = (value if isinstance(value, list) else [value] for value in values)
    return list(dict.fromkeys(tuple(map(url_value, items)) for items in lists))


def is_type_only(parameter: dict[str, Any]) -> bool:
    """Return whether a parameter declares nothing but a type."""
    schema = parameter.get("schema")
    return (
        not set(EXAMPLE_KEYS) & parameter.keys()
        and isinstance(schema, dict)
        and not schema.keys() - {"type", "title"}
    )


def _schema_holder(parameter: dict[str, Any]) -> dict[str, Any]:
    media_types: dict[str, dict[str, Any]] = parameter.get("content", {})
    return next(iter(media_types.values()), parameter)


def _parameter_examples(parameter: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """Return the examples of a parameter, from the nearest place that has any."""
    holder = _schema_holder(parameter)
    schema = resolve_reference(document, holder.get("schema"))
    places = (parameter, holder, schema if isinstance(schema, dict) else {})
    return next(filter(None, map(schema_examples, places)), [])


def _value_from_schema(parameter: dict[str, Any], document: dict[str, Any]) -> Any:
    """Make a value from the schema alone, without its examples. Raises NoExample."""
    schema = _schema_holder(parameter).get("schema")
    resolved = resolve_reference(document, schema)
    if isinstance(resolved, dict) and schema_examples(resolved):
        schema = {key: value for key, value in resolved.items() if key not in EXAMPLE_KEYS}
    return make_example(schema, SchemaPath(document, parameter["name"]))


def url_value(value: Any) -> str:
    """Return a value as text for a URL."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)
