"""Thresholds that an examination and its judgement share."""

import math

# users: a few show a blocked loop and finish soon; many show a pool of 40 and more
FEW_USERS, MANY_USERS = 8, 64
HOLD_SECONDS = 0.010  # seconds per request from which a route holds the loop, or the GIL
# a neighbour is slowed from so many times its idle p90, and so many seconds, on
SUFFERS_RATIO, SUFFERS_SECONDS = 5.0, 0.020
COMPUTES_CORE_SHARE = 0.5  # share of a core from which an app computes rather than waits
FULL_CORE_SHARE = 0.8  # share of a core that is all an app gets
# share, and seconds, of a lone request from which on it waits for something
AWAITS_SHARE, AWAITS_SECONDS = 0.15, 0.0005
OVERLAPPING_WAITS = 1.5  # requests that wait at once: their waits are their own
GROWS_SHARE = 0.9  # of the rate that users, pauses and unloaded time allow: nothing queues
SAME_RATE_TOLERANCE = 0.12  # how far apart two rates of the same plateau may be
# seconds: sys.getswitchinterval(); a thread that computes must offer the GIL only then
SWITCH_INTERVAL = 0.005
# times that an `async` route requests the GIL until its answer is out: on waking, after reading
GIL_ACQUISITIONS = 2
LONG_HOLD_SECONDS = 0.050  # seconds of a single hold, or of a single ping
MIN_HARM_SECONDS = 0.020  # seconds: no verdict of an examination rests on less
# seconds below which a window says nothing: CPU is counted in ticks of 10 ms, the machine is
# sampled ten times a second
MIN_WINDOW_SECONDS = 0.4
CLOSED_EARLY = (  # why an arrival was not sent: the marks of the cell say why it ended
    "the window closed early"
)
# share of the users that are served or pause, below which the rest must be waiting
_SATURATED_SHARE = 0.9


def is_saturated(users: int, rate: float, service_time: float, think_time: float = 0.0) -> bool:
    """Return whether so many of a crowd waited that no place was free: its rate is a capacity."""
    # By Little's law X (D + Z) of N users are served or pause, so the others wait. The number of
    # pausing users varies by its root: with fewer than twice that waiting, places may be free.
    waiting = users - rate * (service_time + think_time)
    return rate > 0 and waiting > max(
        (1 - _SATURATED_SHARE) * users, 2 * math.sqrt(rate * think_time)
    )
