"""Which result words are good or bad: the colours of terminal and page."""

from enum import StrEnum

from rich.markup import escape

from reports.checks.model import MISSED, CheckStatus, TrustLevel
from results.verdicts import TERMINAL_COLOURS, VERDICTS, ClaimOutcome, Tone


class Advice(StrEnum):
    """Whether to use a form."""

    RECOMMENDED = "recommended"  # the first choice
    WORKS = "works"  # leaves the loop free, up to its limit
    MISTAKE = "mistake"  # delays all other requests


OVERLOADED = "overloaded"
GATE_WORDS = {True: CheckStatus.PASS, False: CheckStatus.FAIL, None: ClaimOutcome.UNTESTED}
WORD_TONES: dict[str, Tone] = {
    **dict.fromkeys((TrustLevel.TRUSTED, ClaimOutcome.CONFIRMED, CheckStatus.PASS), Tone.GOOD),
    **dict.fromkeys((TrustLevel.SUSPECT, ClaimOutcome.NUANCED, CheckStatus.WARN), Tone.WARN),
    **dict.fromkeys((TrustLevel.UNTRUSTED, ClaimOutcome.REFUTED, CheckStatus.FAIL), Tone.BAD),
    **dict.fromkeys((ClaimOutcome.UNTESTED, CheckStatus.UNKNOWN), Tone.SOFT),
    Advice.RECOMMENDED: Tone.GOOD,
    Advice.WORKS: Tone.WARN,
    Advice.MISTAKE: Tone.BAD,
    **dict.fromkeys((MISSED, OVERLOADED), Tone.BAD),
    **{verdict: facts.tone for verdict, facts in VERDICTS.items()},
}


def words_by_tone() -> dict[Tone, list[str]]:
    """Return the words of each tone: they are CSS classes of the page."""
    return {tone: [word for word, own in WORD_TONES.items() if own is tone] for tone in Tone}


def terminal_colour(word: str) -> str:
    """Return the colour of a result word; "" where it has none."""
    return TERMINAL_COLOURS[WORD_TONES.get(word, Tone.SOFT)]


def colour_text(text: str, word: str | None = None) -> str:
    """Return a text as rich markup, in the colour of `word`, by default its own."""
    colour = terminal_colour(text if word is None else word)
    return f"[{colour}]{escape(text)}[/]" if colour else escape(text)
