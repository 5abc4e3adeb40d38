"""What the README says of `atonce doctor` is true.

Its commands run; its table and its finding are those of the stored run.
"""

import re
import shlex
import sys
import tomllib
from io import StringIO
from pathlib import Path

import yaml
from rich.console import Console

from reports.model import Report
from reports.render.summary import build_summary
from reports.render.terminal import print_report
from reports.verdicts.diagnosis import examined_findings
from results.verdicts import Verdict
from tests.e2e.test_doctor import running
from tests.support.cli import Here
from tests.support.processes import ROOT, free_port
from tests.targets.test_antipatterns import WARD_TRUTH

README = (ROOT / "README.md").read_text(encoding="utf-8")
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


def printed(example: Report) -> list[str]:
    """What the terminal shows of it."""
    out = StringIO()
    print_report(example, Console(file=out, width=140))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_table_and_the_finding_are_those_of_the_stored_run(example: Report) -> None:
    """Word for word, but for blanks at the ends of lines."""
    section = README.partition("## Your own app")[2].partition("\n## ")[0]
    blocks = re.findall(r"```text\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 2
    lines = printed(example)
    for block in blocks:
        for line in block.splitlines():
            assert line.rstrip() in lines


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
    assert len(remedies) == 14
    for remedy in remedies:
        alone, *_, crowd = routes[remedy.twin].median_levels
        assert (alone.users, crowd.users) == (1, 64)
        if match := re.match(
            r"64 users are answered in little more than (\S+) ms each", remedy.expect
        ):
            assert crowd.mean.low * 1000 < 1.5 * float(match[1]), remedy.twin
        elif match := re.match(
            r"About (\S+) requests/s for each core .* the app had 1 core here", remedy.expect
        ):
            assert crowd.throughput > float(match[1]) / 1.5, remedy.twin
        else:
            match = re.match(r"Saves (\S+) ms of work per request", remedy.expect)
            assert match, remedy.expect
            assert alone.mean.low * 1000 < float(match[1]) / 10, remedy.twin
        if match := re.search(
            r"a plain `def` is enough: up to 40 at once, about (\S+) ms each", remedy.expect
        ):
            assert routes["GET /insurance/threads"].median_levels[-1].mean.low * 1000 < 1.5 * float(
                match[1]
            )


def test_how_often_it_is_right_is_what_the_table_says() -> None:
    """The figures of the corpus, from the last column of its scores."""
    stored = (ROOT / "tests" / "corpus" / "scores.md").read_text(encoding="utf-8")
    score = dict(re.findall(r"^\| ([a-z][^|]+?) \|.*\| (\d+ of \d+) \|$", stored, re.MULTILINE))
    match = re.search(
        r"it found (\d+ of \d+) routes that hold the loop, "
        r"named (\d+ of \d+) guilty lines, and accused (\d+ of \d+)",
        README,
    )
    assert match
    assert list(match.groups()) == [
        score[name]
        for name in ("loop-holding routes found", "guilty lines right", "healthy routes accused")
    ]


def test_the_settings_and_the_workflow_are_readable() -> None:
    """TOML that the command knows; YAML whose command exists."""
    text = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert text
    assert set(tomllib.loads(text[1])["tool"]["atonce"]) <= {"target", "gate"}
    text = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert text
    flow = yaml.safe_load(text[1])
    assert flow[True] == ["push", "pull_request"]  # YAML 1.1 reads `on` so
    (job,) = flow["jobs"].values()
    runs = [step.get("run", "") for step in job["steps"]]
    assert "atonce doctor --python .venv --junit atonce.xml" in runs
    assert set(re.findall(r"\$(\w+)", text[1])) <= set(flow["env"])
    assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    assert job["runs-on"]


def test_the_doctors_commands_run(tmp_path: Path, here: Here) -> None:
    """Each command of its table, with --dry-run, on a small shop, which is served for a URL."""
    home = tmp_path / "shop"
    home.mkdir()
    (home / "__init__.py").touch()
    for name in ("main.py", "shop.py"):
        (home / name).write_text(SHOP, encoding="utf-8")
    (tmp_path / "query.json").write_text('{"q": "x"}', encoding="utf-8")
    commands = re.findall(r"^\| `(atonce doctor [^|]+)` \|", README, re.MULTILINE)
    assert len(commands) == 6
    with running(home) as url:
        for command in commands:
            port = free_port()
            start = f"{sys.executable} -m uvicorn shop.main:app --port {port}"
            line = command.replace(
                "http://127.0.0.1:8000", f"http://127.0.0.1:{port}" if "--start" in command else url
            )
            words = [start if word == "make run" else word for word in shlex.split(line)[1:]]
            shown = here(*words, *([] if "--dry-run" in words else ["--dry-run"]), cwd=tmp_path)
            assert (shown.returncode, "asked as /" in shown.stdout) == (0, True), (
                command,
                shown.stderr,
            )
