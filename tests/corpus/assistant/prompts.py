"""Prompts, put together from parts."""

from string import Template

SYSTEM = Template("You are $name, a helpful assistant. Today is $day. Sources follow.\n$sources\n\nQuestion: $question")
SOURCE = Template("[$number] $title: $text")


def render(question: str, sources: int) -> str:
    """Fill in the template."""
    parts = [SOURCE.substitute(number=number, title=f"Note {number}", text="lorem ipsum " * 20) for number in range(sources)]
    return SYSTEM.substitute(name="Ada", day="Monday", sources="\n".join(parts), question=question)


async def summarise(text: str, words: int = 12) -> str:
    """Shorten a text."""
    return " ".join(text.split()[:words])
