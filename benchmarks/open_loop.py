"""A frozen route at 1.5 times its capacity, open and closed: `python -m benchmarks.open_loop`.

Open: `atonce run steady`, 15 Poisson arrivals a second for 20 s on a route that blocks for 0.1 s;
in flight must grow by lambda - 1/D. Closed: plain Locust's FastHttpUser on the same route, 15 users
for 20 s, from its own table.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import plain_locust
from tests.support.processes import ROOT, new_mark, served

RATE, SECONDS, HOLD, DRAIN = 15, 20, 0.1, 5


def opened(folder: Path) -> dict[str, object]:
    """What atonce reports for the open model."""
    words = (
        f"--route /broken-async?seconds={HOLD} --rate {RATE}/s -t {SECONDS}s --drain {DRAIN}s"
        " --json --quiet"
    )
    with served("targets.app:app", new_mark()) as (url, _):
        command = [
            sys.executable,
            "atonce.py",
            "run",
            "steady",
            "--host",
            url,
            "--out",
            str(folder),
            *words.split(),
        ]
        shown = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
        )
    offered = json.loads(shown.stdout)["routes"][0]["offered"][0]
    names = (
        "offered_rps",
        "planned",
        "sent",
        "refused",
        "completed",
        "unfinished",
        "busy_service_s",
        "lateness_p99_s",
    )
    growth = {"measured": offered["growth_rps"], "lambda - 1/D": offered["predicted_growth_rps"]}
    bounds = {
        name: value for name, value in offered.items() if name.startswith(("p50", "p95", "p99"))
    }
    return {**{name: offered[name] for name in names}, "growth": growth, **bounds}


def main() -> None:
    """Measure both, one after the other, and print them."""
    with tempfile.TemporaryDirectory() as folder:
        closed = plain_locust.measure(Path(folder), RATE, SECONDS, HOLD, "asyncio")
        print(
            json.dumps(
                {"open, atonce": opened(Path(folder)), "closed, plain Locust": closed}, indent=1
            )
        )


if __name__ == "__main__":
    main()
