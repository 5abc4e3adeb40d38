"""The lesson's experiments on real parts - HTTP clients, databases, CPU, files - as sessions.

One file per topic says which routes are loaded and how; `LESSON_SESSIONS` is the only list of them,
in the lesson's order. Each session has a fresh server that carries the lesson's routes
(`targets/lesson`), and loads variants under conditions of their own, such as `async httpx`.
"""

from scenarios.plans.lesson import cpu, databases, files, forgotten_await, gather, no_op
from scenarios.plans.lesson import http_clients as clients
from scenarios.plans.model import Session

LESSON_SESSIONS: tuple[Session, ...] = (
    *no_op.SESSIONS,
    *clients.SESSIONS,
    *databases.SESSIONS,
    *files.SESSIONS,
    *cpu.SESSIONS,
    *forgotten_await.SESSIONS,
    *gather.SESSIONS,
)
