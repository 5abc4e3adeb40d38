"""README.md and docs/: their commands, code blocks and prose."""

import re

from tests.support.processes import ROOT

DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = DOCUMENTS["README.md"]
PROGRAMS = "docs/programs.md"  # has tests of its own, which run its programs
PLAIN_FILES = (*DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md")


def code_blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shell_commands(text: str) -> list[str]:
    """Return every command of the shell blocks on one line, without comments."""
    lines = "".join(code_blocks(text, "sh")).replace("\\\n", "").splitlines()
    return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


def prose(text: str) -> str:
    """Return a document without its code blocks and comments."""
    return re.sub(r"^```.*?^```$|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)


ALL_COMMANDS = [
    command
    for name, text in DOCUMENTS.items()
    if name != PROGRAMS
    for command in shell_commands(text)
]
