"""Secrets are stored as salted hashes only."""

import hashlib
import hmac

SALT = b"0b7c6a5e"
COST, BLOCK, PARALLEL = 2**14, 8, 1


def derive(secret: str, salt: bytes = SALT) -> bytes:
    """Hash a secret as OWASP recommends."""
    return hashlib.scrypt(secret.encode(), salt=salt, n=COST, r=BLOCK, p=PARALLEL, dklen=32)


def matches(secret: str, stored: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(derive(secret), stored)
