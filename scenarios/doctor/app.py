"""The app under test: started by us, by the user's command, or already running.

We start it with its own, unchanged environment: it imports the agent from the run's folder. Values
of `--env` go to the app and nowhere else; what the app prints is masked.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from results.errors import AtonceError, ExitCode, UsageError
from results.run_info import AppInfo
from scenarios.doctor.environment import find_interpreter, load_variables
from scenarios.doctor.options import DoctorOptions
from scenarios.plans.custom import parse_host
from scenarios.runner.preflight import url_address
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
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # never shown, never stored
    trust: TlsTrust = DEFAULT_TLS_TRUST  # for an app that answers over TLS
    secrets: tuple[str, ...] = field(default=(), repr=False)  # masked in the app's output

    @classmethod
    def from_module(cls, options: DoctorOptions) -> "AppUnderTest":
        """Create an app that uvicorn serves under this name. Raises UsageError for a bad name."""
        target = options.target
        # Links are not resolved, or the app's files would have two names
        folder = Path(os.path.abspath(options.app_dir or "."))  # noqa: PTH100
        if not re.fullmatch(r"[\w.]+:[\w.]+", target):
            module = re.sub(r"(\.py)?(:.*)?$", "", target).strip("./").replace("/", ".") or "main"
            raise UsageError(f"invalid app {target!r}: not MODULE:ATTRIBUTE. Example: {module}:app")
        if not folder.is_dir():
            raise UsageError(f"invalid --app-dir {options.app_dir}: not a folder.")
        python, python_reason = find_interpreter(options.python, folder)
        return cls(
            target=target,
            launch_mode="module",
            app_dir=folder,
            python=python,
            python_reason=python_reason,
            factory=options.factory,
            workers=options.workers,
            loop=str(options.loop),
            env=load_variables(options.env or (), options.env_file),
        )

    @classmethod
    def from_url(
        cls, url: str, allowed: str | None = None, trust: TlsTrust = DEFAULT_TLS_TRUST
    ) -> "AppUnderTest":
        """Create an app that is already running: a black box.

        The error hides the URL: it may contain a password.
        """
        if re.search(r"[/@?#]", re.sub(r"^\w+://", "", url).rstrip("/")):
            raise UsageError(
                "invalid URL (not shown: it may be secret): name the host only, without a user,"
                " password, path or query. Example: http://127.0.0.1:8000. Give a path with"
                " --route 'GET /api/items', a secret with --header."
            )
        base_url = parse_host(url, allowed).geturl().rstrip("/")
        return cls(target=base_url, launch_mode="url", url=base_url, trust=trust)

    @classmethod
    def from_command(
        cls, options: DoctorOptions, trust: TlsTrust = DEFAULT_TLS_TRUST
    ) -> "AppUnderTest":
        """Create an app that the user's own command starts and that answers at a local URL."""
        try:
            arguments = tuple(shlex.split(options.start))
        except ValueError as error:
            raise UsageError(f"invalid --start: not a command ({error}).") from error
        program = next(iter(arguments), "")
        if not shutil.which(program):
            program = program.partition("=")[0]  # the rest may be a secret
            raise UsageError(
                f"invalid --start: program {program!r} not found. For a shell command: --start"
                " \"sh -c '...'\"; for a variable: --env KEY=VALUE"
            )
        return replace(
            cls.from_url(options.url, trust=trust),
            launch_mode="command",
            start_command=arguments,
            env=load_variables(options.env or (), options.env_file),
        )

    def info(self) -> AppInfo:
        """Return what run.json keeps of the app; its interpreter is not known yet."""
        return AppInfo(
            app=self.target,
            how=self.launch_mode,
            workers=self.workers,
            home=str(self.app_dir),
            cwd=str(Path.cwd()),
        )

    def inspect_interpreter(self, info: AppInfo) -> None:
        """Add what the app's interpreter is. Raises AtonceError when it cannot serve the app."""
        if self.launch_mode != "module":
            return
        label = f"{self.python} ({self.python_reason})"
        try:
            command, env = [self.python, "-c", _INSPECT_SCRIPT], self.base_environment()
            output = subprocess.run(
                command, env=env, capture_output=True, timeout=_INTERPRETER_TIMEOUT, check=True
            )
            facts: dict[str, Any] = json.loads(output.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            why = f"{label} does not run as a Python interpreter ({type(error).__name__})"
            raise AtonceError(f"{why}. Name another: --python PATH", ExitCode.TARGET) from error
        version = facts["python"]
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < _MIN_PYTHON:
            why = f"{label} is Python {version}; atonce needs 3.10 or newer to examine an app."
            raise AtonceError(why, ExitCode.TARGET)
        if not facts["uvicorn"]:
            why = f"{label} has no uvicorn to serve {self.target}"
            install = f"{self.python} -m pip install uvicorn"
            hint = f"Install it: {install} - or name the app's own interpreter: --python PATH"
            raise AtonceError(f"{why}. {hint}", ExitCode.TARGET)
        if self.loop == "uvloop" and not facts["uvloop"]:
            raise UsageError(f"uvloop is not installed in {label}. Install it, or omit --loop.")
        info.python, info.uvicorn, info.uvloop = (version, facts["uvicorn"], facts["uvloop"])

    def install_agent(self, folder: Path) -> None:
        """Copy the agent into the run's folder, from where the app imports it."""
        if self.launch_mode == "module":
            package = folder / "guest" / "_atonce_agent"
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(_AGENT_FOLDER, package, ignore=ignored, dirs_exist_ok=True)

    def remove_agent(self, folder: Path) -> None:
        """Remove the agent from the run's folder."""
        shutil.rmtree(folder / "guest", ignore_errors=True)

    def launch_command(self, url: str) -> list[str]:
        """Return the command that starts the app; the agent reads the rest from the environment."""
        if self.launch_mode != "module":
            return list(self.start_command)
        agent = ["--factory", "_atonce_agent.entrypoint:create_app", "--app-dir", str(self.app_dir)]
        flags = (
            f"--host 127.0.0.1 --port {url_address(url)[1]} --loop {self.loop}"
            f" --workers {self.workers} --no-access-log --log-level warning"
            " --timeout-keep-alive 300"
        )
        return [self.python, "-m", "uvicorn", *agent, *flags.split()]

    def launch_environment(
        self, process: str, folder: Path, secret: str, *, is_first: bool
    ) -> dict[str, str]:
        """Return the app's environment: the user's variables and the agent's configuration.

        The first process of a run writes the app info.
        """
        base = self.base_environment()
        if self.launch_mode != "module":
            return base
        agent_config = {
            "app": self.target,
            "factory": self.factory,
            "home": str(self.app_dir),
            "folder": str(folder.resolve()),
            "hidden": secret_forms(self.env.values()),  # its environment has these values already
            "process": process,
            "secret": secret,
            "census": is_first,
        }
        import_path = [str(folder.resolve() / "guest"), base.get("PYTHONPATH", "")]
        # else Python names a forgotten await once, and only the first of its routes is known
        warnings = ["always:coroutine:RuntimeWarning", base.get("PYTHONWARNINGS", "")]
        return {
            **base,
            "PYTHONPATH": os.pathsep.join(filter(None, import_path)),
            "PYTHONWARNINGS": ",".join(filter(None, warnings)),
            "ATONCE_AGENT": json.dumps(agent_config),
        }

    def base_environment(self) -> dict[str, str]:
        """Return our environment without variables for us or uvicorn, and the user's variables."""
        uvicorn_names = ("UVICORN_", "WEB_CONCURRENCY") if self.launch_mode == "module" else ()
        foreign = ("ATONCE_", *uvicorn_names)
        ours = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {**ours, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **self.env}

    def redact(self, text: str) -> str:
        """Mask the secrets in the app's output."""
        return redact_secrets(text, self.secrets)

    def startup_error(self, session: str, folder: Path, code: int | None) -> AtonceError:
        """Return why the app did not start; a `code` of None means that it still runs."""
        if failure := read_agent_file(folder / "guest" / f"trouble-{session}.json"):
            why = f"{failure['what']}: {self._describe_failure(failure)}"
        else:
            ending = f"ended with exit code {code} before it answered"
            if code is None:
                ending = "runs, but never answered a request"
            elif code < 0:
                ending = f"was ended by {signal.Signals(-code).name} before it answered"
            why = f"{ending}. {RunLog(folder / 'log.txt', 0, self.redact).describe_tail()}"
        return AtonceError(f"{self.target} {why}", ExitCode.TARGET)

    def _describe_failure(self, failure: dict[str, Any]) -> str:
        message, where, hint = failure["message"], "", ""
        if failure["file"]:
            file, here = Path(failure["file"]), Path.cwd()
            place = file.relative_to(here) if file.is_relative_to(here) else file
            where = f" ({place}, line {failure['line']}, in {failure['function']})"
        package = self.target.partition(":")[0].partition(".")[0]
        if f"No module named {package!r}" in message:
            hint = f" Searched in {self.app_dir}. To search in another folder: --app-dir DIR"
        return f"{self.redact(message)[:_MAX_MESSAGE_CHARS]}{where}.{hint}"


def read_agent_file(path: Path) -> dict[str, Any] | None:
    """Return the content of a file that the agent wrote; None without a readable one."""
    with contextlib.suppress(OSError, ValueError):
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    return None
