"""Serve the example app: `python -m targets [--port 8002] [--workers 1] [--threads 40]`.

`--loop` names the event loop (asyncio). Prints its routes first. `atonce serve` does the
same. uvicorn takes over this process, so Ctrl-C goes to it.
"""

import argparse
import os
import sys
from pathlib import Path

import uvicorn

PACKAGE_ROOT = Path(__file__).resolve().parent.parent


def serve_example_app(port: int, loop: str, workers: int, threads: int) -> None:
    """Serve on 127.0.0.1 until stopped. Workers and upstreams inherit the thread count."""
    from targets.app import app  # noqa: PLC0415 - only this process prints the routes

    os.environ["ATONCE_APP_THREADS"] = str(threads)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    for path, methods in app.openapi()["paths"].items():
        description = next(iter(methods.values())).get("description", "")
        print(
            f"  http://127.0.0.1:{port}{path:<18} {description.partition('. ')[0]}", file=sys.stderr
        )
    uvicorn.run(
        "targets.app:app",
        port=port,
        loop=loop,
        workers=workers,
        access_log=False,
        timeout_keep_alive=300,
    )


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
