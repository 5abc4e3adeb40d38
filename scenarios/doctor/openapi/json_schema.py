"""Reads JSON schemas: examples, types, references, discriminator tags."""

from typing import Any
from urllib.parse import unquote

_MAX_REFERENCES = 9  # references followed from one node
_IMPLIED_TYPES = {
    **dict.fromkeys(("properties", "required"), "object"),
    **dict.fromkeys(("items", "prefixItems"), "array"),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), "number"),
}


def schema_examples(holder: dict[str, Any]) -> list[Any]:
    """Return the examples of a schema, a parameter or a media type."""
    if "example" in holder:
        return [holder["example"]]
    examples = holder.get("examples") or []
    if isinstance(examples, dict):
        return [example["value"] for example in examples.values() if "value" in example]
    return list(examples)


def resolve_reference(document: dict[str, Any], node: Any) -> Any:
    """Return the target of a `$ref` in this document, or the node itself; None without a target."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(node, dict) or "$ref" not in node:
            return node
        reference = str(node["$ref"])
        target: Any = document if reference.startswith("#/") else None
        for step in reference.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            target = target.get(key) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            return None
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return None


def collect_references(schema: Any, document: dict[str, Any]) -> set[str]:
    """Return the references that a value of the schema follows, if the document has them."""
    pending, names = [schema], set[str]()
    while pending:
        node = pending.pop()
        if isinstance(node, dict) and "$ref" in node:
            if node["$ref"] not in names:
                pending.append(resolve_reference(document, node))
            names.add(node["$ref"])
        elif isinstance(node, dict) and not named_values(node):
            for keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
                pending += node.get(keyword, [])
            pending.append(node.get("items"))
            if "minProperties" in node:
                pending.append(node.get("additionalProperties"))
            required = set(node.get("required", []))
            properties = node.get("properties", {})
            pending += [part for name, part in properties.items() if name in required]
    return names


def named_values(schema: dict[str, Any]) -> list[Any]:
    """Return the values that a schema names: examples, default, const, enum."""
    named = (schema.get("default"), schema.get("const"), *schema.get("enum", []))
    return [*schema_examples(schema), *(value for value in named if value is not None)]


def discriminator_tag(option: Any, discriminator: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that requires an option's discriminator tag, even if it has a default."""
    name = discriminator.get("propertyName")
    if not name:
        return {}
    target = option.get("$ref") if isinstance(option, dict) else None
    mapping = discriminator.get("mapping", {}).items()
    values = [value for value, reference in mapping if reference == target]
    return {"required": [name], "properties": {name: {"const": values[0]}} if values else {}}


def is_single_value(schema: dict[str, Any]) -> bool:
    """Return whether a schema allows one value only, which may distinguish it from others."""
    return schema.get("const") is not None or len(schema.get("enum", [])) == 1


def schema_type(schema: dict[str, Any]) -> str:
    """Return the declared type of a schema, or the type that its other keywords imply."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((option for option in kind if option != "null"), "null")
    implied = (name for keyword, name in _IMPLIED_TYPES.items() if schema.get(keyword))
    return kind or next(implied, "string")
