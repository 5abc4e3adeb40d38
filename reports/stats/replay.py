"""A load's own sends through c ideal servers, beside what was measured.

Constant service in any order that never idles gives the completions, the throughput and the mean of first come first served;
median and tail depend on the order. So mean and completions test the model, and the tail names who was overtaken: a finding
about the server, never an error. Pure numpy; seconds everywhere.
"""

import math

import numpy as np

from reports.stats.model import BROKEN, Places, Replayed, Sends, Source
from reports.stats.quantiles import QUANTILES, Array, quantile
from reports.stats.queueing import busy_service, completion_errors, fit_open, replay

FEW = 10  # answers; fewer say nothing
QUICK = 0.05  # the quickest twentieth hardly waited
WAITED = 1.02  # times the unloaded latency from which a request had to wait (science: busy periods)
QUEUED, JITTER, HARDLY = 1.1, 0.002, 0.01  # "nothing queued": hardly one in a hundred took a tenth, and 2 ms, longer than unloaded
MOST = 100  # requests in service: beyond, one place more or less cannot be told
WORK = 1_000_000  # requests times places that are fitted: about two seconds
IN_PLACE = (0.85, 1.05)  # times the unloaded latency that a service in place may take
WAY = 0.003  # seconds that HTTP may take beyond it, for routes so short that this is more


def replayed(sends: Sends, places: int, d: float, way: float = 0.0) -> Replayed | None:
    """Replay all sends of a cell and compare those of its window that were answered; None when there are none."""
    answered = sends.inside & sends.finished
    if not answered.any():
        return None
    ideal, took = replay(sends.sent, d, places) + way, sends.done - sends.sent
    return Replayed(
        places=places,
        d=d,
        way=way,
        count=int(answered.sum()),
        drained=bool(sends.finished.all()),
        measured=figures(took[answered]),
        replayed=figures(ideal[answered]),
        mean_ratio=float(took[sends.finished].mean() / ideal[sends.finished].mean()),
        completion_error=float(np.median(completion_errors(sends.sent + way, sends.done[sends.finished], d, places))) / d,
        longest_wait=max(0.0, float(took.max()) - d - way),
    )


def figures(latencies: Array) -> dict[str, float]:
    """Mean, quantiles and longest of a sample."""
    quantiles = {name: quantile(latencies, q) for name, q in QUANTILES.items()}
    return {"mean": float(latencies.mean()), **quantiles, "max": float(latencies.max())}


def places_of(sends: Sends, service: float | None, crowd: int | None) -> Places:
    """How many are served at once: what a `crowd` showed, else what the completions identify. `service`: unloaded latency."""
    sent, done = sends.sent[sends.finished], sends.done[sends.finished]
    took = done - sent
    if len(took) < FEW:
        return Places(Source.UNKNOWN)
    top = service or unloaded(sends)
    if crowd:
        return held(Source.CROWD, crowd, in_place(sent, done, crowd, top), top, top)
    if np.mean(took > max(QUEUED * top, top + JITTER)) < HARDLY:
        return Places(Source.IDLE)
    busy = len(took) / float(done.max() - sent[0]) * top
    if busy > MOST:
        return Places(Source.UNKNOWN)
    last = sends.sent[: math.ceil(WORK / (1 + busy))][-1]
    leaves, ends = sends.sent[sends.sent <= last], done[done <= last] if last < sends.sent[-1] else done
    fit = fit_open(leaves, ends, top)
    follows = np.median(completion_errors(leaves, ends, fit.d, fit.places)) <= BROKEN * fit.d
    if follows and not fit.is_identified:
        return Places(Source.AT_LEAST, at_least=fit.at_least)
    return held(Source.FIT, fit.places, in_place(sent, done, fit.places, top), fit.d, top)


def held(source: Source, count: int, busy: float | None, otherwise: float, top: float) -> Places:
    """Places with what one takes there, and what HTTP adds; where no gap tells, one number holds both."""
    return Places(source, count, busy, max(0.0, top - busy)) if busy else Places(source, count, otherwise)


def unloaded(sends: Sends) -> float:
    """What an answer takes without a queue: of those who found nobody there, or, if they are few, of the quickest twentieth."""
    took, ends = sends.done - sends.sent, np.where(sends.finished, sends.done, np.inf)
    alone = took[np.append(True, sends.sent[1:] > np.maximum.accumulate(ends)[:-1]) & sends.finished]
    quick = quantile(took[sends.finished], QUICK)
    if not len(alone):
        return quick
    return float(np.median(alone)) if len(alone) >= FEW else min(quick, float(np.median(alone)))


def in_place(sent: Array, done: Array, c: int, top: float) -> float | None:
    """The service time while the places are busy, if what the gaps say can be one: a gap may also be an idle moment."""
    found = busy_service(sent, done, c, WAITED * top)
    return found if found and min(IN_PLACE[0] * top, top - WAY) <= found <= IN_PLACE[1] * top else None
