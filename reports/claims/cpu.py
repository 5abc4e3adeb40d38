"""Computing on the loop, in threads, and in processes."""

import json
import math
from enum import StrEnum
from itertools import starmap

from reports.claims.model import Claim, MissingData, Part, PartResult
from reports.claims.routes import SERIAL_LIMIT, crowd_needs, measured_route
from reports.metrics.model import NeighbourMetrics, RunMetrics
from results.formatting import format_seconds, format_share
from results.thresholds import GIL_ACQUISITIONS, SWITCH_INTERVAL

_ROUND_P90 = 0.9  # the p90 of a moment that lies anywhere in a round


class NeighbourWait(StrEnum):
    """What the `async` neighbour of a crowd waits for."""

    NOTHING = "nothing"  # neither of the two: at most for the core
    TURNS = "turns"  # the threads' turns with the GIL
    REQUESTS = "requests"  # whole requests, which hold the loop


# CPU of an answer as a share of its service time: waiting has next to none, computing all but what
# others took
_MIN_CPU_SHARE = 0.5
# What the `async` neighbour should wait for: a hash releases the GIL.
_EXPECTED_WAITS = {
    "broken-async cpu": NeighbourWait.REQUESTS,
    "broken-async hash": NeighbourWait.REQUESTS,
    "to-thread cpu": NeighbourWait.TURNS,
    "to-thread hash": NeighbourWait.NOTHING,
}


def _predict_delays(users: int, service: float) -> dict[NeighbourWait, float]:
    """Return the neighbour's theoretical p90 in seconds, by what it waits for."""
    return {
        NeighbourWait.TURNS: GIL_ACQUISITIONS * users * SWITCH_INTERVAL,
        NeighbourWait.REQUESTS: _ROUND_P90 * users * service,
    }


def classify_wait(neighbour: NeighbourMetrics, users: int, service: float) -> NeighbourWait | None:
    """Return the prediction nearest to the measured p90; None where none stands out."""
    expected = _predict_delays(users, service)
    turns_delay, whole_delay = expected.values()
    if not neighbour.loaded or not neighbour.idle or whole_delay <= turns_delay:
        return None
    felt = neighbour.loaded.low
    if felt < turns_delay / 2:  # a shared core alone costs that
        return NeighbourWait.NOTHING
    return min(expected, key=lambda wait: abs(math.log(felt / expected[wait])))


def _computes(variant: str, expected: NeighbourWait) -> Part:
    """Expect one at once on one core, and a neighbour that waits for what is expected."""

    def judge(run_metrics: RunMetrics) -> PartResult:
        measured = measured_route(run_metrics, variant)
        level, service, p90 = measured.level, measured.service, measured.neighbour_p90[1].low
        users, cpu = level.users, level.cpu or 0.0
        delays = _predict_delays(users, service)
        turns_delay, whole_delay = map(format_seconds, delays.values())
        turns = f"{GIL_ACQUISITIONS} x {users}"
        predicted_p90 = {
            NeighbourWait.REQUESTS: f"at least 0.9 x {users} users x {format_seconds(service)} ="
            f" {whole_delay}",
            NeighbourWait.TURNS: f"about {turns} x {format_seconds(SWITCH_INTERVAL)} ="
            f" {turns_delay}",
            NeighbourWait.NOTHING: f"less than half of {turns_delay}: it releases the GIL",
        }
        wait = classify_wait(measured.route.neighbours["async"], users, service)
        return PartResult(
            f"{variant}: 1 at once, the async neighbour's p90 {predicted_p90[expected]}",
            f"{variant}: {measured.served_interval} at once, core {format_share(cpu)} full,"
            f" neighbour {format_seconds(p90)}",
            {
                f"{variant} served more than one at once": (measured.served >= SERIAL_LIMIT),
                f"{variant} waited instead of computing": (
                    cpu / level.throughput < _MIN_CPU_SHARE * service
                ),
                f"the neighbour of {variant} waited for {wait or '-'}, not for {expected}": (
                    wait is not expected
                ),
            },
            bars=((f"{variant}, ms", 1000 * p90),),
        )

    return judge


CPU_BLOCKS = Claim(
    id="cpu-blocks",
    sentence="Computing or hashing in `async def` blocks the loop; in a thread it keeps running.",
    source="Common Pitfalls",
    needs=crowd_needs(*_EXPECTED_WAITS),
    parts=tuple(starmap(_computes, _EXPECTED_WAITS.items())),
    why=(
        "the loop computes one thing at a time. A thread keeps the loop free, but both take turns"
        " with the GIL unless the code releases it. Code that releases it uses more cores"
    ),
)

_VARIANT, _WORKERS_PATH = "async process-pool", "/cpu/workers"
# served at once over the cores, from where on the two levels did not meet the same machine
_IMPLAUSIBLE_RATIO = 1.1
# cores without which one interpreter and several look alike; the workers are nice, so others come
# first
_MIN_FREE_CORES = 1.5


def _judge_process_pool_frees(run_metrics: RunMetrics) -> PartResult:
    """Expect a calm neighbour, and served at once nearer to the cores than to 1, as a ratio."""
    measured = measured_route(run_metrics, _VARIANT)
    level, served = measured.level, measured.served
    cores = int(run_metrics.run.machine.cpus or 1)
    health = next(counts.health for counts in run_metrics.cell_counts if counts.cell == level.cell)
    usable_cores = min(_count_pool_workers(run_metrics), cores)
    if usable_cores - (health.other_cpu or 0.0) * cores < _MIN_FREE_CORES:
        raise MissingData("a second core that other processes leave free")
    cpu, excess_note = level.cpu or 0.0, ""
    if served > _IMPLAUSIBLE_RATIO * usable_cores:
        excess_note = (
            f" (more than {usable_cores} is impossible: the single user ran on slower cores than"
            " the crowd)"
        )
    return PartResult(
        f"min(workers, cores) = {usable_cores} at once, less what the loop and the load generator"
        " need; one interpreter would serve 1; the async neighbour calm",
        f"{measured.served_text}; {measured.neighbour_text}; the load generator used"
        f" {format_share(health.generator_cpu or 0.0)} of one core, the loop {format_share(cpu)}",
        {
            "the async neighbour waited": not measured.has_calm_neighbour,
            "it served no more than one interpreter would": served <= math.sqrt(usable_cores),
        },
        limit=(
            f"true, up to {usable_cores} cores{excess_note}; a call costs"
            f" {format_seconds(cpu / level.throughput)} of the app's own CPU, for"
            " the request, pickling and two hops between processes"
        ),
        bars=(("one interpreter", 1.0), ("process pool", served), ("cores", float(usable_cores))),
    )


def _count_pool_workers(run_metrics: RunMetrics) -> int:
    answers = run_metrics.session_answers(_VARIANT, _WORKERS_PATH)
    if not answers or answers[0].status != 200:  # noqa: PLR2004 - OK
        raise MissingData("the number of the pool's workers, which the app reports")
    return int(json.loads(answers[0].body)["workers"])


PROCESS_POOL_FREES = Claim(
    id="process-pool-frees",
    sentence="CPU work in a `ProcessPoolExecutor` leaves the loop free and uses the other cores.",
    source="Common Pitfalls",
    needs=(*crowd_needs(_VARIANT), f"asked/{_VARIANT}"),
    parts=(_judge_process_pool_frees,),
)
