"""What stands around a black box: which of its paths may be an innocent neighbour, and what is said where nobody answers."""

from collections.abc import Callable, Iterator
from itertools import cycle

import httpx
import pytest

from results.trouble import Exit, Trouble
from scenarios._doctor.patient import Patient
from scenarios._doctor.seat import DOCUMENT, document, neighbours

URL = "http://127.0.0.1:8000"
UNKNOWN = "/_atonce-s"


def box(statuses: dict[str, Iterator[int]], says: dict[str, str]) -> httpx.Client:
    """A client of an app that answers these statuses, one after another."""
    answers = httpx.MockTransport(lambda request: httpx.Response(next(statuses[request.url.path]), json=says))
    return httpx.Client(base_url=URL, transport=answers)


@pytest.mark.parametrize(
    ("unknown", "documented", "expected"),
    [
        ([404], [500], (UNKNOWN, 404)),
        ([405], [200], (UNKNOWN, 405)),
        ([401], [200], (UNKNOWN, 401)),
        ([403], [200], (UNKNOWN, 403)),
        ([400], [200], (UNKNOWN, 400)),
        ([200], [200], (DOCUMENT, 200)),  # a catch-all, perhaps a `def`
        ([307], [200], (DOCUMENT, 200)),
        ([404, 403], [200], (DOCUMENT, 200)),
        ([503], [404], None),
        ([200], [200, 500], None),
        ([200], [401], None),
    ],
)
def test_only_what_surely_is_innocent_is_a_neighbour(
    unknown: list[int], documented: list[int], expected: tuple[str, int] | None
) -> None:
    """An unknown path that is answered as such, else the OpenAPI document, else nobody."""
    client = box({UNKNOWN: cycle(unknown), DOCUMENT: cycle(documented)}, {"openapi": "3.1.0"})
    found, seconds = neighbours(Patient.of_url(URL), "s", client)
    assert ([expected] if expected else []) == [(one.path, one.status) for one in found]
    assert (expected is not None) == (seconds > 0)


def test_a_catch_all_in_the_place_of_a_document_is_no_neighbour() -> None:
    """It answers everything, and may be a `def`."""
    client = box({UNKNOWN: cycle([200]), DOCUMENT: cycle([200])}, {"rest": "openapi.json"})
    assert neighbours(Patient.of_url(URL), "s", client) == ((), 0.0)


@pytest.mark.parametrize("ask", [lambda client: neighbours(Patient.of_url(URL), "s", client), lambda client: document(client, {})])
@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadTimeout])
def test_a_url_where_nobody_answers_is_named(ask: Callable[[httpx.Client], object], error: type[httpx.HTTPError]) -> None:
    """Exit code 4, at whichever question it is noticed."""

    def fail(_request: httpx.Request) -> httpx.Response:
        raise error("no")

    with httpx.Client(base_url=URL, transport=httpx.MockTransport(fail)) as client, pytest.raises(Trouble) as trouble:
        ask(client)
    assert trouble.value.code is Exit.TARGET
    assert f"{URL} does not answer ({error.__name__})" in trouble.value.sentence
