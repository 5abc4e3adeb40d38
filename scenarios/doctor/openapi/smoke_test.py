"""One route asked politely before any load: whether it answers, how fast, and whether rightly.

At most three requests, one after another, and a few more where other values may be taken. What it
answers is looked at and forgotten: neither a body nor a header is kept or shown, but for a media
type and the path of a redirect.
"""

import json
import re
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from scenarios.doctor.openapi.route_request import STREAMS, Asked, family, letter_of
from scenarios.generator.job import REQUEST_ID

PATIENCE = 30.0  # seconds until an answer must have begun
ENDLESS = 10.0  # seconds from its head to its end
SLOW = 2.0  # after a first answer as slow as this, one more is enough
MOST_BYTES = 8_000_000  # of a body that are looked at
HOSTILE = b"Invalid host header"  # as Starlette's TrustedHostMiddleware says it
REFUSED = {404, 422}  # other values may be taken
ONE = "one polite request"
BODILESS = {204, 205, 304}
UNAWAITED = re.compile(
    rb"(?:<|&lt;|\\u003c)(?:coroutine object |async_generator object |(?:\w+\.)?Task pending |_?\w*Future pending)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a route answered.

    `skipped` says why it must not be loaded, `wrong` what is wrong with its answer,
    `note` is a sentence about what its document says otherwise, which is no fault of the answer.
    """

    status: int | None = None
    seconds: tuple[float, ...] = ()
    bytes: int = 0
    skipped: str | None = None
    wrong: str | None = None
    note: str | None = None


def polite(
    client: httpx.Client, asked: Asked, headers: dict[str, str], patience: float = PATIENCE, endless: float = ENDLESS
) -> Manner:
    """Ask a route up to three times. The client knows the host, and nothing of the environment (`trust_env=False`)."""
    ours = {**letter_of(asked, headers).headers, REQUEST_ID: "polite"}
    manner = once(client, asked, ours, patience, endless)
    for _ in range(1 if sum(manner.seconds) > SLOW else 2):
        if manner.skipped or manner.wrong:
            break
        again = once(client, asked, ours, patience, endless)
        manner = replace(again, seconds=(*manner.seconds, *again.seconds))
    return manner


def ask_until_taken(client: httpx.Client, asked: Asked, headers: dict[str, str]) -> tuple[Asked, Manner]:
    """Ask a route politely, with its next values where it refuses some; the request it took."""
    refused_ones: list[tuple[Asked, Manner]] = []
    for one in (asked, *asked.others):
        manner = polite(client, one, headers)
        if manner.status not in REFUSED:
            tried = ", ".join(f"{before.path} was answered {told.status}" for before, told in refused_ones)
            why = f"It is asked as {one.path}: {tried}." if tried else None
            return one, replace(manner, note=" ".join(filter(None, (why, manner.note))) or None)
        refused_ones.append((one, manner))
    first, also = refused_ones[0][1], ", ".join(one.path for one in asked.others)
    clause = (first.skipped or "").replace(ONE, f"{ONE}, and no better to {also}" if also else ONE, 1)
    return asked, replace(first, skipped=clause)


def once(client: httpx.Client, asked: Asked, headers: dict[str, str], patience: float, endless: float) -> Manner:
    """One request, its answer streamed."""
    manner, began = Manner(), time.perf_counter()
    method, path = asked.route.partition(" ")[0], asked.sent or asked.path
    words: dict[str, Any] = {"headers": headers, "content": asked.body, "timeout": patience, "follow_redirects": False}
    words["extensions"] = {"target": path.encode()}  # as it stands: httpx would tidy it up
    client.cookies.clear()  # load brings none back
    try:
        with client.stream(method, path, **words) as answer:
            manner = Manner(status=answer.status_code, skipped=refused(asked, answer, endless) or streaming(answer))
            if not manner.skipped:
                body = read(answer, endless)
                why = None if body is not None else f"a stream: its answer had no end within {endless:g} s"
                manner = replace(manner, bytes=answer.num_bytes_downloaded, skipped=why)
                if body is not None and method != "HEAD":
                    manner = replace(manner, wrong=wrong_with(answer, body), note=undocumented(asked, answer, body))
    except httpx.TimeoutException:
        why = "began an answer that did not go on" if manner.status else "gave no answer"
        manner = replace(manner, skipped=f"{why} within {patience:g} s")
    except httpx.HTTPError as error:
        manner = replace(manner, skipped=f"broke off its connection ({type(error).__name__})")
    return replace(manner, seconds=(time.perf_counter() - began,))


def refused(asked: Asked, answer: httpx.Response, endless: float) -> str | None:
    """Errors and redirects, with the flag that may help."""
    status = answer.status_code
    if answer.has_redirect_location:
        place, here = urlsplit(answer.headers["location"]), answer.request.url
        path = place.path or "/"
        if (place.scheme, path) == ("https", urlsplit(str(here)).path) and here.scheme == "http":
            return "redirects from http to https; give it --header 'X-Forwarded-Proto: https', as a proxy does"
        return f"redirects to {path[:80]}" if path.isprintable() else "redirects"
    if answer.is_success:
        return None
    in_path = re.findall(r"\{([^{}]+)\}", asked.route)
    everywhere = [*in_path, *(pair.partition("=")[0] for pair in urlsplit(asked.path).query.split("&") if pair), *asked.headers]
    params = "".join(f" --param {name}=..." for name in dict.fromkeys(in_path if status == httpx.codes.NOT_FOUND else everywhere))
    body = f" --body '{asked.route.partition('?')[0]}=@FILE'" if asked.body else ""
    match status:
        case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
            hint = f" {' '.join(asked.keys)}" if asked.keys else " --header 'Authorization: ...'"
        case httpx.codes.BAD_REQUEST if read(answer, endless) == HOSTILE:
            hint = " --header 'Host: ...'"
        case httpx.codes.BAD_REQUEST | httpx.codes.NOT_FOUND | httpx.codes.UNPROCESSABLE_ENTITY:
            hint = params + body
        case _:
            hint = ""
    return f"answers {status} to {ONE}" + (f"; give it{hint}" if hint else "")


def streaming(answer: httpx.Response) -> str | None:
    """Whether the head announces pieces without a known end. JSON in pieces is an answer all the same: it is whole or it is none."""
    media = media_of(answer)
    if media in STREAMS:
        return f"a stream ({media})"
    endless = "content-length" not in answer.headers and answer.status_code not in BODILESS and answer.request.method != "HEAD"
    return "a stream: its answer comes in pieces, of no declared length" if endless and family(media) != "json" else None


def media_of(answer: httpx.Response) -> str:
    """The media type of an answer; nothing for what does not look like one."""
    media = str(answer.headers.get("content-type", "")).partition(";")[0].strip().lower()
    return media if re.fullmatch(r"[\w.+-]{1,40}/[\w.+-]{1,60}", media, re.ASCII) else ""


def read(answer: httpx.Response, endless: float) -> bytes | None:
    """The body, as far as it is looked at; None when it had no end in time."""
    began, body = time.perf_counter(), bytearray()
    for piece in answer.iter_bytes():
        if len(body) < MOST_BYTES:
            body += piece
        if time.perf_counter() - began > endless:
            return None
    return bytes(body)


def undocumented(asked: Asked, answer: httpx.Response, body: bytes) -> str | None:
    """A sentence where a successful answer is of another kind than the document says."""
    given, declared = media_of(answer), asked.declared or ""
    if not body:
        given = "nothing" if answer.status_code == httpx.codes.OK and family(declared) == "json" else ""
    differs = given and declared and family(given) != family(declared)
    return f"It answers {given} where its OpenAPI document promises {declared}." if differs else None


def wrong_with(answer: httpx.Response, body: bytes) -> str | None:
    """What is wrong with a successful answer by itself, in a clause that shows nothing of it."""
    if UNAWAITED.search(body):
        return "its body shows an object that was never awaited, as text: an await is missing"
    if family(media_of(answer)) == "json" and 0 < len(body) < MOST_BYTES:
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            return "says that its answer is JSON, and it is none"
    return None
