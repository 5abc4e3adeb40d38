"""Reads JSON schemas: examples, types, references, discriminator tags."""

from typing import Any
from urllib.parse import unquote


def schema_examples(holder: dict[str, Any]) -> list[Any]:
    """The examples that a schema, a parameter or a media type carries."""
    if "example" in holder:
        return [holder["example"]]
    examples = holder.get("examples") or []
    if isinstance(examples, dict):
        examples = [example["value"] for example in examples.values() if "value" in example]
    return list(examples)


def resolve_reference(document: dict[str, Any], node: Any) -> Any:
    """The target of a `$ref` in this document, or the node itself; None if it has no target."""
    for _ in range(9):
        if not isinstance(node, dict) or "$ref" not in node:
            return node
        target: Any = document if str(node["$ref"]).startswith("#/") else None
        for step in str(node["$ref"]).split("/")[1:]:
            target = (
                target.get(unquote(step).replace("~1", "/").replace("~0", "~"))
                if isinstance(target, dict)
                else None
            )
        node = (
            {**target, **{key: value for key, value in node.items() if key != "$ref"}}
            if isinstance(target, dict)
            else None
        )
    return None


def collect_references(schema: Any, document: dict[str, Any]) -> set[str]:
    """The references that a value of the schema follows, as far as the document has them."""
    pending, names = [schema], set[str]()
    while pending:
        node = pending.pop()
        if isinstance(node, dict) and "$ref" in node:
            pending += [resolve_reference(document, node)] if node["$ref"] not in names else []
            names.add(node["$ref"])
        elif isinstance(node, dict) and not named_values(node):
            required = set(node.get("required", []))
            for keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
                pending += node.get(keyword, [])
            pending += [
                node.get("items"),
                node.get("additionalProperties") if "minProperties" in node else None,
            ]
            pending += [
                part for name, part in node.get("properties", {}).items() if name in required
            ]
    return names


def named_values(schema: dict[str, Any]) -> list[Any]:
    """The values that a schema names: examples, default, const, enum."""
    named = (schema.get("default"), schema.get("const"), *schema.get("enum", []))
    return [*schema_examples(schema), *(value for value in named if value is not None)]


def discriminator_tag(option: Any, discriminator: dict[str, Any]) -> dict[str, Any]:
    """A schema that requires the discriminator tag of an option, even if it has a default."""
    name, target = (
        discriminator.get("propertyName"),
        option.get("$ref") if isinstance(option, dict) else None,
    )
    if not name:
        return {}
    values = [
        value
        for value, reference in discriminator.get("mapping", {}).items()
        if reference == target
    ]
    return {"required": [name], **({"properties": {name: {"const": values[0]}}} if values else {})}


def is_single_value(schema: dict[str, Any]) -> bool:
    """Whether a schema allows a single value, which may distinguish an option from others."""
    return schema.get("const") is not None or len(schema.get("enum", [])) == 1


def schema_type(schema: dict[str, Any]) -> str:
    """The declared type of a schema, or the type that its other keywords imply."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((option for option in kind if option != "null"), "null")
    implied = {
        "object": ("properties", "required"),
        "array": ("items", "prefixItems"),
        "number": ("minimum", "maximum", "multipleOf"),
    }
    return kind or next(
        (
            name
            for name, keywords in implied.items()
            if any(schema.get(keyword) for keyword in keywords)
        ),
        "string",
    )
