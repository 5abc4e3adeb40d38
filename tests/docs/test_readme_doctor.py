"""What README.md and docs/ say of `atonce doctor` is true: verdicts, remedies, commands, keys."""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import yaml

from reports.model import Report
from reports.render.summary import build_summary
from reports.verdicts.diagnosis import examined_findings
from results.gate_expression import LEVEL_METRICS, METRICS, parse_gate
from results.verdicts import Verdict
from tests.e2e.test_doctor import running
from tests.support.cli import Here
from tests.support.documents import ALL_COMMANDS, DOCUMENTS, README, code_blocks
from tests.support.processes import free_port
from tests.targets.test_antipatterns import WARD_TRUTH

SHOP = """
from fastapi import FastAPI
app = FastAPI()
@app.post("/search")
async def search(words: dict[str, str]): return words
@app.get("/search")
async def find(): return []
@app.get("/items/{item_id}")
async def item(item_id: int): return item_id
"""


def test_every_mistake_of_the_app_was_found_and_every_fix_scales(example: Report) -> None:
    """Each route is what it was written to be."""
    verdicts = {finding.route.route: finding.verdict for finding in example.findings}
    assert verdicts == WARD_TRUTH
    assert all(route["file"] and route["line"] for route in build_summary(example)["routes"])
    assert example.trust.trust_level in {"trusted", "suspect"}
    sure = {
        finding.route.route: finding.diagnosis.confidence
        for finding in example.findings
        if finding.diagnosis
    }
    assert sure["GET /dose/forgotten"] == "sure: its own answers show it"  # it was never loaded


def test_what_each_remedy_promises_its_twin_reached_in_the_same_run(example: Report) -> None:
    """The twin keeps the wait of 64 users, the rate of a core, or the absence of the work.

    Half as much more is allowed.
    """
    routes = {finding.route.route: finding.route for finding in example.findings}
    remedies = [
        diagnosis.remedy
        for finding, diagnosis in examined_findings(example.findings)
        if diagnosis.remedy and finding.verdict is not Verdict.WRONG_ANSWER
    ]
    mistakes = [
        verdict
        for verdict in WARD_TRUTH.values()
        if verdict not in {Verdict.SCALES, Verdict.WRONG_ANSWER}
    ]
    assert len(remedies) == len(mistakes)
    for remedy in remedies:
        alone, *_, crowd = routes[remedy.twin].median_levels
        assert (alone.users, crowd.users) == (1, 64)
        if match := re.match(
            r"64 users are answered in little more than (\S+) ms each", remedy.expect
        ):
            assert crowd.mean.low * 1000 < 1.5 * float(match[1]), remedy.twin
        elif match := re.match(
            r"About (\S+) requests/s for each core .* this app ran on 1 core", remedy.expect
        ):
            assert crowd.throughput > float(match[1]) / 1.5, remedy.twin
        else:
            match = re.match(
                r"(?:Saves|1 core /) (\S+) ms of (?:work|CPU) per request", remedy.expect
            )
            assert match, remedy.expect
            assert alone.mean.low * 1000 < float(match[1]) / 10, remedy.twin
        if match := re.search(
            r"a plain `def` is enough: up to 40 at once, about (\S+) ms each", remedy.expect
        ):
            assert routes["GET /insurance/threads"].median_levels[-1].mean.low * 1000 < 1.5 * float(
                match[1]
            )


def test_settings_are_known(here: Here) -> None:
    """Each key of every TOML block is a flag of the doctor, or its target; gates are valid."""
    known = here("doctor", "--help").stdout
    for text in DOCUMENTS.values():
        for block in code_blocks(text, "toml"):
            settings = tomllib.loads(block)["tool"]["atonce"]
            assert [key for key in set(settings) - {"target"} if f"--{key} " not in known] == []
            gates = settings.get("gate", [])
            assert [parse_gate(gate).expression for gate in gates] == gates


def test_the_workflow_is_readable() -> None:
    """YAML whose command exists; the README quotes two of its steps."""
    (block,) = code_blocks(DOCUMENTS["docs/ci.md"], "yaml")
    flow = yaml.safe_load(block)
    assert flow[True] == ["push", "pull_request"]  # YAML 1.1 reads `on` so
    (job,) = flow["jobs"].values()
    runs = [step.get("run", "") for step in job["steps"]]
    assert "atonce doctor --python .venv --junit atonce.xml" in runs
    assert set(re.findall(r"\$(\w+)", block)) <= set(flow["env"])
    assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    assert job["runs-on"]
    (quoted,) = code_blocks(README, "yaml")
    assert {step["run"] for step in yaml.safe_load(quoted)} <= set(runs)


def test_metrics_of_gates_are_those_of_the_code() -> None:
    """Each metric has a row, which says whether it can have a level."""
    rows = re.findall(r"^\| (`.*?`) \|.*?\| (no|yes) \|", DOCUMENTS["docs/ci.md"], re.MULTILINE)
    levels = {name: level for names, level in rows for name in re.findall(r"`([^`]+)`", names)}
    assert levels == {name: "yes" if name in LEVEL_METRICS else "no" for name in METRICS}


def test_verdicts_of_the_method_are_those_of_the_code() -> None:
    """Each code has a row."""
    _, text = DOCUMENTS["docs/method.md"].split("## Neighbours and verdicts")
    rows = re.findall(r"^\| `([a-z-]+)` \|", text.partition("\n## ")[0], re.MULTILINE)
    assert sorted(rows) == sorted(Verdict)


def test_the_doctors_commands_run(tmp_path: Path, here: Here) -> None:
    """Each command for an app of one's own, with --dry-run, on a small shop, served for a URL."""
    home = tmp_path / "shop"
    home.mkdir()
    (home / "__init__.py").touch()
    for name in ("main.py", "shop.py"):
        (home / name).write_text(SHOP, encoding="utf-8")
    (tmp_path / "query.json").write_text('{"q": "x"}', encoding="utf-8")
    commands = [
        command
        for command in ALL_COMMANDS
        if command.startswith("atonce doctor ") and "antipatterns" not in command
    ]
    assert len(commands) == 7
    with running(home) as url:
        for command in commands:
            port = free_port()
            start = f"{sys.executable} -m uvicorn shop.main:app --port {port}"
            line = command.replace(
                "http://127.0.0.1:8000", f"http://127.0.0.1:{port}" if "--start" in command else url
            )
            words = [start if word == "make run" else word for word in shlex.split(line)[1:]]
            shown = here(*words, *([] if "--dry-run" in words else ["--dry-run"]), cwd=tmp_path)
            assert (shown.returncode, "requested as /" in shown.stdout) == (0, True), (
                command,
                shown.stderr,
            )
