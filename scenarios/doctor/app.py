"""Whose app is examined, and how it is had: started by us with their interpreter, started by their own command, or running already.

Their environment stays as it is: the guest is copied into the run's folder and lent by PYTHONPATH.
What somebody passes in `--env` goes to the app and nowhere else; where the app repeats it, it is
masked.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from results.errors import AtonceError, ExitCode
from scenarios.doctor.environment import find_interpreter, idle_wait_file, load_variables
from scenarios.plans.custom import parse_host
from scenarios.system.private_log import RunLog
from scenarios.system.redact import redact_secrets, secret_forms
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

_AGENT_FOLDER = Path(__file__).resolve().parents[2] / "targets" / "agent"
_MIN_PYTHON = (3, 10)  # what the guest runs on
_MAX_MESSAGE_CHARS = 300  # characters of what an app complains
_INTERPRETER_TIMEOUT = 30  # seconds for somebody's interpreter to say what it has
_INSPECT_SCRIPT = """
import json, platform
from importlib import util
has = {name: util.find_spec(name) is not None for name in ("uvicorn", "uvloop")}
print(json.dumps({"python": platform.python_version(), **has}))
"""
_STARTUP_FAILURES = {
    "import": "cannot be imported",
    "attribute": "is not to be found",
    "not-asgi": "is no ASGI app",
    "factory": "cannot be made by its factory",
    "startup": "fails at its start-up",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppUnderTest:
    """An app to be examined."""

    target: str  # "shop.main:app", or its URL
    launch_mode: str  # module, url, command
    url: str | None = None  # where it answers, when we do not choose the port
    start_command: tuple[str, ...] = ()
    python: str = ""
    python_reason: str = ""  # why this interpreter
    app_dir: Path = field(default_factory=Path.cwd)
    factory: bool = False
    workers: int = 1
    loop: str = "auto"
    env: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # theirs: never shown, never stored
    trust: TlsTrust = DEFAULT_TLS_TRUST  # where it answers over TLS
    secrets: tuple[str, ...] = field(
        default=(), repr=False
    )  # nor are these, where the app says them

    @classmethod
    def from_module(  # noqa: PLR0913 - one parameter per flag
        cls,
        target: str,
        *,
        app_dir: Path | None = None,
        factory: bool = False,
        python: str | None = None,
        workers: int = 1,
        loop: str = "auto",
        env: Iterable[str] = (),
        env_file: Path | None = None,
    ) -> "AppUnderTest":
        """An app that uvicorn would serve under this name. Raises Trouble for what cannot be one."""
        # Links stay as they are, or its files would have two names
        folder = Path(os.path.abspath(app_dir or "."))  # noqa: PTH100
        if not re.fullmatch(r"[\w.]+:[\w.]+", target):
            module = re.sub(r"(\.py)?(:.*)?$", "", target).strip("./").replace("/", ".")
            raise AtonceError(
                f"{target!r} names no app. Write module:attribute, such as {module or 'main'}:app",
                ExitCode.USAGE,
            )
        if not folder.is_dir():
            raise AtonceError(f"--app-dir {app_dir} is no folder.", ExitCode.USAGE)
        path, reason = find_interpreter(python, folder)
        app_variables = load_variables(env, env_file)
        return cls(
            target=target,
            launch_mode="module",
            app_dir=folder,
            python=path,
            python_reason=reason,
            factory=factory,
            workers=workers,
            loop=loop,
            env=app_variables,
        )

    @classmethod
    def from_url(
        cls, url: str, allowed: str | None = None, trust: TlsTrust = DEFAULT_TLS_TRUST
    ) -> "AppUnderTest":
        """An app that runs already: a black box."""
        base_url = _normalise_url(url, allowed)
        return cls(target=base_url, launch_mode="url", url=base_url, trust=trust)

    @classmethod
    def from_command(
        cls,
        command: str,
        url: str,
        *,
        env: Iterable[str] = (),
        env_file: Path | None = None,
        trust: TlsTrust = DEFAULT_TLS_TRUST,
    ) -> "AppUnderTest":
        """An app that somebody's own command starts, and that then answers at a URL of this machine."""
        try:
            arguments = tuple(shlex.split(command))
        except ValueError as error:
            raise AtonceError(
                f"--start cannot be read as a command ({error}).", ExitCode.USAGE
            ) from error
        if not arguments or not shutil.which(arguments[0]):
            first = (
                arguments[0].partition("=")[0] if arguments else ""
            )  # what follows, or the rest, may be a secret
            hint = (
                "Name a program; for a line of shell: --start \"sh -c '...'\"; for a variable:"
                " --env KEY=VALUE"
            )
            raise AtonceError(
                f"--start begins with {first!r}, which is no program that can be found. {hint}",
                ExitCode.USAGE,
            )
        base_url = _normalise_url(url, None)
        return cls(
            target=base_url,
            launch_mode="command",
            url=base_url,
            start_command=arguments,
            env=load_variables(env, env_file),
            trust=trust,
        )

    def metadata(self) -> dict[str, Any]:
        """What a run keeps of it."""
        return {"app": self.target, "how": self.launch_mode, "workers": self.workers}

    def inspect_interpreter(self) -> dict[str, Any]:
        """What their interpreter is: {"python": "3.11.7", "uvicorn": true, "uvloop": true}. Raises Trouble when the app cannot be served with it."""
        if self.launch_mode != "module":
            return {}
        python_label = f"{self.python} ({self.python_reason})"
        try:
            output = subprocess.run(
                [self.python, "-c", _INSPECT_SCRIPT],
                env=self.base_environment(),
                capture_output=True,
                timeout=_INTERPRETER_TIMEOUT,
                check=True,
            )
            facts: dict[str, Any] = json.loads(output.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            sentence = (
                f"{python_label} does not run as a Python interpreter ({type(error).__name__})."
                " Name another: --python PATH"
            )
            raise AtonceError(sentence, ExitCode.TARGET) from error
        version = facts["python"]
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < _MIN_PYTHON:
            raise AtonceError(
                f"{python_label} is Python {version}; an app can be examined on 3.10 or newer.",
                ExitCode.TARGET,
            )
        if not facts["uvicorn"]:
            install = (
                f"Install it there: {self.python} -m pip install uvicorn - or name the app's own"
                " interpreter: --python PATH"
            )
            raise AtonceError(
                f"The environment of {python_label} lacks uvicorn, which is to serve {self.target}."
                f" {install}",
                ExitCode.TARGET,
            )
        if self.loop == "uvloop" and not facts["uvloop"]:
            raise AtonceError(
                f"The environment of {python_label} lacks uvloop. Install it there, or leave --loop"
                " out.",
                ExitCode.USAGE,
            )
        return facts

    def install_agent(self, folder: Path) -> None:
        """Copy the guest into the run's folder, from where the app will import it."""
        if self.launch_mode == "module":
            package = folder / "guest" / "_atonce_agent"
            shutil.copytree(
                _AGENT_FOLDER,
                package,
                ignore=shutil.ignore_patterns("__pycache__"),
                dirs_exist_ok=True,
            )
            idle_wait_file(folder).parent.mkdir(exist_ok=True)
            idle_wait_file(folder).touch()

    def remove_agent(self, folder: Path) -> None:
        """Take the guest out again."""
        shutil.rmtree(folder / "guest", ignore_errors=True)

    def launch_command(self, port: int) -> list[str]:
        """How the app is started; the guest learns the rest from the environment."""
        if self.launch_mode != "module":
            return list(self.start_command)
        quiet_flags = "--no-access-log --log-level warning --timeout-keep-alive 300"
        flags = (
            f"--host 127.0.0.1 --port {port} --loop {self.loop} --workers {self.workers}"
            f" {quiet_flags}"
        )
        agent_flags = [
            "--factory",
            "_atonce_agent.entrypoint:create_app",
            "--app-dir",
            str(self.app_dir),
        ]
        return [self.python, "-m", "uvicorn", *agent_flags, *flags.split()]

    def launch_environment(
        self, session: str, folder: Path, secret: str, *, watch: bool = False
    ) -> dict[str, str]:
        """The app's environment: theirs, and what the guest is told."""
        base = self.base_environment()
        if self.launch_mode != "module":
            return base
        agent_config = {
            "app": self.target,
            "factory": self.factory,
            "home": str(self.app_dir),
            "folder": str(folder.resolve()),
        }
        agent_config["hidden"] = secret_forms(
            self.env.values()
        )  # which its environment holds already
        path = os.pathsep.join(
            filter(None, [str(folder.resolve() / "guest"), base.get("PYTHONPATH", "")])
        )
        return {
            **base,
            "PYTHONPATH": path,
            "ATONCE_AGENT": json.dumps(
                {**agent_config, "act": session, "secret": secret, "watch": watch}
            ),
        }

    def base_environment(self) -> dict[str, str]:
        """Our environment without what would set us, or a uvicorn of ours, and with theirs; their folders get no bytecode."""
        foreign_prefixes = (
            ("ATONCE_", "UVICORN_", "WEB_CONCURRENCY")
            if self.launch_mode == "module"
            else ("ATONCE_",)
        )
        ours = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(foreign_prefixes)
        }
        return {**ours, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **self.env}

    def redact(self, text: str) -> str:
        """What the app said, without what is not to be read."""
        return redact_secrets(text, self.secrets)

    def read_app_info(self, session: str, folder: Path) -> dict[str, Any] | None:
        """What the guest wrote down about the app, if it came that far."""
        return read_agent_file(folder / "guest" / f"census-{session}.json")

    def startup_error(self, session: str, folder: Path, code: int | None) -> AtonceError:
        """Why the app did not start, as well as one can know: from the guest, else by its exit code; None: it never got ready."""
        failure = read_agent_file(folder / "guest" / f"trouble-{session}.json")
        log = RunLog(folder / "log.txt", 0, self.redact).describe_tail()
        if failure:
            where = (
                f" ({_relative_path(failure['file'])}, line {failure['line']}, in"
                f" {failure['function']})"
                if failure["file"]
                else ""
            )
            is_module_missing = (
                f"No module named {self.target.partition(':')[0].partition('.')[0]!r}"
                in failure["message"]
            )
            hint = (
                f" It was looked for in {self.app_dir}; name another folder with --app-dir."
                if is_module_missing
                else ""
            )
            return AtonceError(
                f"{self.target} {_STARTUP_FAILURES[failure['kind']]}:"
                f" {self.redact(failure['message'])[:_MAX_MESSAGE_CHARS]}{where}.{hint}",
                ExitCode.TARGET,
            )
        if code is None:
            return AtonceError(
                f"{self.target} never gets ready: it runs, but answers no request. {log}",
                ExitCode.TARGET,
            )
        ending = (
            f"was ended by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with exit code {code}"
        )
        return AtonceError(f"{self.target} {ending} before it answered. {log}", ExitCode.TARGET)


def _normalise_url(url: str, allowed: str | None) -> str:
    """Where an app answers: its host and port. What else was written may be a password, and is not repeated."""
    if re.search(r"[/@?#]", re.sub(r"^\w+://", "", url).rstrip("/")):
        host = (
            "Name the host only, such as http://127.0.0.1:8000, without a user, password, path or"
            " query."
        )
        raise AtonceError(
            f"{host} Routes carry the path (--route 'GET /api/items'), headers the secrets"
            " (--header).",
            ExitCode.USAGE,
        )
    return parse_host(url, allowed).geturl().rstrip("/")


def read_agent_file(path: Path) -> dict[str, Any] | None:
    """What the guest left in a file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content


def _relative_path(file: str) -> str:
    """A file as seen from here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def server_processes(url: str) -> list[psutil.Process]:
    """The processes that listen at a URL of this machine, with all that descend from them; none where the system hides them."""
    return list(
        {
            member.pid: member
            for process in _socket_owners(url)
            for member in (process, *descendant_processes(process))
        }.values()
    )


def count_workers(url: str) -> int | None:
    """How many processes take requests at a URL: who only supervises others that do is none. None where the system hides them.

    Children that a server has forked for its own work hold its socket too, and look like workers of
    it.
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
    """The processes that hold a socket which listens at a URL's port, shared or their own."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    owners = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # somebody else's, or gone meanwhile
            sockets = process.net_connections("tcp")
            if any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for connection in sockets
            ):
                owners.append(process)
    return owners


def descendant_processes(process: psutil.Process) -> list[psutil.Process]:
    """All that descend from a process; nobody from one that has gone."""
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []
