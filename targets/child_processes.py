"""What runs in processes of its own: work for a CPU, and the leash that ends a worker when its parent is gone.

Standard library only: a worker that is started anew imports this file and no web framework.
"""

import hashlib
import multiprocessing
import os
import threading
import time

# workers take what the event loop (and whoever loads it) leaves: neither may starve beside them
_WORKER_NICENESS = 10


def exit_with_parent() -> None:
    """In a worker process: end when its parent is gone, however it went."""
    if parent := multiprocessing.parent_process():

        def exit_after_parent() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=exit_after_parent, daemon=True).start()


def init_pool_worker() -> None:
    """What a worker of the pool does first."""
    os.nice(_WORKER_NICENESS)
    exit_with_parent()


def identify_worker() -> tuple[int, int]:
    """Number and niceness of the worker that answers; it takes its time, so that others answer as well."""
    time.sleep(0.02)
    return os.getpid(), os.nice(0)


def compute_chain(rounds: int) -> int:
    """Pure Python, which keeps the GIL: a chain of so many steps, whose end depends on each of them."""
    value = 1
    for _ in range(rounds):
        value = (value * 1_103_515_245 + 12_345) % 2_147_483_648
    return value


def hash_password(rounds: int) -> str:
    """A password's hash by so many rounds; C code that lets the GIL go meanwhile."""
    return hashlib.pbkdf2_hmac("sha256", b"correct horse", b"battery staple", rounds, 8).hex()
