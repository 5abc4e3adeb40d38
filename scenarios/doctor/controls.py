"""What stands around an app while it is examined: its address, its two innocent neighbours, and a meter for its CPU.

An app that we start carries our guest, who answers for both neighbours and keeps a journal. A black box has neither: there an
unknown path is the `async` neighbour, else its OpenAPI document, else nobody is. The CPU of its processes is read from
outside, where the system shows them.
"""

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from results.errors import Exit, Trouble
from results.schema import Neighbour
from results.spool import Spool
from scenarios.doctor.app import Patient, listeners
from scenarios.doctor.openapi.route_request import Asked
from scenarios.runner.preflight import fetch
from scenarios.runner.run_plan import free_port
from scenarios.system.tls import why_untrusted

SAMPLE_EVERY = 0.1  # seconds between two readings of a black box's CPU
DOCUMENT = "/openapi.json"
PAGES = ("/docs", "/redoc")  # which say where the document lies, if not there
NAMED = re.compile(r"(?:\burl: *|spec-url=)[\"'](/[^/\"'][^\"']*)[\"']")  # on this host
SHOWS = re.compile(r"SwaggerUIBundle|<redoc\b")  # what a page of documentation says
VACANT_WITHIN = 3.0  # seconds in which a port is let go by whoever listened there
NOWHERE = 3  # times that a path is asked before it may be a neighbour
NO_ROUTE = (404, 405, 401, 403, 400)  # what is said where no route is; anything else may be a catch-all's, perhaps a `def`


def address(patient: Patient) -> tuple[str, int]:
    """Where the app is going to answer. Raises Trouble where somebody else does, before it was started."""
    if patient.url:
        place = httpx.URL(patient.url)
        port = place.port or {"http": 80, "https": 443}[place.scheme]
        deadline = time.perf_counter() + VACANT_WITHIN
        while patient.how == "command" and listens(place.host, port):
            if time.perf_counter() > deadline:
                stop = f"Stop what listens there, choose another port, or examine that as it is: atonce doctor {patient.url}"
                raise Trouble(f"{patient.url} answers while the command of --start does not run. {stop}", Exit.TARGET)
            time.sleep(0.1)
        return patient.url, port
    port = free_port()
    return f"http://127.0.0.1:{port}", port


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def ready_path(patient: Patient, secret: str) -> str:
    """What is asked until the app answers."""
    return f"/_atonce-{secret}/async" if patient.how == "module" else f"/_atonce-{secret}"


def neighbours(patient: Patient, secret: str, client: httpx.Client) -> tuple[tuple[Neighbour, ...], float]:
    """The innocent routes, and how many seconds one ping costs the app; 0 where it costs nothing."""
    if patient.how == "module":
        kinds = ("async", "def")
        return tuple(neighbour(one, f"/_atonce-{secret}/{one}", f'{{"neighbour":"{one}"}}') for one in kinds), 0.0
    for path, right in ((f"/_atonce-{secret}", NO_ROUTE), (DOCUMENT, (200,))):  # without a person's headers
        status, seconds = steadily(client, path)
        if status in right and (path != DOCUMENT or parsed(text(client, path, {}))):  # a catch-all answers there too
            return (neighbour("async", path, "", status),), seconds
    return (), 0.0


def steadily(client: httpx.Client, path: str) -> tuple[int, float]:
    """The status that a path always answers, 0 if it changes; and how many seconds that takes at best."""
    found = []
    for _ in range(NOWHERE):
        began = time.perf_counter()
        try:
            status = fetch(client, "GET", path).status_code
        except httpx.HTTPError as error:
            raise silent(client, error) from error
        found.append((status, time.perf_counter() - began))
    statuses = {status for status, _ in found}
    return statuses.pop() if len(statuses) == 1 else 0, min(seconds for _, seconds in found)


def silent(client: httpx.Client, error: httpx.HTTPError) -> Trouble:
    """What a person reads where nobody listens."""
    if why := why_untrusted(error):
        return Trouble(f"{client.base_url} answers, but {why}", Exit.USAGE)
    sentence = f"{client.base_url} does not answer ({type(error).__name__}). Is the app running, and is this its address?"
    return Trouble(sentence, Exit.TARGET)


def neighbour(kind: str, path: str, expects: str, status: int = 0) -> Neighbour:
    """One of them; how often it is asked is decided level by level."""
    return Neighbour(kind=kind, route=f"GET /_atonce/{kind}", path=path, expects=expects, rate=0.0, connections=0, status=status)


def document(client: httpx.Client, headers: dict[str, str]) -> dict[str, Any] | None:
    """The OpenAPI document of a black box, where it usually lies or its documentation says; None where it has none to read."""
    found = parsed(text(client, DOCUMENT, headers))
    for page in () if found else PAGES:
        if named := NAMED.search(text(client, page, headers)):
            found = found or parsed(text(client, named[1], headers))
    return found


def without_documentation(asked: list[Asked], client: httpx.Client, headers: dict[str, str]) -> list[Asked]:
    """The routes of a black box; those that show its documentation are skipped."""
    shows = {page for page in PAGES if any(one.path == page for one in asked) and SHOWS.search(text(client, page, headers))}
    return [replace(one, skipped="the app's own documentation") if one.path in shows else one for one in asked]


def text(client: httpx.Client, path: str, headers: dict[str, str]) -> str:
    """What a path answers; nothing for any other status than 200."""
    try:
        answer = fetch(client, "GET", path, headers=headers)
    except httpx.TransportError as error:
        raise silent(client, error) from error
    except (httpx.HTTPError, httpx.InvalidURL):
        return ""
    return answer.text if answer.status_code == httpx.codes.OK else ""


def parsed(said: str) -> dict[str, Any] | None:
    """An OpenAPI document; None for anything else, such as what a catch-all answers."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(said)
        return found if isinstance(found, dict) and "paths" in found else None
    return None


def meter(patient: Patient, folder: Path, act: str, url: str) -> Callable[[], None]:
    """Something to call often while a black box works: it writes down the CPU seconds of the processes that listen there."""
    processes = [] if patient.how == "module" else listeners(url)
    if not processes:
        return lambda: None
    spool = Spool(folder / "probe" / f"{act}-{processes[0].pid}.jsonl")
    last = 0.0

    def read() -> None:
        nonlocal last
        if (now := time.perf_counter()) - last < SAMPLE_EVERY:
            return
        last = now
        spool.write("sample", now, *[None] * 4, sum(map(spent, processes)), *[None] * 5)
        spool.file.flush()

    return read


def spent(process: psutil.Process) -> float:
    """CPU seconds of a process so far; 0 of one that has gone."""
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
