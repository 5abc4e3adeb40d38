"""What a JSON schema says: its examples, its type, where its references lead, its tag."""

from typing import Any
from urllib.parse import unquote


def shown(holder: dict[str, Any]) -> list[Any]:
    """The examples that a schema, a parameter or a media type carries."""
    if "example" in holder:
        return [holder["example"]]
    examples = holder.get("examples") or []
    if isinstance(examples, dict):
        examples = [one["value"] for one in examples.values() if "value" in one]
    return list(examples)


def pointed(document: dict[str, Any], thing: Any) -> Any:
    """What a `$ref` of this document points to, or the thing itself; None when it leads nowhere."""
    for _ in range(9):
        if not isinstance(thing, dict) or "$ref" not in thing:
            return thing
        place: Any = document if str(thing["$ref"]).startswith("#/") else None
        for step in str(thing["$ref"]).split("/")[1:]:
            place = place.get(unquote(step).replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
        thing = {**place, **{key: one for key, one in thing.items() if key != "$ref"}} if isinstance(place, dict) else None
    return None


def references(schema: Any, document: dict[str, Any]) -> set[str]:
    """The references that a value of the schema follows, as far as the document has them."""
    todo, found = [schema], set[str]()
    while todo:
        one = todo.pop()
        if isinstance(one, dict) and "$ref" in one:
            todo += [pointed(document, one)] if one["$ref"] not in found else []
            found.add(one["$ref"])
        elif isinstance(one, dict) and not ready(one):
            required = set(one.get("required", []))
            todo += [part for word in ("allOf", "anyOf", "oneOf", "prefixItems") for part in one.get(word, [])]
            todo += [one.get("items"), one.get("additionalProperties") if "minProperties" in one else None]
            todo += [part for name, part in one.get("properties", {}).items() if name in required]
    return found


def ready(schema: dict[str, Any]) -> list[Any]:
    """Values that a schema names itself: examples, default, const, enum."""
    named = (schema.get("default"), schema.get("const"), *schema.get("enum", []))
    return [*shown(schema), *(one for one in named if one is not None)]


def tag_of(option: Any, discriminator: dict[str, Any]) -> dict[str, Any]:
    """The tag that a discriminator asks of one of its kinds, though the tag may have a default."""
    name, target = discriminator.get("propertyName"), option.get("$ref") if isinstance(option, dict) else None
    if not name:
        return {}
    values = [value for value, place in discriminator.get("mapping", {}).items() if place == target]
    return {"required": [name], **({"properties": {name: {"const": values[0]}}} if values else {})}


def is_tag(schema: dict[str, Any]) -> bool:
    """Whether a schema allows one value only, which may tell a kind from others."""
    return schema.get("const") is not None or len(schema.get("enum", [])) == 1


def kind_of(schema: dict[str, Any]) -> str:
    """The type that a schema asks for, or the one that its other words imply."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    implied = {
        "object": ("properties", "required"),
        "array": ("items", "prefixItems"),
        "number": ("minimum", "maximum", "multipleOf"),
    }
    return kind or next((name for name, words in implied.items() if any(schema.get(word) for word in words)), "string")
