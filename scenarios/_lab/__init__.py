"""The lab: what the lesson says about real parts - HTTP clients, databases, CPU, files - as acts, in the lesson's order.

One file per topic says which routes are asked and how; `LAB` is the only list of them. Each act has a fresh server that
carries the lab's routes (`targets/lab`), and asks variants under conditions of their own, such as `async httpx`.
"""

from scenarios._lab import clients, computing, databases, files, gather, overhead, pitfalls
from scenarios._plan import Act

LAB: tuple[Act, ...] = (*overhead.ACTS, *clients.ACTS, *databases.ACTS, *files.ACTS, *computing.ACTS, *pitfalls.ACTS, *gather.ACTS)

__all__ = ["LAB"]
