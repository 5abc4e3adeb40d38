"""Serves the example app, as `atonce serve` does: `python -m targets [--port 8002]`.

It prints the routes first. Then uvicorn takes over this process, so Ctrl-C goes to it.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn


def serve_example_app(port: int, loop: str, workers: int, threads: int) -> None:
    """Serve on 127.0.0.1 until stopped."""
    from targets.app import app  # noqa: PLC0415 - only this process prints the routes

    os.environ["ATONCE_APP_THREADS"] = str(threads)  # for the workers
    root = str(Path(__file__).resolve().parent.parent)
    python_path = filter(None, [root, os.environ.get("PYTHONPATH")])
    os.environ["PYTHONPATH"] = os.pathsep.join(python_path)
    for path, methods in app.openapi()["paths"].items():
        summary = next(iter(methods.values())).get("description", "").partition(". ")[0]
        print(f"  http://127.0.0.1:{port}{path:<18} {summary}", file=sys.stderr)
    options: dict[str, Any] = {"port": port, "loop": loop, "workers": workers}
    uvicorn.run("targets.app:app", **options, access_log=False, timeout_keep_alive=300)


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m targets", description="Serve the example app.")
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--loop", choices=["auto", "asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=40, help="AnyIO's thread tokens per worker")
    serve_example_app(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
