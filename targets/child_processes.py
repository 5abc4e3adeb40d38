"""Work for child processes: computing, and a thread that ends a worker with its parent.

Standard library only: a spawned worker imports this file and no web framework.
"""

import hashlib
import multiprocessing
import os
import threading
import time

_WORKER_NICENESS = 10  # workers leave the event loop and the load generator enough CPU


def exit_with_parent() -> None:
    """End this worker process when its parent ends, even by a kill."""
    if parent := multiprocessing.parent_process():

        def exit_after_parent() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=exit_after_parent, daemon=True).start()


def init_pool_worker() -> None:
    """Set up a worker of the pool."""
    os.nice(_WORKER_NICENESS)
    exit_with_parent()


def identify_worker() -> tuple[int, int]:
    """Return process id and niceness, after 20 ms, so that other workers answer as well."""
    time.sleep(0.02)
    return os.getpid(), os.nice(0)


def compute_chain(rounds: int) -> int:
    """Compute a chain of steps in pure Python, which keeps the GIL; each needs the one before."""
    value = 1
    for _ in range(rounds):
        value = (value * 1_103_515_245 + 12_345) % 2_147_483_648
    return value


def hash_password(rounds: int) -> str:
    """Hash a password in so many rounds; the C code releases the GIL."""
    return hashlib.pbkdf2_hmac("sha256", b"correct horse", b"battery staple", rounds, 8).hex()
