"""The README is true: commands run, figures come from the stored run, the map fits the tree."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from reports.claims import CLAIMS, ClaimOutcome
from reports.formatting import format_number, format_seconds, format_share
from reports.model import Report
from reports.render.decision_guide import build_guide
from reports.render.terminal import print_report
from reports.report import build_report
from tests.support.cli import Here
from tests.support.guide_table import markdown
from tests.support.processes import MARK, free_port, gone_within, new_mark, wait_for_server

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "results" / "example"
SHELL = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.strip().splitlines()
]

# Each command of the README, and the test that executes it.
# `.ci/run` executes the first two halves word for word.
EXECUTED = {
    "pip install -e . && atonce reproduce": (
        "test_reproduce.py, after the install that .ci/run makes"
    ),
    "pip install -e '.[test]' && pytest": ".ci/run",
    "uv run atonce reproduce": "test_uv_runs_both_commands",
    "uv run --extra test pytest": "test_uv_runs_both_commands",
    "locust -f scenarios/crowd.py --host http://127.0.0.1:8002 -u 50 -t 20s --headless": (
        "test_plain_locust_as_the_readme_types_it"
    ),
    "locust -f scenarios/steady.py --host http://127.0.0.1:8002 --atonce-rate 15/s -t 20s "
    "--headless --processes 2": "the same",
    "atonce report": "the same",
    "atonce doctor targets.antipatterns:app": (
        "test_readme_doctor.py: the stored run of the ward; test_doctor.py examines others"
    ),
    "uvicorn targets.app:app --port 8002": "test_the_lessons_shell_session",
    "curl 'localhost:8002/sleep?seconds=1'": "test_the_lessons_shell_session",
    "time curl localhost:8002/concurrent": "test_the_lessons_shell_session",
}


@pytest.fixture(scope="module")
def example() -> Report:
    """The stored run that the README quotes."""
    return build_report(EXAMPLE)


def test_the_readme_is_short_and_every_command_is_executed_somewhere() -> None:
    """At most 245 lines; a new command needs a test."""
    assert README.count("\n") <= 245
    assert set(EXECUTED) == set(SHELL)


def test_the_table_is_what_the_example_prints(example: Report) -> None:
    """Word for word, but for blanks at the ends of lines."""
    out = StringIO()
    print_report(example, Console(file=out, width=140))
    printed = [line.rstrip() for line in out.getvalue().splitlines()]
    block = re.search(r"```text\n(route .*?)```", README, re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        assert line in printed
    explained = re.findall(r"\*\*(n=\d+)\*\*", README)
    assert explained
    assert all(mark in block[1].split() for mark in explained)


def test_the_guide_is_that_of_the_example_and_no_statement_is_left_untested(
    example: Report,
) -> None:
    """The table word for word; all that the lesson states has a verdict from this run."""
    assert f"\n{markdown(build_guide(example))}\n" in README
    outcomes = {tested.claim.id: tested.result.outcome for tested in example.claims}
    assert set(outcomes) == {claim.id for claim in CLAIMS}
    assert not {
        name
        for name, outcome in outcomes.items()
        if outcome in {ClaimOutcome.UNTESTED, ClaimOutcome.REFUTED}
    }


def test_the_figures_in_the_text_are_those_of_the_example(example: Report) -> None:
    """Each sentence with a number, rebuilt from the stored run."""
    broken = next(
        finding.route for finding in example.findings if finding.route.variant == "broken-async"
    )
    top, beside = broken.top_level, broken.neighbours["async"]
    assert top
    assert broken.unloaded_mean
    assert beside.idle
    assert beside.loaded
    assert (
        f"({format_number(top.throughput)} req/s x {format_seconds(broken.unloaded_mean)} = "
        f"{format_number(broken.served_at_once or 0)})" in README
    )
    assert (
        f"with {top.users} users the blocking route takes {format_seconds(top.mean.low)}, "
        f"{format_share(1 - broken.unloaded_mean / top.mean.low)} of it" in README
    )
    assert f"the app's median says {format_seconds(top.app_quantiles['p50'])}" in README
    assert f"which does nothing, has a p90 of {format_seconds(beside.idle.low)}" in README
    assert (
        f"went from {format_seconds(beside.idle.low)} to {format_seconds(beside.loaded.low)}"
        in README
    )
    assert (
        f"{top.users} x {format_seconds(broken.unloaded_mean)} = "
        f"{format_seconds(top.predicted_mean)}; it was {format_seconds(top.mean.low)}" in README
    )
    identities: list[float] = []
    for finding in example.findings:
        levels = finding.route.levels
        identities += [abs(level.little.identity) for level in levels if level.little]
    assert f"here {format_share(max(identities))} at most" in README
    plain = json.loads((EXAMPLE / "plain-locust.json").read_text(encoding="utf-8"))
    assert f"leaves {format_share(plain['unexplained'])} of its users unexplained" in README
    assert f"{format_number(plain['rps'])} req/s x {format_seconds(plain['mean_s'])} = " in README
    assert f"{format_number(plain['users_explained'])} of {plain['users']}" in README


def probes_words() -> str:
    """What the stored benchmark says of the probe."""
    cost = json.loads((EXAMPLE / "probe-cost.json").read_text(encoding="utf-8"))["/noop/async"][
        "cost in throughput"
    ]
    return (
        f"takes {cost['percent']:.1f} % ({cost['low']:.1f} to {cost['high']:.1f}) of the throughput"
    )


def fairness_words(example: Report) -> str:
    """The frozen route on both loops."""
    top_levels = {
        experiment.variant.removeprefix("broken-async "): experiment.top_level
        for experiment in example.run_metrics.experiments
        if experiment.top_level
    }
    waits = {
        name: top.fairness.latency.longest.low for name, top in top_levels.items() if top.fairness
    }
    rates = sorted(top.throughput for name, top in top_levels.items() if top.fairness)
    return (
        f"{top_levels['uvloop cold'].users} users get {format_number(rates[0])} to "
        f"{format_number(rates[-1])} req/s from the same frozen route on either loop. "
        f"The longest wait is {format_seconds(waits['asyncio warm'])} on asyncio, "
        f"{format_seconds(waits['uvloop warm'])} on uvloop, and "
        f"{format_seconds(waits['uvloop cold'])} on uvloop "
        "when the load itself opens the connections."
    )


def selfcheck_words() -> str:
    """How far off the stored self-check was, at most."""
    summary = json.loads(
        (ROOT / "results" / "example-selfcheck" / "report" / "summary.json").read_text(
            encoding="utf-8"
        )
    )
    gates = {gate["expression"]: gate for gate in summary["gates"]}

    def worst(words: str, start: str = "GET /places/") -> str:
        return format_share(
            max(
                abs(gate["off"])
                for name, gate in gates.items()
                if words in name and name.startswith(start)
            )
        )

    holding = sum(gate["holds"] for gate in gates.values())
    frozen = next(gate for name, gate in gates.items() if name.endswith("stopped for 1 s: p99"))
    blind = next(
        gate for name, gate in gates.items() if name.endswith("p99 as a closed loop sees it")
    )
    at_once = [
        format_number(gate["actual"])
        for name, gate in gates.items()
        if "served at once" in name and name.startswith("GET /places/")
    ]
    middle = max(
        abs(gate["off"]) for name, gate in gates.items() if name.endswith(("/s: mean", "/s: p50"))
    )
    return (
        f"{holding} of {len(gates)} goals hold. "
        f"Closed loops: means at most {worst(': mean of ')} off N D / c; "
        f"{', '.join(at_once)} served at once where 1, 6 and 40 is true. "
        "Open loads beside the replay of their own sends: mean and p50 at most "
        f"{format_share(middle)}, p95 at most {worst('/s: p95')} off. "
        f"A server that stood still for 1 s: p99 {format_seconds(frozen['actual'])}, "
        f"replayed {format_seconds(frozen['truth'])}; "
        f"a closed-loop client says {format_seconds(blind['actual'])}."
    )


def test_the_figures_of_trust_are_those_of_the_stored_runs(example: Report) -> None:
    """What the self-check, the frozen route on both loops and the probe's benchmark say.

    Blanks and line ends do not count.
    """
    flat = " ".join(README.split())
    for words in (selfcheck_words(), fairness_words(example), probes_words()):
        assert words in flat


def test_the_example_is_a_trusted_run_whose_report_is_stored_as_rendered(example: Report) -> None:
    """The committed page and pictures are those of the committed samples."""
    assert example.trust.trust_level == "trusted"
    stored = json.loads((EXAMPLE / "report" / "summary.json").read_text(encoding="utf-8"))
    assert [finding.sentence for finding in example.findings] == [
        route["sentence"] for route in stored["routes"]
    ]
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).exists()


def test_every_link_and_every_room_of_the_map_exists() -> None:
    """Relative links lead somewhere; the map names folders that are there."""
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
    block = re.findall(r"```text\n(.*?)```", README, re.DOTALL)[-1]
    for line in block.splitlines():
        assert (ROOT / line.split()[0]).exists(), line


def test_commands_in_the_table_run(
    here: Here, example: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that need no minutes, with the stored run read once.

    `reproduce` runs in test_reproduce.py, `serve` in test_driver.py.
    """
    monkeypatch.setattr(
        "reports.render.output.build_report", {Path("results/example"): example}.__getitem__
    )
    commands: list[str] = []
    for row in re.findall(r"^\| `atonce .*? \|", README, re.MULTILINE):
        commands += re.findall(r"`(atonce (?!doctor)[^`]+)`", row)
    assert len(commands) == 15
    (ROOT / "results").mkdir(exist_ok=True)
    for command in commands:
        words = command.split()[1:]
        extra = (
            ["--dry-run"]
            if words[0] in {"reproduce", "run", "selfcheck", "claims"}
            and not {"--dry-run", "--list"} & set(words)
            else []
        )
        if words[0] != "serve":
            shown = here(*words, *extra, ATONCE_OUT=str(ROOT / "results"))
            assert shown.returncode == 0, shown.stderr


@pytest.mark.slow
def test_the_lessons_shell_session() -> None:
    """Uvicorn and curl as the README types them, on a port that is free."""
    mark, port = new_mark(), str(free_port())
    served, slept, together = (line.replace("8002", port) for line in SHELL[-3:])
    binaries = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    server = subprocess.Popen(
        served.split(),
        cwd=ROOT,
        env={**os.environ, MARK: mark, "PATH": binaries},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}")
        first = subprocess.run(["bash", "-c", slept], capture_output=True, text=True, check=True)
        assert first.stdout == '{"slept":1.0}'
        stamped = re.search(r"`(curl -i [^`]+)`", README)
        assert stamped is not None
        third = subprocess.run(
            ["bash", "-c", stamped[1].replace("8002", port)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "x-atonce-times: " in third.stdout
        began = time.perf_counter()
        second = subprocess.run(
            ["bash", "-c", together], capture_output=True, text=True, check=True
        )
        assert 1.0 <= time.perf_counter() - began < 2.0
        assert second.stdout == '{"statuses":[200,200]}'
    finally:
        server.terminate()
        server.wait(30)
    assert gone_within(mark) == []


@pytest.mark.slow
def test_plain_locust_as_the_readme_types_it(tmp_path: Path) -> None:
    """Word for word, but for port and time: `atonce serve`, two Locusts, a report of each run."""
    mark, port = new_mark(), str(free_port())
    env = {
        **os.environ,
        MARK: mark,
        "ATONCE_OUT": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    server = subprocess.Popen(
        ["atonce", "serve", "--port", port], cwd=ROOT, env=env, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_server(f"http://127.0.0.1:{port}")
        for line in SHELL[5:7]:
            subprocess.run(
                ["bash", "-c", line.replace("8002", port).replace("-t 20s", "-t 8s")],
                cwd=ROOT,
                env=env,
                capture_output=True,
                timeout=120,
                check=True,
            )
            shown = subprocess.run(
                SHELL[7].split(),
                cwd=ROOT,
                env=env,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert shown.returncode in {0, 3}, shown.stderr  # a busy machine may disturb it
            assert "GET /broken-async" in shown.stdout
        assert "15/s poisson" in shown.stdout
        assert "overloaded" in shown.stdout or shown.returncode == 3
    finally:
        server.terminate()
        server.wait(30)
    assert gone_within(mark) == []


@pytest.mark.slow
@pytest.mark.alone
def test_plain_locust_leaves_users_unexplained() -> None:
    """The README's comparison, once more; how many exactly is the stored run's business."""
    assert "`python -m benchmarks.plain_locust`" in README
    command = [sys.executable, "-m", "benchmarks.plain_locust"]
    shown = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=True
    )
    assert 0.1 < json.loads(shown.stdout)["unexplained"] < 1


@pytest.mark.slow
def test_uv_runs_both_commands(tmp_path: Path) -> None:
    """In a copy of the clone with uv's own environment; a flag cuts the long parts short."""
    copy = tmp_path / "clone"
    copy.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    uv = str(Path(sys.executable).parent / "uv")
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in {"VIRTUAL_ENV", "PYTHONPATH"}
    }
    if "PIP_CERT" in env:  # certificates given to pip are meant for uv too
        env.setdefault("SSL_CERT_FILE", env["PIP_CERT"])
    for command, flag, says in (
        ("uv run atonce reproduce", "--dry-run", "nothing was sent"),
        ("uv run --extra test pytest", "tests/reports/test_numbers.py", "passed"),
    ):
        assert command in SHELL
        words = [uv, *command.split()[1:], flag]
        shown = subprocess.run(
            words, cwd=copy, env=env, capture_output=True, text=True, timeout=400, check=False
        )
        assert shown.returncode == 0, shown.stderr[-2000:]
        assert says in shown.stdout
