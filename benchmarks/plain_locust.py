"""What plain Locust leaves unexplained on a frozen route: `python -m benchmarks.plain_locust`.

50 plain FastHttpUsers without think time ask `/broken-async?seconds=0.05` under uvloop for 6
seconds. In a closed loop Little's law must give the users back: N = X R. Locust counts finished
requests only, so what still waits when it stops is in neither X nor R. Prints a JSON document,
and stores it in the FILE of the first argument; docs/method.md quotes the stored document.
"""

import csv
import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import httpx

from scenarios.runner.run_plan import find_free_port, locust_env
from scenarios.runner.supervise import wait_until_ready
from scenarios.system.child_process import PACKAGE_ROOT, child_env, supervised_process
from scenarios.system.machine import pinned_cores
from scenarios.system.private_log import RunLog

USERS, SECONDS, HOLD = 50, 6, 0.05
LOCUSTFILE = """
from locust import FastHttpUser, task

class Plain(FastHttpUser):
    @task
    def ask(self):
        self.client.get("/broken-async?seconds={}")
"""


def measure(
    folder: Path,
    users: int = USERS,
    seconds: int = SECONDS,
    hold: float = HOLD,
    loop: str = "uvloop",
) -> dict[str, float | int | str]:
    """Serve, press for some seconds, read Locust's own CSV."""
    app_core, locust_core = pinned_cores()
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    (folder / "plain.py").write_text(LOCUSTFILE.format(hold), encoding="utf-8")
    serve = (
        f"-m uvicorn targets.app:app --port {port} --loop {loop} --no-access-log --log-level"
        " warning"
    )
    press = (
        f"-m locust -f plain.py --host {url} --headless -u {users} -r {users} -t {seconds}s --csv"
        " table --only-summary"
    )
    quiet = {"folder": folder, "stdin": subprocess.DEVNULL, "stdout": None}
    with supervised_process(
        [sys.executable, *serve.split(), "--app-dir", str(PACKAGE_ROOT)],
        env=child_env(),
        core=app_core,
        **quiet,  # type: ignore[arg-type]
    ) as app:
        wait_until_ready(
            app, url, "/noop/async", RunLog.from_here(folder / "log.txt"), lambda: None
        )
        service = httpx.get(f"{url}/broken-async?seconds={hold}").elapsed.total_seconds()
        with supervised_process(
            [sys.executable, *press.split()],
            env=locust_env(folder),
            core=locust_core,
            **quiet,  # type: ignore[arg-type]
        ) as locust:
            locust.wait(60)
    with (folder / "table_stats.csv").open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
    rate, mean = float(row["Requests/s"]), float(row["Average Response Time"]) / 1000
    return {
        "users": users,
        "hold_s": hold,
        "seconds": seconds,
        "loop": f"uvloop {metadata.version('uvloop')}" if loop == "uvloop" else loop,
        "locust": metadata.version("locust"),
        "service_s": service,
        "rps": rate,
        "mean_s": mean,
        "p50_s": float(row["50%"]) / 1000,
        "p99_s": float(row["99%"]) / 1000,
        "users_explained": rate * mean,
        "unexplained": 1 - rate * mean / users,
    }


def main() -> None:
    """Measure once; print, and store where asked."""
    with tempfile.TemporaryDirectory() as folder:
        document = json.dumps(measure(Path(folder)), indent=1)
    print(document)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(document + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
