"""The weather, from a station that is not always there."""

from tools.retrying import with_retries

STATIONS = {"hamburg": 11.5, "lisbon": 21.0}


def read_station(city: str, attempt: int) -> float:
    """Read a thermometer; it sleeps until it is asked for the third time."""
    if attempt < 2:
        raise ConnectionError(city)
    return STATIONS.get(city, 15.0)


def forecast(city: str) -> dict[str, float | str]:
    """Tomorrow will be like today."""
    degrees = with_retries(lambda attempt: read_station(city, attempt))
    return {"city": city, "degrees": degrees}
