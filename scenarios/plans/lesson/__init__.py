"""The lab: what the lesson says about real parts - HTTP clients, databases, CPU, files - as acts, in the lesson's order.

One file per topic says which routes are asked and how; `LAB` is the only list of them. Each act has a fresh server that
carries the lab's routes (`targets/lab`), and asks variants under conditions of their own, such as `async httpx`.
"""

from scenarios.plans.lesson import cpu, databases, files, forgotten_await, gather, http_clients, no_op
from scenarios.plans.model import Act

LAB: tuple[Act, ...] = (
    *no_op.ACTS,
    *http_clients.ACTS,
    *databases.ACTS,
    *files.ACTS,
    *cpu.ACTS,
    *forgotten_await.ACTS,
    *gather.ACTS,
)

__all__ = ["LAB"]
