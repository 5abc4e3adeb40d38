"""Which processes serve an address, and what they have started."""

import contextlib
from itertools import chain
from urllib.parse import urlsplit

import psutil


def server_processes(url: str) -> list[psutil.Process]:
    """Return the listeners at a local URL and their descendants; [] if the system hides them."""
    owners = _socket_owners(url)
    children = chain.from_iterable(map(descendant_processes, owners))
    return list({process.pid: process for process in (*owners, *children)}.values())


def count_workers(url: str) -> int | None:
    """Count the processes that take requests at a URL, not their supervisor; None where hidden.

    Children that a server forks for its own work share its socket and look like its workers.
    """
    owners = _socket_owners(url)
    pids = {process.pid for process in owners}
    families = ({child.pid for child in descendant_processes(owner)} for owner in owners)
    return sum(pids.isdisjoint(family) for family in families) or None


def _socket_owners(url: str) -> list[psutil.Process]:
    """Return the processes with a socket that listens at a URL's port, shared or their own."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    owners = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # another user's process, or already gone
            sockets = process.net_connections("tcp")
            if port in {it.laddr.port for it in sockets if it.status == psutil.CONN_LISTEN}:
                owners.append(process)
    return owners


def descendant_processes(process: psutil.Process) -> list[psutil.Process]:
    """Return all descendants of a process; [] if it is gone."""
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []
