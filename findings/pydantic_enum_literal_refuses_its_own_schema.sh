#!/usr/bin/env bash
# pydantic 2.14.3 (core 2.50.4) on Python 3.11: a field `Literal[Kind.A]`, of an Enum without a str
# base, refuses the value that the model's own JSON schema names.
#
# Expected: the schema says {"const": "a"}, so the JSON {"kind": "a"} is valid, alone and in a tagged union.
# Seen: both refuse it, as JSON and as Python input ("Input should be <Kind.A: 'a'>"). FastAPI
# publishes that schema. A client or a load tool that builds a request from the OpenAPI document
# therefore gets status 422 from such a route.
# Needs Python 3.11 or newer and a package index. Exits 1 if any of that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pydantic==2.14.3 pydantic-core==2.50.4
cat >tags.py <<'PY'
import sys
from enum import Enum
from typing import Annotated, Literal
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

class Kind(Enum):
    A = "a"
    B = "b"

class First(BaseModel):
    kind: Literal[Kind.A] = Kind.A

class Second(BaseModel):
    kind: Literal[Kind.B] = Kind.B

union = TypeAdapter(Annotated[First | Second, Field(discriminator="kind")])

def takes(validate, value):
    try:
        validate(value)
    except ValidationError:
        return False
    return True

seen = {
    "schema": First.model_json_schema()["properties"]["kind"].get("const"),
    "JSON alone": takes(First.model_validate_json, '{"kind": "a"}'),
    "Python alone": takes(First.model_validate, {"kind": "a"}),
    "JSON in the union": takes(union.validate_json, '{"kind": "a"}'),
    "Python in the union": takes(union.validate_python, {"kind": "a"}),
}
print(seen)
sys.exit(list(seen.values()) != ["a", False, False, False, False])
PY
venv/bin/python tags.py
