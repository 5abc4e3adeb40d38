"""Clients of the partners' services."""

from typing import Any

import httpx
import requests


class RatesClient:
    """Exchange rates; the vendor's SDK is built on requests."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.session = requests.Session()

    def latest(self, currency: str) -> float:
        """Look up one currency."""
        response = self.session.get(f"{self.base_url}/rates", params={"currency": currency}, timeout=10)
        response.raise_for_status()
        return float(response.json()[currency])


class WarehouseClient:
    """Stock levels of the warehouse."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def stock(self, product_id: int) -> dict[str, Any]:
        """Ask for one product."""
        response = await self.http.get("/stock", params={"product": product_id})
        response.raise_for_status()
        return dict(response.json())


def carrier_quotes(base_url: str, weight: float) -> dict[str, float]:
    """Ask the carriers what a parcel costs."""
    response = requests.get(f"{base_url}/carriers", params={"weight": weight}, timeout=10)
    response.raise_for_status()
    return dict(response.json())
