"""The identity provider's signing keys, kept for a few verifications and then asked for again."""

import base64
import hmac
import json
from urllib.request import urlopen

MAX_USES = 5


class SigningKeys:
    """A small cache in front of the JWKS endpoint."""

    def __init__(self, base_url: str) -> None:
        self.url = f"{base_url}/jwks"
        self.keys: dict[str, bytes] = {}
        self.uses = 0

    def find(self, kid: str) -> bytes:
        """Return one key; keys that were used often enough are fetched anew, because they rotate."""
        if self.uses % MAX_USES == 0:
            self.refresh()
        self.uses += 1
        return self.keys[kid]

    def refresh(self) -> None:
        """Ask the identity provider."""
        with urlopen(self.url, timeout=5) as response:
            document = json.load(response)
        self.keys = {key["kid"]: base64.b64decode(key["k"]) for key in document["keys"]}


def sign(claims: str, key: bytes) -> str:
    """HMAC of the claims."""
    return hmac.new(key, claims.encode(), "sha256").hexdigest()
