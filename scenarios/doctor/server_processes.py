"""Which processes serve an address, and what they have started."""

import contextlib
from urllib.parse import urlsplit

import psutil


def server_processes(url: str) -> list[psutil.Process]:
    """The processes that listen at a local URL, and their descendants; [] if the OS hides them."""
    members: dict[int, psutil.Process] = {}
    for process in _socket_owners(url):
        for member in (process, *descendant_processes(process)):
            members[member.pid] = member
    return list(members.values())


def count_workers(url: str) -> int | None:
    """Count the processes that take requests at a URL; None where the system hides them.

    A process that only supervises others does not count. Children that a server forks for its own
    work hold its socket too and look like its workers.
    """
    owners = _socket_owners(url)
    pids = {process.pid for process in owners}
    return (
        sum(
            not pids & {descendant.pid for descendant in descendant_processes(process)}
            for process in owners
        )
        or None
    )


def _socket_owners(url: str) -> list[psutil.Process]:
    """The processes that hold a socket listening at a URL's port, shared or their own."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    owners = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # another user's process, or already gone
            sockets = process.net_connections("tcp")
            if any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for connection in sockets
            ):
                owners.append(process)
    return owners


def descendant_processes(process: psutil.Process) -> list[psutil.Process]:
    """All descendants of a process; [] if it is gone."""
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []
