"""The published schema of `summary.json`, with the verdicts of the table.

`python -m reports.render.schema` renews the file after a change of the table.
"""

import json
import re
from pathlib import Path

from results.verdicts import Verdict

SCHEMA_FILE = Path(__file__).with_name("summary.schema.json")
_VERDICT_CODES = re.compile(r'(?<="verdict": \{\n   "enum": )\[[^]]*\]')


def render_schema() -> str:
    """Return the text of the schema."""
    return _VERDICT_CODES.sub(json.dumps(list(Verdict)), SCHEMA_FILE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    SCHEMA_FILE.write_text(render_schema(), encoding="utf-8")
