"""Whose app is examined, and how it is had: started by us with their interpreter, started by their own command, or running already.

Their environment stays as it is: the guest is copied into the run's folder and lent by PYTHONPATH. What somebody passes in
`--env` goes to the app and nowhere else; where the app repeats it, it is masked.
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

from results.errors import Exit, Trouble
from scenarios.doctor.environment import interpreter, variables, waits_for
from scenarios.plans.custom import parse_host
from scenarios.system.private_log import Log
from scenarios.system.redact import masked, secrets_of
from scenarios.system.tls import DEFAULT_TRUST, Trust

AGENT = Path(__file__).resolve().parents[2] / "targets" / "agent"
OLDEST = (3, 10)  # what the guest runs on
LONGEST = 300  # characters of what an app complains
PATIENCE = 30  # seconds for somebody's interpreter to say what it has
QUESTION = """
import json, platform
from importlib import util
has = {name: util.find_spec(name) is not None for name in ("uvicorn", "uvloop")}
print(json.dumps({"python": platform.python_version(), **has}))
"""
WRONG = {
    "import": "cannot be imported",
    "attribute": "is not to be found",
    "not-asgi": "is no ASGI app",
    "factory": "cannot be made by its factory",
    "startup": "fails at its start-up",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """An app to be examined."""

    app: str  # "shop.main:app", or its URL
    how: str  # module, url, command
    url: str | None = None  # where it answers, when we do not choose the port
    start: tuple[str, ...] = ()
    python: str = ""
    chosen: str = ""  # why this interpreter
    home: Path = field(default_factory=Path.cwd)
    factory: bool = False
    workers: int = 1
    loop: str = "auto"
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # theirs: never shown, never stored
    trust: Trust = DEFAULT_TRUST  # where it answers over TLS
    secrets: tuple[str, ...] = field(default=(), repr=False)  # nor are these, where the app says them

    @classmethod
    def of_module(  # noqa: PLR0913 - one parameter per flag
        cls,
        app: str,
        *,
        app_dir: Path | None = None,
        factory: bool = False,
        python: str | None = None,
        workers: int = 1,
        loop: str = "auto",
        env: Iterable[str] = (),
        env_file: Path | None = None,
    ) -> "Patient":
        """An app that uvicorn would serve under this name. Raises Trouble for what cannot be one."""
        home = Path(os.path.abspath(app_dir or "."))  # noqa: PTH100 - links stay as they are, or its files would have two names
        if not re.fullmatch(r"[\w.]+:[\w.]+", app):
            module = re.sub(r"(\.py)?(:.*)?$", "", app).strip("./").replace("/", ".")
            raise Trouble(f"{app!r} names no app. Write module:attribute, such as {module or 'main'}:app", Exit.USAGE)
        if not home.is_dir():
            raise Trouble(f"--app-dir {app_dir} is no folder.", Exit.USAGE)
        path, chosen = interpreter(python, home)
        known = variables(env, env_file)
        return cls(
            app=app, how="module", home=home, python=path, chosen=chosen, factory=factory, workers=workers, loop=loop, env=known
        )

    @classmethod
    def of_url(cls, url: str, allowed: str | None = None, trust: Trust = DEFAULT_TRUST) -> "Patient":
        """An app that runs already: a black box."""
        place = bare(url, allowed)
        return cls(app=place, how="url", url=place, trust=trust)

    @classmethod
    def of_command(
        cls, start: str, url: str, *, env: Iterable[str] = (), env_file: Path | None = None, trust: Trust = DEFAULT_TRUST
    ) -> "Patient":
        """An app that somebody's own command starts, and that then answers at a URL of this machine."""
        try:
            words = tuple(shlex.split(start))
        except ValueError as error:
            raise Trouble(f"--start cannot be read as a command ({error}).", Exit.USAGE) from error
        if not words or not shutil.which(words[0]):
            first = words[0].partition("=")[0] if words else ""  # what follows, or the rest, may be a secret
            hint = "Name a program; for a line of shell: --start \"sh -c '...'\"; for a variable: --env KEY=VALUE"
            raise Trouble(f"--start begins with {first!r}, which is no program that can be found. {hint}", Exit.USAGE)
        place = bare(url, None)
        return cls(app=place, how="command", url=place, start=words, env=variables(env, env_file), trust=trust)

    def facts(self) -> dict[str, Any]:
        """What a run keeps of it."""
        return {"app": self.app, "how": self.how, "workers": self.workers}

    def preflight(self) -> dict[str, Any]:
        """What their interpreter is: {"python": "3.11.7", "uvicorn": true, "uvloop": true}. Raises Trouble when the app cannot be served with it."""
        if self.how != "module":
            return {}
        who = f"{self.python} ({self.chosen})"
        try:
            said = subprocess.run(
                [self.python, "-c", QUESTION], env=self.surroundings(), capture_output=True, timeout=PATIENCE, check=True
            )
            has: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            sentence = f"{who} does not run as a Python interpreter ({type(error).__name__}). Name another: --python PATH"
            raise Trouble(sentence, Exit.TARGET) from error
        version = has["python"]
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
            raise Trouble(f"{who} is Python {version}; an app can be examined on 3.10 or newer.", Exit.TARGET)
        if not has["uvicorn"]:
            install = f"Install it there: {self.python} -m pip install uvicorn - or name the app's own interpreter: --python PATH"
            raise Trouble(f"The environment of {who} lacks uvicorn, which is to serve {self.app}. {install}", Exit.TARGET)
        if self.loop == "uvloop" and not has["uvloop"]:
            raise Trouble(f"The environment of {who} lacks uvloop. Install it there, or leave --loop out.", Exit.USAGE)
        return has

    def settle(self, folder: Path) -> None:
        """Copy the guest into the run's folder, from where the app will import it."""
        if self.how == "module":
            here = folder / "guest" / "_atonce_agent"
            shutil.copytree(AGENT, here, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            waits_for(folder).parent.mkdir(exist_ok=True)
            waits_for(folder).touch()

    def unsettle(self, folder: Path) -> None:
        """Take the guest out again."""
        shutil.rmtree(folder / "guest", ignore_errors=True)

    def command(self, port: int) -> list[str]:
        """How the app is started; the guest learns the rest from the environment."""
        if self.how != "module":
            return list(self.start)
        quiet = "--no-access-log --log-level warning --timeout-keep-alive 300"
        flags = f"--host 127.0.0.1 --port {port} --loop {self.loop} --workers {self.workers} {quiet}"
        lodging = ["--factory", "_atonce_agent.entrypoint:lodge", "--app-dir", str(self.home)]
        return [self.python, "-m", "uvicorn", *lodging, *flags.split()]

    def environment(self, act: str, folder: Path, secret: str, *, watch: bool = False) -> dict[str, str]:
        """The app's environment: theirs, and what the guest is told."""
        theirs = self.surroundings()
        if self.how != "module":
            return theirs
        told = {"app": self.app, "factory": self.factory, "home": str(self.home), "folder": str(folder.resolve())}
        told["hidden"] = secrets_of(self.env.values())  # which its environment holds already
        path = os.pathsep.join(filter(None, [str(folder.resolve() / "guest"), theirs.get("PYTHONPATH", "")]))
        return {**theirs, "PYTHONPATH": path, "ATONCE_AGENT": json.dumps({**told, "act": act, "secret": secret, "watch": watch})}

    def surroundings(self) -> dict[str, str]:
        """Our environment without what would set us, or a uvicorn of ours, and with theirs; their folders get no bytecode."""
        strange = ("ATONCE_", "UVICORN_", "WEB_CONCURRENCY") if self.how == "module" else ("ATONCE_",)
        ours = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        return {**ours, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **self.env}

    def mask(self, text: str) -> str:
        """What the app said, without what is not to be read."""
        return masked(text, self.secrets)

    def census(self, act: str, folder: Path) -> dict[str, Any] | None:
        """What the guest wrote down about the app, if it came that far."""
        return told(folder / "guest" / f"census-{act}.json")

    def trouble(self, act: str, folder: Path, code: int | None) -> Trouble:
        """Why the app did not start, as well as one can know: from the guest, else by its exit code; None: it never got ready."""
        said = told(folder / "guest" / f"trouble-{act}.json")
        log = Log(folder / "log.txt", 0, self.mask).last_words()
        if said:
            where = f" ({near(said['file'])}, line {said['line']}, in {said['function']})" if said["file"] else ""
            lost = f"No module named {self.app.partition(':')[0].partition('.')[0]!r}" in said["message"]
            hint = f" It was looked for in {self.home}; name another folder with --app-dir." if lost else ""
            return Trouble(f"{self.app} {WRONG[said['kind']]}: {self.mask(said['message'])[:LONGEST]}{where}.{hint}", Exit.TARGET)
        if code is None:
            return Trouble(f"{self.app} never gets ready: it runs, but answers no request. {log}", Exit.TARGET)
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return Trouble(f"{self.app} {how} before it answered. {log}", Exit.TARGET)


def bare(url: str, allowed: str | None) -> str:
    """Where an app answers: its host and port. What else was written may be a password, and is not repeated."""
    if re.search(r"[/@?#]", re.sub(r"^\w+://", "", url).rstrip("/")):
        host = "Name the host only, such as http://127.0.0.1:8000, without a user, password, path or query."
        raise Trouble(f"{host} Routes carry the path (--route 'GET /api/items'), headers the secrets (--header).", Exit.USAGE)
    return parse_host(url, allowed).geturl().rstrip("/")


def told(path: Path) -> dict[str, Any] | None:
    """What the guest left in a file."""
    try:
        words: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return words


def near(file: str) -> str:
    """A file as seen from here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def listeners(url: str) -> list[psutil.Process]:
    """The processes that listen at a URL of this machine, with all that descend from them; none where the system hides them."""
    return list({one.pid: one for process in holders(url) for one in (process, *descendants(process))}.values())


def workers_of(url: str) -> int | None:
    """How many processes take requests at a URL: who only supervises others that do is none. None where the system hides them.

    Children that a server has forked for its own work hold its socket too, and look like workers of it.
    """
    found = holders(url)
    pids = {process.pid for process in found}
    return sum(not pids & {one.pid for one in descendants(process)} for process in found) or None


def holders(url: str) -> list[psutil.Process]:
    """The processes that hold a socket which listens at a URL's port, shared or their own."""
    place = urlsplit(url)
    port = place.port or {"http": 80, "https": 443}[place.scheme]
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # somebody else's, or gone meanwhile
            sockets = process.net_connections("tcp")
            if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets):
                found.append(process)
    return found


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """All that descend from a process; nobody from one that has gone."""
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []
