"""The decision guide as docs/forms.md shows it: a table of Markdown."""

from reports.render.decision_guide import GuideRow, group_by_form
from results.formatting import format_number

HEAD = ("you call", "form", "serves at once here, with", "what limits it")


def markdown(rows: tuple[GuideRow, ...]) -> str:
    """The guide as a Markdown table: a line for each form, the question in its first line only."""
    lines, asked = [HEAD, ("---",) * len(HEAD)], ""
    for form in group_by_form(tuple(row for row in rows if row.served_at_once is not None)):
        first = form[0]
        served = ", ".join(
            f"{format_number(row.served_at_once or 0)} of {row.users} ({row.what})" for row in form
        )
        limits = "; ".join(dict.fromkeys(row.limit.partition(" (")[0] for row in form))
        lines.append(
            (
                first.question if first.question != asked else "",
                f"{first.form}: {first.advice or 'unclear'}",
                served,
                limits,
            )
        )
        asked = first.question
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
