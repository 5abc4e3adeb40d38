"""Office documents become previews and PDFs by an external program."""

import asyncio
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_name("convert.sh")
AT_ONCE = 4


def preview(name: str) -> str:
    """Render the first page."""
    done = subprocess.run(["sh", SCRIPT, name, "0.08"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class PdfConverter:
    """Converts whole documents, a few at a time: every converter needs 400 MB."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(AT_ONCE)

    async def convert(self, name: str) -> str:
        """Run one conversion."""
        async with self.slots:
            process = await asyncio.create_subprocess_exec("sh", SCRIPT, name, "0.15", stdout=asyncio.subprocess.PIPE)
            output, _ = await process.communicate()
        return output.decode().strip()
