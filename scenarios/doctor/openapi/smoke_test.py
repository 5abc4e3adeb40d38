"""Tests a route before any load: whether it answers, how fast, and whether correctly.

It sends at most three requests, and a few more if other values may be accepted. It keeps and shows
nothing of an answer but its media type and the path of a redirect.
"""

import json
import re
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import httpx

from scenarios.doctor.openapi.route_request import (
    STREAM_MEDIA_TYPES,
    RouteRequest,
    create_template,
    media_family,
)
from scenarios.generator.job import REQUEST_ID_HEADER

_ANSWER_TIMEOUT = 30.0  # seconds until an answer must begin
_BODY_TIMEOUT = 10.0  # seconds from the head of an answer to its end
SLOW_ANSWER = 2.0  # seconds; after a slower first answer, a single repetition is enough
_MAX_BODY_BYTES = 8_000_000  # bytes of a body that are checked
_INVALID_HOST_BODY = b"Invalid host header"  # of Starlette's TrustedHostMiddleware
_REFUSED_STATUSES = {404, 422}  # other values may be accepted
_BODILESS_STATUSES = {204, 205, 304}
_UNAWAITED_PATTERN = re.compile(
    rb"(?:<|&lt;|\\u003c)(?:coroutine object |async_generator object |(?:\w+\.)?Task pending"
    rb" |_?\w*Future pending)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeResult:
    """How a route answered."""

    status: int | None = None
    seconds: tuple[float, ...] = ()
    answer_bytes: int = 0
    skipped: str | None = None  # why it must not be loaded
    fault: str | None = None  # what is wrong with the answer
    note: str | None = None  # how it differs from the OpenAPI document, which is no fault


def run_smoke_test(
    client: httpx.Client, request: RouteRequest, headers: dict[str, str]
) -> SmokeResult:
    """Send up to three requests. The client must ignore the environment (`trust_env=False`)."""
    sent_headers = {**create_template(request, headers).headers, REQUEST_ID_HEADER: "polite"}
    result = _request_once(client, request, sent_headers)
    for _ in range(1 if sum(result.seconds) > SLOW_ANSWER else 2):
        if result.skipped or result.fault:
            break
        repeated = _request_once(client, request, sent_headers)
        result = replace(repeated, seconds=(*result.seconds, *repeated.seconds))
    return result


def find_accepted_request(
    client: httpx.Client, request: RouteRequest, headers: dict[str, str]
) -> tuple[RouteRequest, SmokeResult]:
    """Smoke-test a route, with its next values if it refuses some; return what it accepted."""
    results: list[SmokeResult] = []
    refusals: list[str] = []
    for candidate in (request, *request.alternatives):
        result = run_smoke_test(client, candidate, headers)
        if result.status not in _REFUSED_STATUSES:
            if refusals:
                why = f"Its request is {candidate.path}: {', '.join(refusals)}."
                result = replace(result, note=" ".join(filter(None, (why, result.note))))
            return candidate, result
        results.append(result)
        refusals.append(f"{candidate.path} answers {result.status}")
    first, others = results[0], ", ".join(other.path for other in request.alternatives)
    if others and first.skipped:
        status, mark, advice = first.skipped.partition("; ")
        first = replace(first, skipped=f"{status}, and also refuses {others}{mark}{advice}")
    return request, first


def _request_once(
    client: httpx.Client, request: RouteRequest, headers: dict[str, str]
) -> SmokeResult:
    result, began = SmokeResult(), time.perf_counter()
    method, path = request.route.partition(" ")[0], request.path_with_keys or request.path
    client.cookies.clear()  # load sends none back either
    try:
        with client.stream(
            method,
            path,
            headers=headers,
            content=request.body,
            timeout=_ANSWER_TIMEOUT,
            follow_redirects=False,
            extensions={"target": path.encode()},  # unchanged: httpx would normalise it
        ) as answer:
            why = _refusal_reason(request, answer) or _stream_reason(answer)
            result = SmokeResult(status=answer.status_code, skipped=why)
            if not why:
                body = _read_body(answer)
                result = replace(result, answer_bytes=answer.num_bytes_downloaded)
                if body is None:
                    why = f"a stream: its answer did not end within {_BODY_TIMEOUT:g} s"
                    result = replace(result, skipped=why)
                elif method != "HEAD":
                    fault = _find_body_fault(answer, body)
                    note = _media_type_note(request, answer, body)
                    result = replace(result, fault=fault, note=note)
    except httpx.TimeoutException:
        why = "began an answer but sent no more of it" if result.status else "gave no answer"
        result = replace(result, skipped=f"{why} within {_ANSWER_TIMEOUT:g} s")
    except httpx.HTTPError as error:
        result = replace(result, skipped=f"lost its connection ({type(error).__name__})")
    return replace(result, seconds=(time.perf_counter() - began,))


def _refusal_reason(request: RouteRequest, answer: httpx.Response) -> str | None:
    if answer.has_redirect_location:
        return _redirect_reason(answer)
    if answer.is_success:
        return None
    match answer.status_code:
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            flags = request.credential_flags or ("--header 'Authorization: ...'",)
        case httpx.codes.BAD_REQUEST if _read_body(answer) == _INVALID_HOST_BODY:
            flags = ("--header 'Host: ...'",)
        case httpx.codes.BAD_REQUEST | httpx.codes.NOT_FOUND | httpx.codes.UNPROCESSABLE_ENTITY:
            flags = _value_flags(request, is_missing=answer.status_code == httpx.codes.NOT_FOUND)
        case _:
            flags = ()
    advice = f"; add {' '.join(flags)}" if flags else ""
    return f"answers {answer.status_code} to a single request{advice}"


def _redirect_reason(answer: httpx.Response) -> str:
    location, url = urlsplit(answer.headers["location"]), answer.request.url
    path = location.path or "/"
    is_same_path = path == urlsplit(str(url)).path
    if (url.scheme, location.scheme) == ("http", "https") and is_same_path:
        header = "--header 'X-Forwarded-Proto: https'"
        return f"redirects from http to https; add {header}, as a proxy does"
    return f"redirects to {path[:80]}" if path.isprintable() else "redirects"


def _value_flags(request: RouteRequest, *, is_missing: bool) -> tuple[str, ...]:
    """Return the flags for other values: of the path if it is missing, else of all parameters."""
    names = re.findall(r"\{([^{}]+)\}", request.route)
    if not is_missing:
        pairs = filter(None, urlsplit(request.path).query.split("&"))
        names += [*(pair.partition("=")[0] for pair in pairs), *request.headers]
    flags = [f"--param {name}=..." for name in dict.fromkeys(names)]
    if request.body:
        flags.append(f"--body '{request.route.partition('?')[0]}=@FILE'")
    return tuple(flags)


def _stream_reason(answer: httpx.Response) -> str | None:
    """Return why the head announces a stream; None if not, as for chunked JSON, which ends."""
    media = _answer_media_type(answer)
    if media in STREAM_MEDIA_TYPES:
        return f"a stream ({media})"
    is_finite = (
        "content-length" in answer.headers
        or media_family(media) == "json"
        or answer.status_code in _BODILESS_STATUSES
        or answer.request.method == "HEAD"
    )
    return None if is_finite else "a stream: its answer comes in pieces, without a declared length"


def _answer_media_type(answer: httpx.Response) -> str:
    """Return the media type of an answer; empty if it is malformed."""
    media = str(answer.headers.get("content-type", "")).partition(";")[0].strip().lower()
    return media if re.fullmatch(r"[\w.+-]{1,40}/[\w.+-]{1,60}", media, re.ASCII) else ""


def _read_body(answer: httpx.Response) -> bytes | None:
    """Return the checked part of the body; None if it did not end in time."""
    began, body = time.perf_counter(), bytearray()
    for piece in answer.iter_bytes():
        if len(body) < _MAX_BODY_BYTES:
            body += piece
        if time.perf_counter() - began > _BODY_TIMEOUT:
            return None
    return bytes(body)


def _media_type_note(request: RouteRequest, answer: httpx.Response, body: bytes) -> str | None:
    """Return a sentence if a successful answer has another media type than the document says."""
    given, declared = _answer_media_type(answer), request.declared_type or ""
    if not body:
        is_missing = answer.status_code == httpx.codes.OK and media_family(declared) == "json"
        given = "nothing" if is_missing else ""
    if given and declared and media_family(given) != media_family(declared):
        return f"It answers {given} where its OpenAPI document declares {declared}."
    return None


def _find_body_fault(answer: httpx.Response, body: bytes) -> str | None:
    """Return what is wrong with a successful answer, in a clause that shows nothing of it."""
    if _UNAWAITED_PATTERN.search(body):
        return "its body shows an object that was never awaited, as text: an await is missing"
    if media_family(_answer_media_type(answer)) == "json" and 0 < len(body) < _MAX_BODY_BYTES:
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            return "its body is not JSON, though its content type says so"
    return None
