"""The sentences of README.md and docs/ that quote figures; `benchmarks.readme` puts them there.

Every function reads a summary as `--json` prints it, or a stored figure, and returns Markdown.
"""

import re
import textwrap
from collections.abc import Iterable
from typing import Any

from results.formatting import format_number, format_seconds, format_share

WIDTH = 100  # columns
Json = dict[str, Any]


def paragraph(*parts: str, indent: str = "") -> str:
    """Join sentences and break them at 100 columns, but never between a number and its unit."""
    text = re.sub(r"(\d) (ms|s|%)(?!\w)", "\\1\N{NO-BREAK SPACE}\\2", " ".join(parts))
    lines = textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def bullet(*parts: str) -> str:
    """Write one item of a list."""
    return paragraph("-", *parts, indent="  ")


def code_block(lines: Iterable[str]) -> str:
    """Fence terminal output."""
    return "\n".join(("```text", *lines, "```"))


def find_route(summary: Json, variant: str) -> Json:
    """Return the route of one variant."""
    return next(route for route in summary["routes"] if route["variant"] == variant)


def read_table(summary: Json) -> str:
    """Explain the table of routes by its worst row."""
    route = find_route(summary, "broken-async")
    top, neighbour = route["levels"][-1], route["neighbours"]["async"]
    unloaded = format_seconds(route["service_s"])
    return "\n".join(
        (
            bullet(
                "**served at once** is throughput x unloaded time, the time of a lone request:",
                f"{format_number(top['rps'])} req/s x {unloaded} =",
                f"{format_number(route['served_at_once'])}. By Little's law, the app worked on",
                "that many requests at once. The number shows the cause: 1 is a held event loop,",
                "40 is AnyIO's thread pool for `def` routes, cpus + 4 is the pool of",
                "`asyncio.to_thread`.",
            ),
            bullet(
                f"**waits**: with {top['users']} users, the blocking route takes",
                f"{format_seconds(top['mean_s'])}, and",
                f"{format_share(1 - route['service_s'] / top['mean_s'])} of that is waiting. A",
                "timer inside the app does not see the wait: it reports",
                f"{format_seconds(route['server_says_p50_s'])}.",
            ),
            bullet(
                "**neighbour p90**: another `async` route only returns a constant. Its p90 went",
                f"from {format_seconds(neighbour['idle_p90_s'])} to",
                f"{format_seconds(neighbour['loaded_p90_s'])}. One blocking route slows down all",
                "routes of its worker.",
            ),
            bullet(
                f"**n={top['count']}**: {top['count']} samples are too few for a p99, which needs",
                "1,000.",
            ),
        )
    )


def corpus_scores(scores: str) -> str:
    """Say how often the doctor is right, from the last column of the corpus' scores."""
    rows = re.findall(r"^\| ([a-z][^|]+?) \|.*\| (\d+ of \d+) \|$", scores, re.MULTILINE)

    def score(words: str) -> str:
        return "".join(value for name, value in rows if words in name)

    return paragraph(
        "In twenty-nine apps with known faults it found",
        f"{score('routes found')} routes that hold the event loop, named",
        f"{score('guilty lines')} lines, and reported {score('accused')} healthy routes as faulty",
        "([scores](tests/corpus/scores.md)).",
    )


def claims_table(summary: Json) -> str:
    """List the lesson's claims with their outcomes."""
    rows = [
        f"| `{row['id']}` | {row['sentence']} | {row['verdict']} |" for row in summary["claims"]
    ]
    return "\n".join(("| claim | statement | result here |", "|---|---|---|", *rows))


def selfcheck_accuracy(summary: Json) -> str:
    """Say how far off the stored self-check was, at most."""
    goals = {goal["expression"]: goal for goal in summary["gates"]}
    bare = {name: goal for name, goal in goals.items() if name.startswith("GET /places/")}

    def worst(*words: str) -> str:
        return format_share(
            max(abs(goal["off"]) for name, goal in bare.items() if any(w in name for w in words))
        )

    def find_goal(words: str) -> Json:
        return next(goal for name, goal in goals.items() if name.endswith(words))

    frozen, blind = find_goal("stopped for 1 s: p99"), find_goal("p99 as a closed loop sees it")
    served = [
        format_number(goal["actual"]) for name, goal in bare.items() if "served at once" in name
    ]
    return "\n".join(
        (
            bullet(
                f"{sum(goal['holds'] for goal in goals.values())} of {len(goals)} goals are met."
            ),
            bullet(
                f"Closed loops: means are at most {worst(': mean of ')} off N D / c. Where the",
                f"truth is 1, 6 and 40 at once, it measured {', '.join(served)}.",
            ),
            bullet(
                "Open loads, compared with the replay of their own sends: mean and p50 are at",
                f"most {worst('/s: mean', '/s: p50')} off, p95 at most {worst('/s: p95')}.",
            ),
            bullet(
                "A server that stands still for 1 s: p99 is",
                f"{format_seconds(frozen['actual'])}, the replay gives",
                f"{format_seconds(frozen['truth'])}. A client in a closed loop reports",
                f"{format_seconds(blind['actual'])}.",
            ),
        )
    )


def closed_theory(summary: Json) -> str:
    """Compare the blocking route's mean with N D."""
    route = find_route(summary, "broken-async")
    top = route["levels"][-1]
    return paragraph(
        f"In the stored run, theory says {top['users']} x {format_seconds(route['service_s'])} =",
        f"{format_seconds(top['predicted_mean_s'])} for the mean of the blocking route.",
        f"Measured: {format_seconds(top['mean_s'])}.",
    )


def little_law(summary: Json) -> str:
    """Say how well rows and counter agree."""
    worst = max(
        abs(level["little_identity"])
        for route in summary["routes"]
        for level in route["levels"]
        if level["little_identity"] is not None
    )
    return paragraph(f"In the stored run the two differ by {format_share(worst)} at most.")


def plain_locust(figures: Json) -> str:
    """Say what plain Locust's table leaves unexplained."""
    return paragraph(
        f"Plain Locust was run for {figures['seconds']} s on a blocking route of",
        f"{format_seconds(figures['hold_s'])}, with {figures['users']} users. Its table has",
        f"{format_number(figures['rps'])} req/s and a mean of {format_seconds(figures['mean_s'])}.",
        f"By Little's law, that is {format_number(figures['users_explained'])} users. The other",
        f"{format_share(figures['unexplained'])} are missing: Locust forgets the requests that are",
        "still in flight when it stops.",
    )


def loop_fairness(summary: Json) -> str:
    """Compare the order of service on both event loops."""
    prefix = "broken-async "
    routes = {
        row["variant"].removeprefix(prefix): row
        for row in summary["experiments"]
        if row["whole"] and row["variant"].removeprefix(prefix).startswith(("asyncio", "uvloop"))
    }
    tops = [row["levels"][-1] for row in routes.values()]
    rates = [format_number(edge(top["rps"] for top in tops)) for edge in (min, max)]
    longest = {name: format_seconds(row["whole"]["max_s"]) for name, row in routes.items()}
    return paragraph(
        f"In the stored run, {tops[0]['users']} users load the same blocking route. It gives",
        f"{' to '.join(dict.fromkeys(rates))} req/s on both event loops, with warm and with cold",
        f"connections. The longest wait is {longest['asyncio warm']} on asyncio and",
        f"{longest['uvloop warm']} on uvloop. If the load itself opens the connections, it is",
        f"{longest['uvloop cold']} on uvloop.",
    )


def probe_cost(figures: Json) -> str:
    """Say what the probe costs."""
    cost = figures["/noop/async"]["cost in throughput"]
    return bullet(
        f"**The probe** takes {cost['percent']:.1f} % ({cost['low']:.1f} to {cost['high']:.1f}) of",
        "the throughput of a route that does nothing. The goal was 2 %. `atonce reproduce",
        "--no-probe` leaves it out.",
    )


def sharing_cost(summary: Json) -> str:
    """Say what a route that does nothing takes on this machine."""
    idle = find_route(summary, "broken-async")["neighbours"]["async"]["idle_p90_s"]
    return bullet(
        "**Client and server share the machine.** They are pinned to different cores. Their own",
        "cost is part of every latency: on an idle app, a route that does nothing has a p90 of",
        f"{format_seconds(idle)}.",
    )
