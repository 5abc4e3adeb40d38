"""How we reach a target: over TLS with certificates of its own, over IPv6, never by a proxy."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from results.errors import AtonceError, ExitCode
from scenarios.doctor.app import AppUnderTest
from scenarios.plans.custom import parse_host
from scenarios.runner import preflight
from scenarios.runner.preflight import (
    check_route,
    check_target_alive,
    list_openapi_routes,
    open_http_client,
)
from scenarios.system.child_process import supervised_process
from scenarios.system.tls import TlsTrust
from tests.support.cli import Here
from tests.support.processes import ROOT, free_port

TLS = ROOT / "tests" / "tls"
CERT = TLS / "cert.pem"
NO_PROXY = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "socks5://127.0.0.1:1", "NO_PROXY": ""}
APP = """
import asyncio
from fastapi import FastAPI
app = FastAPI()
@app.get("/x")
async def x():
    await asyncio.sleep(0.02)
    return 1
"""
ASKS = """
import gevent.monkey; gevent.monkey.patch_all()
import json, sys
from pathlib import Path
from types import SimpleNamespace
from results.schema import Cell, Phase
from scenarios.generator.client import Client
from scenarios.generator.recorder import Recorder, SampleKey
from scenarios.system.tls import TlsTrust
url, folder, trust = sys.argv[1:]
recorder = Recorder(Path(folder), "x")
events = SimpleNamespace(request=SimpleNamespace(fire=lambda **_: None))
client = Client(SimpleNamespace(events=events), url, recorder, {}, TlsTrust(**json.loads(trust)))
words = {"name": "x", "scenario": "crowd", "variant": "x", "route": "GET /x", "path": "/x"}
numbers = {"users": 1, "warm_up": 0.0, "window": 0.0, "drain": 0.0}
cell = Cell.from_dict({**words, **numbers, "expects": "", "neighbours": []})
place = SampleKey(cell, Phase.STEADY, 0)
print(*client.send_request(client.new_connection(), place, 0.0))
"""


@contextlib.contextmanager
def served(folder: Path, host: str, *flags: str) -> Iterator[str]:
    """An app that answers at a host; its URL."""
    (folder / "shop.py").write_text(APP, encoding="utf-8")
    port = free_port()
    url = f"http{'s' if flags else ''}://{f'[{host}]' if ':' in host else host}:{port}"
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "shop:app",
        "--host",
        host,
        "--port",
        str(port),
        *flags,
    ]
    quiet: dict[str, Any] = {
        "env": os.environ,
        "core": None,
        "stdin": subprocess.DEVNULL,
        "stdout": None,
    }
    with supervised_process(command, folder=folder, **quiet) as app:
        while True:
            assert app.poll() is None, (folder / "log.txt").read_text(encoding="utf-8")
            with (
                contextlib.suppress(httpx.TransportError),
                open_http_client(url, TlsTrust(insecure=True), 5) as client,
            ):
                client.get("/x")
                break
        yield url


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app with a certificate that it has signed itself."""
    flags = ("--ssl-certfile", str(CERT), "--ssl-keyfile", str(TLS / "key.pem"))
    with served(tmp_path_factory.mktemp("secure"), "127.0.0.1", *flags) as url:
        yield url


@pytest.fixture(autouse=True)
def no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificate settings of this shell do not matter here."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def under_load(url: str, folder: Path, trust: TlsTrust, **env: str) -> str:
    """Ask once as Locust would: whether an answer came, and whether it was right."""
    words = json.dumps({"cacert": trust.cacert, "insecure": trust.insecure})
    command = [sys.executable, "-c", ASKS, url, str(folder), words]
    shown = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()


@pytest.mark.parametrize(
    ("trust", "file", "answered"),
    [
        (TlsTrust(), "", False),
        (TlsTrust(), str(CERT), True),
        (TlsTrust(cacert=str(CERT)), "", True),
        (TlsTrust(insecure=True), "", True),
    ],
)
def test_a_certificate_of_its_own_is_trusted_when_someone_says_so(  # noqa: PLR0913
    secure: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trust: TlsTrust,
    file: str,
    *,
    answered: bool,
) -> None:
    """By a flag or by the environment's SSL_CERT_FILE; politely, and under load."""
    monkeypatch.setenv("SSL_CERT_FILE", file)
    assert under_load(secure, tmp_path, trust) == f"{answered} {answered}"
    with open_http_client(secure, trust, 5) as client:
        if answered:
            assert check_route(client, "GET /x", "/x", "1") == "1"
            assert list_openapi_routes(secure, trust) == ["GET /x"]
            return
        with pytest.raises(
            AtonceError,
            match=r"self-signed certificate\)\. Give the certificate that signed it: --cacert FILE",
        ):
            check_route(client, "GET /x", "/x", "1")


def test_a_wrong_certificate_is_said_as_such(secure: str, here: Here) -> None:
    """Not as an app that does not run."""
    shown = here("doctor", secure, "--dry-run")
    assert shown.returncode == ExitCode.USAGE
    assert "its certificate is not trusted (self-signed certificate)" in shown.stderr
    shown = here("doctor", secure, "--dry-run", "--cacert", str(CERT))
    assert (shown.returncode, "GET /x  requested as /x" in shown.stdout) == (0, True)
    shown = here("doctor", secure, "--dry-run", "--insecure")
    assert (shown.returncode, "GET /x  requested as /x" in shown.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "env", "sentence"),
    [
        (["http://127.0.0.1:1", "--cacert", "/not/there"], {}, "--cacert /not/there: No such file"),
        (
            ["http://127.0.0.1:1", "--cacert", __file__],
            {},
            "it has no readable certificate",
        ),
        (
            ["https://127.0.0.1:1"],
            {"SSL_CERT_FILE": "/not/there"},
            "SSL_CERT_FILE /not/there: No such file",
        ),
        (["shop:app", "--insecure"], {}, "loaded over plain HTTP"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_a_sentence(
    here: Here, words: list[str], env: dict[str, str], sentence: str
) -> None:
    """Before anything is asked."""
    shown = here("doctor", *words, cwd=ROOT, **env)
    assert (shown.returncode, sentence in shown.stderr) == (ExitCode.USAGE, True), shown.stderr


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("http://[::]:8000", "http://[::1]:8000"),
        ("[::]:8000", "http://[::1]:8000"),
        ("https://[::]", "https://[::1]"),
        ("http://0.0.0.0:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_everywhere_is_this_machine(said: str, meant: str) -> None:
    """As servers print it."""
    assert AppUnderTest.from_url(said).url == meant
    assert parse_host(said, None).geturl().rstrip("/") == meant


def test_ipv6_is_spoken_by_all_clients(tmp_path: Path, here: Here) -> None:
    """The polite client, the client under load, and the doctor."""
    with served(tmp_path, "::1") as url:
        assert under_load(url, tmp_path, TlsTrust()) == "True True"
        with open_http_client(url, TlsTrust(), 5) as client:
            assert check_route(client, "GET /x", "/x", "1") == "1"
        check_target_alive(url, "x")
        shown = here("doctor", url.replace("[::1]", "[::]"), "--dry-run")
        assert (shown.returncode, "GET /x  requested as /x" in shown.stdout) == (0, True), (
            shown.stderr
        )


def test_an_answer_without_end_is_a_time_out_though_pieces_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stream of events would hold up what asks it politely for ever."""
    moments = itertools.count()
    monkeypatch.setattr(
        preflight, "time", SimpleNamespace(perf_counter=lambda: float(next(moments)))
    )
    stream = httpx.MockTransport(
        lambda _: httpx.Response(200, content=itertools.repeat(b"data: 1\n\n"))
    )
    client = httpx.Client(transport=stream, base_url="http://127.0.0.1:1", timeout=10)
    with pytest.raises(
        AtonceError, match=r"did not answer a single request: ReadTimeout; nothing was loaded"
    ):
        check_route(client, "GET /events", "/events", "")
    assert 10 <= next(moments) < 20


@pytest.mark.parametrize("name", sorted(NO_PROXY)[:2])
def test_nothing_that_we_ask_goes_through_a_proxy(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It would not know this machine."""
    for variable in ("no_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with served(tmp_path, "127.0.0.1") as url:
        env = {name: NO_PROXY[name], "NO_PROXY": ""}
        monkeypatch.setenv(name, NO_PROXY[name])
        monkeypatch.setenv("NO_PROXY", "")
        assert under_load(url, tmp_path, TlsTrust(), **env) == "True True"
        with open_http_client(url, TlsTrust(), 5) as client:
            assert check_route(client, "GET /x", "/x", "1") == "1"
        shown = here("run", "crowd", "--host", url, "--dry-run")
        assert "It describes GET /x" in shown.stderr, shown.stderr


def test_a_certificate_file_that_has_gone_stops_nobody_who_asks_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over plain HTTP, or for an app that we serve."""
    monkeypatch.setenv("SSL_CERT_FILE", "/not/there")
    for target in ("http://127.0.0.1:8000", ":8000", "shop.main:app", ""):
        assert TlsTrust.from_flags(None, target, insecure=False) == TlsTrust()
    with pytest.raises(AtonceError, match="SSL_CERT_FILE /not/there"):
        TlsTrust.from_flags(None, "https://127.0.0.1:8000", insecure=False)
