"""Today's rates, from the supplier."""

import json
from http.client import HTTPConnection


def _ask(port: int, path: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def today(port: int, sku: str) -> float:
    """Today's price of one piece."""
    return float(json.loads(_ask(port, f"/rates/{sku}"))["price"])
