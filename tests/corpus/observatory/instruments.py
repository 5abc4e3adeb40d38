"""The camera, the pager and the weather mast."""

import asyncio
import queue
import subprocess
import threading
import time
from functools import partial

MAST = asyncio.Semaphore(100)
PAGER = ("sh", "-c", "sleep 0.06")


class Camera:
    """A camera that a thread of its own drives."""

    def __init__(self) -> None:
        self._orders: queue.Queue[float] = queue.Queue()
        self._frames: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._drive, name="camera", daemon=True).start()

    def _drive(self) -> None:
        for number in range(10**9):
            time.sleep(self._orders.get())
            self._frames.put(f"frame-{number}.fits")

    def expose(self, seconds: float) -> str:
        """Take one frame."""
        self._orders.put(seconds)
        return self._frames.get(timeout=5)


def page(text: str) -> None:
    """Page whoever is on duty."""
    subprocess.run([*PAGER, text], check=True)


def announce(text: str) -> None:
    """Page them as soon as the loop has a moment."""
    asyncio.get_running_loop().call_soon(partial(page, text))


async def wind() -> float:
    """Read the mast, which bears a hundred readers."""
    async with MAST:
        await asyncio.sleep(0.1)
        return 4.2


def dark_current() -> float:
    """Wait for the shutter, then read the chip."""
    time.sleep(0.1)
    return 0.003
