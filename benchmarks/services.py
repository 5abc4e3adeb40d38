"""How often rules are right about random service times: `python -m benchmarks.services [SEEDS]`.

Every law of service times in every arrangement, examined SEEDS times on simulated servers. Printed:
how often each verdict came, wrong verdicts in bold, and the range of the served at once.
"""

import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from results.judgement.rules import evaluate_rules
from tests.support.simulate_services import SERVICES, Server, examine

SEEDS = 20
ARRANGEMENTS = {
    "awaits": {},
    "40 threads": {"threads": 40},
    "pool of 5": {"places": 5},
    "pool of 12": {"places": 12},
    "40 threads, pool of 15": {"threads": 40, "places": 15},
}


def judge(law: str, arrangement: str, seed: int) -> tuple[str, float]:
    """The verdict of one examination, and how many were served at once."""
    with tempfile.TemporaryDirectory() as folder:
        evidence = examine(Path(folder), Server(SERVICES[law], **ARRANGEMENTS[arrangement]), seed)
    served = evidence.served_at(evidence.top) if evidence.top else 0.0
    return str(evaluate_rules(evidence).verdict), served


def main() -> None:
    """Print a line for each law in each arrangement."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
    print("| service time | arrangement | truth | verdicts | served at once |")
    print("|---|---|---|---|---|")
    with ProcessPoolExecutor() as pool:
        for law, service in SERVICES.items():
            for name, places in ARRANGEMENTS.items():
                count = len(seeds)
                results = list(pool.map(judge, [law] * count, [name] * count, seeds))
                truth = str(Server(service, **places).verdict)
                counts = Counter(verdict for verdict, _ in results)
                bold = {verdict: "" if verdict == truth else "**" for verdict in counts}
                verdicts = ", ".join(
                    f"{bold[verdict]}{verdict}{bold[verdict]} x{n}" for verdict, n in counts.items()
                )
                served = sorted(served_at_once for _, served_at_once in results)
                edges = f"{served[0]:.3g} to {served[-1]:.3g}"
                print(f"| {law} | {name} | {truth} | {verdicts} | {edges} |", flush=True)


if __name__ == "__main__":
    main()
