"""A client for the clearing house's line protocol, as a partner would ship it."""

from bank.wire import session


class Client:
    """Speaks with one clearing house."""

    def __init__(self, port: int) -> None:
        self._port = port

    def lookup(self, name: str) -> str:
        """Look a name up."""
        return session.exchange(self._port, f"GET {name}\n").removeprefix("OK ")
