"""Replays a load's own sends through c ideal servers and compares them with the measurement.

With constant service, every order of service that never idles gives the completions, throughput and
mean of first come first served; median and tail depend on the order. So mean and completions test
the model, and the tail shows overtaking: a finding about the server, never an error. Pure numpy;
all times in seconds.
"""

import math

import numpy as np

from reports.stats.model import (
    MISFIT_ERROR,
    ConcurrencyEstimate,
    EstimateSource,
    ReplayResult,
    SendLog,
)
from reports.stats.quantiles import QUANTILES, Array, quantile
from reports.stats.queueing import (
    busy_service_time,
    completion_errors,
    fit_open_load,
    replay_latencies,
)

_MIN_ANSWERS = 10  # answers; fewer say nothing
FASTEST_SHARE = 0.05  # of the answers: the fastest 5 % hardly waited
_WAIT_RATIO = 1.02  # times the unloaded latency from which a request had to wait (busy periods)
# "nothing queued": fewer than 1 % of the requests took a tenth, and 2 ms, longer than unloaded
_QUEUED_RATIO, _JITTER, _QUEUED_SHARE = 1.1, 0.002, 0.01
_MAX_CONCURRENCY = (
    100  # requests in service: beyond, one place more or less makes no visible difference
)
_MAX_FIT_WORK = 1_000_000  # requests times places that are fitted: about two seconds
_SERVICE_TIME_RANGE = (0.85, 1.05)  # times the unloaded latency that a service in place may take
# seconds that HTTP may take beyond it, for routes so short that this is more
_HTTP_ALLOWANCE = 0.003


def compare_with_replay(
    sends: SendLog, concurrency: int, service_time: float, http_overhead: float = 0.0
) -> ReplayResult | None:
    """Replay all sends of a cell and compare the answered requests of its window.

    None when there are none.
    """
    answered = sends.in_window & sends.finished
    if not answered.any():
        return None
    ideal, took = (
        replay_latencies(sends.sent, service_time, concurrency) + http_overhead,
        sends.done - sends.sent,
    )
    return ReplayResult(
        places=concurrency,
        service_time=service_time,
        http_overhead=http_overhead,
        count=int(answered.sum()),
        drained=bool(sends.finished.all()),
        measured=_summarise_latencies(took[answered]),
        replayed=_summarise_latencies(ideal[answered]),
        mean_ratio=float(took[sends.finished].mean() / ideal[sends.finished].mean()),
        completion_error=float(
            np.median(
                completion_errors(
                    sends.sent + http_overhead,
                    sends.done[sends.finished],
                    service_time,
                    concurrency,
                )
            )
        )
        / service_time,
        longest_wait=max(0.0, float(took.max()) - service_time - http_overhead),
    )


def _summarise_latencies(latencies: Array) -> dict[str, float]:
    quantiles = {name: quantile(latencies, q) for name, q in QUANTILES.items()}
    return {"mean": float(latencies.mean()), **quantiles, "max": float(latencies.max())}


def estimate_concurrency(
    sends: SendLog, service: float | None, crowd: int | None
) -> ConcurrencyEstimate:
    """How many requests are served at once: as a `crowd` showed, else from the completions.

    `service`: unloaded latency in seconds.
    """
    sent, done = sends.sent[sends.finished], sends.done[sends.finished]
    took = done - sent
    if len(took) < _MIN_ANSWERS:
        return ConcurrencyEstimate(EstimateSource.UNKNOWN)
    top = service or _latency_without_queue(sends)
    if crowd:
        return _known_concurrency(
            EstimateSource.CROWD, crowd, _service_time_in_place(sent, done, crowd, top), top, top
        )
    if np.mean(took > max(_QUEUED_RATIO * top, top + _JITTER)) < _QUEUED_SHARE:
        return ConcurrencyEstimate(EstimateSource.IDLE)
    busy = len(took) / float(done.max() - sent[0]) * top
    if busy > _MAX_CONCURRENCY:
        return ConcurrencyEstimate(EstimateSource.UNKNOWN)
    last = sends.sent[: math.ceil(_MAX_FIT_WORK / (1 + busy))][-1]
    leaves, ends = (
        sends.sent[sends.sent <= last],
        done[done <= last] if last < sends.sent[-1] else done,
    )
    fit = fit_open_load(leaves, ends, top)
    follows = (
        np.median(completion_errors(leaves, ends, fit.service_time, fit.concurrency))
        <= MISFIT_ERROR * fit.service_time
    )
    if follows and not fit.is_identified:
        return ConcurrencyEstimate(EstimateSource.AT_LEAST, at_least=fit.at_least)
    return _known_concurrency(
        EstimateSource.FIT,
        fit.concurrency,
        _service_time_in_place(sent, done, fit.concurrency, top),
        fit.service_time,
        top,
    )


def _known_concurrency(
    source: EstimateSource, count: int, busy: float | None, otherwise: float, top: float
) -> ConcurrencyEstimate:
    """Places, service time and HTTP overhead; without gaps, one number holds both times."""
    return (
        ConcurrencyEstimate(source, count, busy, max(0.0, top - busy))
        if busy
        else ConcurrencyEstimate(source, count, otherwise)
    )


def _latency_without_queue(sends: SendLog) -> float:
    """Latency without a queue.

    The median of the requests that met an idle server or, if these are few, at most the latency of
    the fastest twentieth.
    """
    took, ends = sends.done - sends.sent, np.where(sends.finished, sends.done, np.inf)
    alone = took[
        np.append(True, sends.sent[1:] > np.maximum.accumulate(ends)[:-1]) & sends.finished
    ]
    quick = quantile(took[sends.finished], FASTEST_SHARE)
    if not len(alone):
        return quick
    return (
        float(np.median(alone))
        if len(alone) >= _MIN_ANSWERS
        else min(quick, float(np.median(alone)))
    )


def _service_time_in_place(sent: Array, done: Array, c: int, top: float) -> float | None:
    """Service time while the places are busy; None if implausible: a gap may be an idle moment."""
    service_time = busy_service_time(sent, done, c, _WAIT_RATIO * top)
    return (
        service_time
        if service_time
        and min(_SERVICE_TIME_RANGE[0] * top, top - _HTTP_ALLOWANCE)
        <= service_time
        <= _SERVICE_TIME_RANGE[1] * top
        else None
    )
