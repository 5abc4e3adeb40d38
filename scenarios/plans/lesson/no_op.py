"""The no-op pair, `async def` and `def` by turns in one server process: what a request costs, and what a thread hop adds."""

from dataclasses import replace

from results.schema import Cell, Scenario
from scenarios.plans.model import Act, cell_of

PAIR = (("async noop", "/noop/async"), ("sync noop", "/noop/def"))
SERVER = PAIR[0][0]  # one process for both, called after the first
TURNS = 8  # of each: eight ratios for an interval
TURN = 1.5  # seconds: some fifteen looks at the server's CPU
USERS = 1  # who waits for each answer leaves both cores half idle: neither the generator nor the queue is what gets measured


def cell(variant: str, route: str, turn: int) -> Cell:
    """One turn of one route; both wait for nothing, so what they cost is all that they are."""
    plain = cell_of(Scenario.CROWD, variant, 0.0, USERS)
    plain = replace(plain, name=f"{plain.name}-{turn}", route=f"GET {route}", path=route, expects="null", on=SERVER)
    return replace(plain, warm_up=0.3, window=TURN, drain=10.0)


ACTS = (Act(SERVER, 0.0, tuple(cell(*one, turn) for turn in range(1, TURNS + 1) for one in PAIR), lab=True),)
