"""Before any load: every route answers, rightly, and the variants answer alike.

A benchmark of routes that fail quickly looks splendid. Asking each route once also warms it up: FastAPI reads source
files at a route's first call.
"""

import time
from collections.abc import Iterable

import httpx

from results.schema import Cell
from results.trouble import Exit, Trouble

TIMEOUT = 10.0  # seconds for one polite request: twice the longest wait; an interruption is heard only after it


def verify(base_url: str, cells: Iterable[Cell], alike: str | None) -> str:
    """Ask each route of the cells once; give the body that the variant answered.

    `alike` is what the other variants answered to the same question. Raises Trouble with the first fault found.
    """
    answer = ""
    with httpx.Client(base_url=base_url, timeout=TIMEOUT) as client:
        for cell in cells:
            if cell.users:
                answer = prove(client, cell.route, cell.path, cell.expects)
            for ping in cell.neighbours:
                prove(client, ping.route, ping.path, ping.expects)
    if alike is not None and answer != alike:
        sentence = f"The variants do not answer alike: {answer!r} here, {alike!r} before; nothing fair can be compared."
        raise Trouble(sentence, Exit.TARGET)
    return answer


def prove(client: httpx.Client, route: str, path: str, expects: str) -> str:
    """One route, once: status 200 and the expected body. A wait that ends too early is a wrong answer as well."""
    began = time.perf_counter()
    try:
        answer = client.get(path)
    except httpx.HTTPError as error:
        sentence = f"{route} did not answer one polite request ({type(error).__name__}); nothing was loaded. See log.txt."
        raise Trouble(sentence, Exit.TARGET) from error
    took = time.perf_counter() - began
    if answer.status_code != httpx.codes.OK or (expects and answer.text != expects):
        got = f"status {answer.status_code}, body {answer.text[:80]!r}"
        sentence = f"{route} answers wrongly before any load: {got}, expected {expects!r}; nothing was loaded."
        raise Trouble(sentence, Exit.TARGET)
    wanted = float(httpx.URL(path).params.get("seconds", 0))
    if took < wanted:
        sentence = f"{route} says it waited {wanted:g} s and answered after {took:.3f} s; nothing was loaded."
        raise Trouble(sentence, Exit.TARGET)
    return answer.text
