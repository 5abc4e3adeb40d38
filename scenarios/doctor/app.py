"""The app under test: started by us, by the user's command, or already running.

We start it with its own interpreter. Its environment stays unchanged: the agent is copied into the
run's folder and imported through PYTHONPATH. Values of `--env` go to the app and nowhere else; they
are masked where the app prints them.
"""

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

from results.errors import AtonceError, ExitCode
from scenarios.doctor.environment import find_interpreter, idle_wait_file, load_variables
from scenarios.plans.custom import parse_host
from scenarios.system.private_log import RunLog
from scenarios.system.redact import redact_secrets, secret_forms
from scenarios.system.tls import DEFAULT_TLS_TRUST, TlsTrust

_AGENT_FOLDER = Path(__file__).resolve().parents[2] / "targets" / "agent"
_MIN_PYTHON = (3, 10)  # oldest version that the agent supports
_MAX_MESSAGE_CHARS = 300  # characters kept of an app's error message
_INTERPRETER_TIMEOUT = 30  # seconds for the app's interpreter to list its packages
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
    """An app under test."""

    target: str  # "shop.main:app", or its URL
    launch_mode: str  # module, url, command
    url: str | None = None  # where it answers; None: we choose the port
    start_command: tuple[str, ...] = ()
    python: str = ""
    python_reason: str = ""  # why this interpreter was chosen
    app_dir: Path = field(default_factory=Path.cwd)
    factory: bool = False
    workers: int = 1
    loop: str = "auto"
    # The user's variables: never shown, never stored
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    trust: TlsTrust = DEFAULT_TLS_TRUST  # for an app that answers over TLS
    # Masked where the app prints them
    secrets: tuple[str, ...] = field(default=(), repr=False)

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
        """An app that uvicorn serves under this name. Raises AtonceError for an invalid name."""
        # Links are not resolved, or the app's files would have two names
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
        """An app that is already running: a black box."""
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
        """An app that the user's own command starts and that answers at a local URL."""
        try:
            arguments = tuple(shlex.split(command))
        except ValueError as error:
            raise AtonceError(
                f"--start cannot be read as a command ({error}).", ExitCode.USAGE
            ) from error
        if not arguments or not shutil.which(arguments[0]):
            # The value after `=`, and the other arguments, may be secrets
            first = arguments[0].partition("=")[0] if arguments else ""
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
        """The fields that run.json keeps of the app."""
        return {"app": self.target, "how": self.launch_mode, "workers": self.workers}

    def inspect_interpreter(self) -> dict[str, Any]:
        """Inspect the app's interpreter: {"python": "3.11.7", "uvicorn": true, "uvloop": true}.

        Raises AtonceError when it cannot serve the app.
        """
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
        """Copy the agent into the run's folder, from where the app imports it."""
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
        """Remove the agent from the run's folder."""
        shutil.rmtree(folder / "guest", ignore_errors=True)

    def launch_command(self, port: int) -> list[str]:
        """The command that starts the app; the agent reads the rest from the environment."""
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
        """The app's environment: the user's variables and the agent's configuration."""
        base = self.base_environment()
        if self.launch_mode != "module":
            return base
        agent_config = {
            "app": self.target,
            "factory": self.factory,
            "home": str(self.app_dir),
            "folder": str(folder.resolve()),
        }
        # The app's environment holds these values already
        agent_config["hidden"] = secret_forms(self.env.values())
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
        """Our environment, without variables that configure us or uvicorn, and with the user's.

        The app's folders get no bytecode.
        """
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
        """Mask the secrets in the app's output."""
        return redact_secrets(text, self.secrets)

    def read_app_info(self, session: str, folder: Path) -> dict[str, Any] | None:
        """The app info that the agent wrote; None if it did not get that far."""
        return read_agent_file(folder / "guest" / f"census-{session}.json")

    def startup_error(self, session: str, folder: Path, code: int | None) -> AtonceError:
        """Why the app did not start: by the agent's report, else by its exit code.

        A `code` of None means that it runs but never became ready.
        """
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
    """The host and port of an app. The error does not repeat the URL: it may hold a password."""
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
    """The content of a file that the agent wrote; None without a readable one."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content


def _relative_path(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
