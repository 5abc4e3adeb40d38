"""What one parameter may be given: what authors show, then what can be made from its schema."""

import json
from typing import Any

from scenarios.doctor.openapi.json_schema import pointed, shown
from scenarios.doctor.openapi.route_selection import Choice
from scenarios.doctor.openapi.schema_example import Spot, Unfillable, fill

EXAMPLES = ("example", "examples")


def candidates_of(parameter: dict[str, Any], document: dict[str, Any], choice: Choice) -> list[tuple[str, ...]]:
    """Its values as text, the likeliest first; raises Unfillable.

    An optional one that nobody shows or names is given nothing.
    """
    name, told = parameter["name"], parameter.get("told", [])
    if name in choice.params:
        return [(choice.params[name],)]
    values = [one for each in (parameter, *told) for one in examples_of(each, document)]
    if not values and not parameter.get("required"):
        return [()]
    why = None
    for one in (*told, parameter) if is_bare(parameter) else (parameter, *told):
        try:
            values.append(made(one, document))
        except Unfillable as no:
            why = why or no
    if not values:
        raise Unfillable(f"{why}: --param {name}=...")
    texts = [json.dumps(one) if "content" in parameter else one for one in values]
    return list(dict.fromkeys(tuple(map(plain, one if isinstance(one, list) else [one])) for one in texts))


def is_bare(parameter: dict[str, Any]) -> bool:
    """Whether it tells nothing but a type."""
    schema = parameter.get("schema")
    return not set(EXAMPLES) & parameter.keys() and isinstance(schema, dict) and not schema.keys() - {"type", "title"}


def holders(parameter: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What describes it, and what holds its schema: itself, or the media type of a document."""
    return parameter, next(iter(parameter.get("content", {}).values()), parameter)


def examples_of(parameter: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """What its author shows, nearest to it."""
    itself, holder = holders(parameter)
    schema = pointed(document, holder.get("schema"))
    return shown(itself) or shown(holder) or (shown(schema) if isinstance(schema, dict) else [])


def made(parameter: dict[str, Any], document: dict[str, Any]) -> Any:
    """A value from its schema alone, without what its author shows. Raises Unfillable."""
    schema = holders(parameter)[1].get("schema")
    resolved = pointed(document, schema)
    if isinstance(resolved, dict) and shown(resolved):
        schema = {key: one for key, one in resolved.items() if key not in EXAMPLES}
    return fill(schema, Spot(document, parameter["name"]))


def plain(value: Any) -> str:
    """A value as it stands in a URL."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
