"""A vault of documents: fingerprints, seals and checks, each computed per request."""

import asyncio
import gc
import hashlib
import re
import time
import zlib
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, Query

app = FastAPI(title="Vault")

SALT = b"vault-2024"
SAMPLES = np.random.default_rng(7).random(3_000_000)
SERIAL = re.compile(r"^(\w+\s?)*$")
DOCUMENT = bytes(np.random.default_rng(3).choice(list(b"abcdefgh "), size=400_000).tolist())
SHELVES: list[dict[str, Any]] = [{"shelf": n, "boxes": [n]} for n in range(450_000)]


def stretch(word: str, rounds: int) -> str:
    """Derive a key from a word."""
    return hashlib.pbkdf2_hmac("sha256", word.encode(), SALT, rounds).hex()


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that all is well."""
    return {"status": "ok"}


@app.get("/digests/{word}")
async def digest(word: str) -> dict[str, str]:
    """Derive a key: a third of a million rounds."""
    key = hashlib.pbkdf2_hmac("sha256", word.encode(), SALT, 330_000)
    return {"digest": key.hex()}


@app.get("/serials")
async def serials(text: Annotated[str, Query()] = "abcdefghijklmnopqrst!") -> dict[str, bool]:
    """Check that a serial number is well-formed."""
    matched = SERIAL.match(text)
    return {"valid": matched is not None}


@app.get("/sweep")
async def sweep() -> dict[str, int]:
    """Free what the last export left behind."""
    found = gc.collect()
    return {"freed": found % 2}


@app.get("/checksums")
async def checksums() -> dict[str, int]:
    """Add up a million shelves, the plain way."""
    total = 0
    for number in range(1_500_000):
        total = (total * 31 + number) % 1_000_003
    return {"total": total}


@app.get("/medians")
async def medians() -> dict[str, float]:
    """Rank three million samples."""
    ranked = np.sort(SAMPLES, kind="stable")
    return {"median": float(ranked[len(ranked) // 2])}


async def seal(word: str = "oak") -> str:
    """Seal a word, in a dependency."""
    return hashlib.scrypt(word.encode(), salt=SALT, n=2**15, r=8, p=1, maxmem=2**26).hex()


@app.get("/seals")
async def seals(value: Annotated[str, Depends(seal)]) -> dict[str, str]:
    """Show a seal."""
    return {"seal": value}


@app.get("/login")
def login(password: str = "correct horse") -> dict[str, str]:
    """Check a password, in one of the framework's threads."""
    return {"hash": stretch(password, 200_000)}


@app.get("/archive")
def archive() -> dict[str, int]:
    """Pack a document: C code without the GIL."""
    return {"size": len(zlib.compress(DOCUMENT, 6))}


@app.get("/contracts")
def contracts() -> dict[str, str]:
    """Wait 40 ms for the notary, then stretch a key for 24 ms."""
    time.sleep(0.04)
    return {"signature": stretch("contract", 80_000)}


@app.get("/escrow")
async def escrow() -> dict[str, str]:
    """Await a partner for 60 ms, then stretch a key in the loop's executor."""
    await asyncio.sleep(0.06)
    return {"key": await asyncio.to_thread(stretch, "escrow", 80_000)}


@app.get("/appraisals")
def appraisals() -> dict[str, int]:
    """Appraise in plain Python, in a thread."""
    total = 0
    for number in range(450_000):
        total = (total * 17 + number) % 999_983
    return {"value": total}


@app.get("/etags")
async def etags() -> dict[str, str]:
    """Fingerprint a small file: 2 ms, honestly."""
    return {"etag": hashlib.pbkdf2_hmac("sha1", b"file", SALT, 5_500).hex()}


@app.get("/tickets")
def tickets() -> dict[str, str]:
    """Stretch a short key in a thread: 4 ms."""
    return {"ticket": stretch("ticket", 13_000)}


@app.get("/deposits")
async def deposits() -> dict[str, int]:
    """Await the bank for 150 ms."""
    await asyncio.sleep(0.15)
    return {"deposits": len(SHELVES)}


@app.get("/visits")
def visits() -> dict[str, int]:
    """Wait 120 ms for the porter, in a thread."""
    time.sleep(0.12)
    return {"visits": 3}
