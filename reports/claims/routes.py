"""What several claims say of a route: it holds the loop, fills a pool, or serves every user."""

from dataclasses import dataclass

from reports.claims.model import MissingData, Part, PartResult, is_near
from reports.metrics.executor import default_executor_size, server_cpu_count
from reports.metrics.model import CrowdMetrics, RouteMetrics, RunMetrics
from reports.stats.quantiles import Estimate
from results.formatting import (
    format_ratio,
    format_seconds,
    format_served_at_once,
    format_share,
    format_with_interval,
)
from results.run_info import RunInfo
from results.schema import Variant, base_variant, is_experiment

SERIAL_LIMIT = 1.5  # served at once below which one place is the only reading
_CALM_P90 = 0.010  # seconds: a neighbour's p90 below this is calm on any machine
_CALM_RATIO = 3.0  # or up to this many times its idle p90: the core is shared, after all
# a neighbour of a held loop waits for whole service times, not for a few milliseconds
_FROZEN_RATIO = 20.0
# of the users that must be served at once; the rest is the CPU of so many calls on one core
_MIN_SHARE_SERVED = 0.9

_FORMS = {
    Variant.ASYNC: "awaited",
    Variant.SYNC: "in def",
    Variant.BROKEN_ASYNC: "in async def",
    Variant.TO_THREAD: "in a thread",
}


@dataclass(frozen=True, slots=True)
class MeasuredRoute:
    """A route under its largest crowd: unloaded `service` time (s), and `served` at once."""

    route: RouteMetrics
    level: CrowdMetrics
    service: float
    served: float

    @property
    def neighbour_p90(self) -> tuple[Estimate, Estimate]:
        """The `async` neighbour's p90, idle and loaded. Raises MissingData without enough pings."""
        neighbour = self.route.neighbours.get("async")
        if not neighbour or not neighbour.idle or not neighbour.loaded:
            raise MissingData(f"the async neighbour of {self.route.route}")
        return neighbour.idle, neighbour.loaded

    @property
    def has_calm_neighbour(self) -> bool:
        """Whether the load hardly slowed the neighbour."""
        idle, loaded = self.neighbour_p90
        return loaded.high <= max(_CALM_P90, _CALM_RATIO * idle.low)

    @property
    def neighbour_text(self) -> str:
        """The neighbour's p90, idle and loaded."""
        idle, loaded = self.neighbour_p90
        loaded_text = ("" if loaded.exact else ">= ") + format_seconds(loaded.low)
        ratio = format_ratio(loaded.low / idle.low)
        return f"async neighbour p90 {format_seconds(idle.low)} -> {loaded_text} ({ratio})"

    @property
    def served_interval(self) -> str:
        """Served at once with its interval; a lower bound where no request had to wait."""
        if not self.route.capacity:
            return f">= {format_served_at_once(self.served)}"
        return format_with_interval(self.served, self.route.served_at_once_interval)

    @property
    def served_text(self) -> str:
        """Served at once, for how many users, and the time of one request alone."""
        return (
            f"{self.route.variant}: {self.served_interval} at once with {self.level.users} users"
            f" (one request alone {format_seconds(self.service)})"
        )


def measured_route(run_metrics: RunMetrics, variant: str) -> MeasuredRoute:
    """Return a variant under its largest crowd. Raises MissingData."""
    route = run_metrics.find_route(variant)
    if route and (level := route.top_level) and level.users > 1:
        service, served = route.unloaded_mean, route.served_at_once
        if service is not None and served is not None:
            return MeasuredRoute(route, level, service, served)
    raise MissingData(f"the crowd on /{variant}")


def crowd_needs(*variants: str) -> tuple[str, ...]:
    """Return the needs of a claim about these variants under a crowd, with their neighbours."""
    return ("neighbours/", *(f"crowd/{variant}/" for variant in variants))


def holds_loop(variant: str) -> Part:
    """Expect one request at once and a frozen neighbour: a lock alone would show only the first."""

    def judge(run_metrics: RunMetrics) -> PartResult:
        measured = measured_route(run_metrics, variant)
        idle, loaded = measured.neighbour_p90
        is_frozen = loaded.low / idle.low >= _FROZEN_RATIO
        predicted_p90 = measured.route.neighbours["async"].predicted_p90
        replay = f" (a replay predicts {format_seconds(predicted_p90)})" if predicted_p90 else ""
        return PartResult(
            f"{variant}: 1 at once, the async neighbour's p90 at least {_FROZEN_RATIO:.0f} times"
            f" its idle value{replay}",
            f"{measured.served_text}, {measured.neighbour_text}",
            {
                f"{variant} served more than one request at once": measured.served >= SERIAL_LIMIT,
                f"{variant} did not hold the loop: its neighbour hardly waited": not is_frozen,
            },
            bars=((_bar_label(variant), measured.served),),
        )

    return judge


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool by its documented size, never by the app's: a widened pool must refute the claim."""

    formula: str
    documented_size: int | None = None  # None: that of the loop's default executor
    tolerance: float = 0.10  # how near the plateau must lie to the size


# AnyIO's default limiter of worker threads, documented in its manual and in Starlette's
THREAD_POOL = Pool("AnyIO's thread tokens", 40)
EXECUTOR = Pool("min(32, cpus + 4)")


def documented_executor_size(run: RunInfo, server: str) -> int:
    """Return the threads of the default executor: min(32, CPUs + 4), by Python's manual."""
    if not run.machine.python or not run.machine.cpus:
        raise MissingData("the Python version and the number of CPUs")
    return default_executor_size(server_cpu_count(run, run.runtime(server)))


def _bar_label(variant: str) -> str:
    """Return the form of a variant under conditions of its own; the claim names these."""
    return _FORMS[Variant(base_variant(variant))] if is_experiment(variant) else variant


def fills_pool(variant: str, pool: Pool, limit: str = "", *, frees_loop: bool = True) -> Part:
    """Expect a full pool and, with `frees_loop`, a calm neighbour. `limit` says what follows."""

    def judge(run_metrics: RunMetrics) -> PartResult:
        measured = measured_route(run_metrics, variant)
        size = pool.documented_size or documented_executor_size(run_metrics.run, variant)
        if measured.level.users < size * (1 + pool.tolerance):
            raise MissingData(f"more than {size} users on /{variant}")
        predicted, text = f"{variant}: {pool.formula} = {size} at once", measured.served_text
        is_full = is_near(measured.served, size, pool.tolerance)
        faults = {f"{variant} did not serve the {size} at once that its pool has": not is_full}
        if frees_loop:
            predicted += ", the async neighbour calm"
            text += f", {measured.neighbour_text}"
            faults[f"{variant} slowed its async neighbour"] = not measured.has_calm_neighbour
        return PartResult(
            predicted,
            text,
            faults,
            limit=f"true, up to {size} at once: {limit}" if limit else "",
            bars=((_bar_label(variant), measured.served),),
        )

    return judge


def serves_every_user(variant: str) -> Part:
    """Expect all users to be served at once, and a calm neighbour."""

    def judge(run_metrics: RunMetrics) -> PartResult:
        measured = measured_route(run_metrics, variant)
        users, least = measured.level.users, format_share(_MIN_SHARE_SERVED)
        too_few = measured.served < _MIN_SHARE_SERVED * users
        return PartResult(
            f"{variant}: X S = N S / R, where R = S if nothing queues: {users} at once (at least"
            f" {least} of them), the async neighbour calm",
            f"{measured.served_text}, {measured.neighbour_text}",
            {
                f"fewer than {least} of the users were served at once": too_few,
                "the async neighbour waited": not measured.has_calm_neighbour,
            },
            bars=(("users", float(users)), (variant.partition(" ")[2], measured.served)),
        )

    return judge
