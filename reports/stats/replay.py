"""Replays a load's own sends through c ideal servers and compares them with the measurement.

With constant service, every order of service that never idles has the same completions and mean;
median and tail depend on the order. So mean and completions test the model, and the tail shows
overtaking. All times in seconds. See docs/method.md, Replay and theory.
"""

import math

import numpy as np

from reports.stats import queueing
from reports.stats.model import (
    MISFIT_ERROR,
    ConcurrencyEstimate,
    EstimateSource,
    ReplayResult,
    SendLog,
)
from reports.stats.quantiles import QUANTILES, Array, quantile

_MIN_ANSWERS = 10  # answers; fewer say nothing
FASTEST_SHARE = 0.05  # of the answers: the fastest 5 % hardly waited
_WAIT_RATIO = 1.02  # times the unloaded latency: a longer request waited (busy periods)
# "nothing queued": fewer than 1 % of the requests took a tenth, and 2 ms, longer than unloaded
_QUEUED_RATIO, _JITTER, _QUEUED_SHARE = 1.1, 0.002, 0.01
# requests in service: beyond, one place more or less makes no visible difference
_MAX_CONCURRENCY = 100
_MAX_FIT_WORK = 1_000_000  # requests times places that are fitted: about two seconds
_SERVICE_TIME_RANGE = (0.85, 1.05)  # times the unloaded latency that a service in place may take
# seconds that HTTP may take beyond it, for routes so short that this is more
_HTTP_ALLOWANCE = 0.003


def compare_with_replay(
    sends: SendLog, concurrency: int, service_time: float, http_overhead: float = 0.0
) -> ReplayResult | None:
    """Replay all sends of a cell; compare the answered requests of its window, None without any."""
    answered, finished = sends.in_window & sends.finished, sends.finished
    if not answered.any():
        return None
    ideal = queueing.replay_latencies(sends.sent, service_time, concurrency) + http_overhead
    took = sends.done - sends.sent
    errors = queueing.completion_errors(
        sends.sent + http_overhead, sends.done[finished], service_time, concurrency
    )
    return ReplayResult(
        places=concurrency,
        service_time=service_time,
        http_overhead=http_overhead,
        count=int(answered.sum()),
        drained=bool(finished.all()),
        measured=_summarise_latencies(took[answered]),
        replayed=_summarise_latencies(ideal[answered]),
        mean_ratio=float(took[finished].mean() / ideal[finished].mean()),
        completion_error=float(np.median(errors)) / service_time,
        longest_wait=max(0.0, float(took.max()) - service_time - http_overhead),
    )


def _summarise_latencies(latencies: Array) -> dict[str, float]:
    quantiles = {name: quantile(latencies, q) for name, q in QUANTILES.items()}
    return {"mean": float(latencies.mean()), **quantiles, "max": float(latencies.max())}


def estimate_concurrency(
    sends: SendLog, service: float | None, crowd: int | None
) -> ConcurrencyEstimate:
    """Estimate how many are served at once: as a `crowd` showed, else from the completions."""
    sent, done = sends.sent[sends.finished], sends.done[sends.finished]
    took = done - sent
    if len(took) < _MIN_ANSWERS:
        return ConcurrencyEstimate(EstimateSource.UNKNOWN)
    top = service or _latency_without_queue(sends)

    def estimate_times(source: EstimateSource, count: int, fitted: float) -> ConcurrencyEstimate:
        """Prefer the time in place; without gaps, one number stands for place and HTTP."""
        in_place = _service_time_in_place(sent, done, count, top)
        overhead = max(0.0, top - in_place) if in_place else 0.0
        return ConcurrencyEstimate(source, count, in_place or fitted, overhead)

    if crowd:
        return estimate_times(EstimateSource.CROWD, crowd, top)
    if np.mean(took > max(_QUEUED_RATIO * top, top + _JITTER)) < _QUEUED_SHARE:
        return ConcurrencyEstimate(EstimateSource.IDLE)
    busy = len(took) / float(done.max() - sent[0]) * top
    if busy > _MAX_CONCURRENCY:
        return ConcurrencyEstimate(EstimateSource.UNKNOWN)
    last = sends.sent[: math.ceil(_MAX_FIT_WORK / (1 + busy))][-1]
    leaves = sends.sent[sends.sent <= last]
    ends = done[done <= last] if last < sends.sent[-1] else done
    fit = queueing.fit_open_load(leaves, ends, top)
    errors = queueing.completion_errors(leaves, ends, fit.service_time, fit.concurrency)
    is_close = np.median(errors) <= MISFIT_ERROR * fit.service_time
    if is_close and not fit.is_identified:
        return ConcurrencyEstimate(EstimateSource.AT_LEAST, at_least=fit.at_least)
    return estimate_times(EstimateSource.FIT, fit.concurrency, fit.service_time)


def _latency_without_queue(sends: SendLog) -> float:
    """Return the median of requests to an idle server; of few, at most the fastest twentieth's."""
    took, ends = sends.done - sends.sent, np.where(sends.finished, sends.done, np.inf)
    met_idle = np.append(True, sends.sent[1:] > np.maximum.accumulate(ends)[:-1])
    alone = took[met_idle & sends.finished]
    quick = quantile(took[sends.finished], FASTEST_SHARE)
    if len(alone) >= _MIN_ANSWERS:
        return float(np.median(alone))
    return min(quick, float(np.median(alone))) if len(alone) else quick


def _service_time_in_place(sent: Array, done: Array, c: int, top: float) -> float | None:
    """Return D while the places are busy; None if implausible: a gap may be an idle moment."""
    service_time = queueing.busy_service_time(sent, done, c, _WAIT_RATIO * top)
    low, high = min(_SERVICE_TIME_RANGE[0] * top, top - _HTTP_ALLOWANCE), _SERVICE_TIME_RANGE[1]
    return service_time if service_time and low <= service_time <= high * top else None
