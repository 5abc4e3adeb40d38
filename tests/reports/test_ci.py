"""What a pipeline is shown: step summary, annotations and JUnit, also with hostile names."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from reports.gates.evaluate import evaluate_gates
from reports.render.ci import (
    CUT_NOTICE,
    MAX_SUMMARY_BYTES,
    create_annotations,
    report_to_ci,
    step_summary,
)
from reports.render.junit import TRUST_CASE_NAME, build_junit
from results.judgement.culprit import source_roots
from results.run_info import AppInfo
from tests.support.summary_factory import CHECKOUT, NOTES, arrivals, crowd, route, run

HOSTILE = (
    "GET /a|b`c`<script>alert(1)</script>&amp;*x*_y_[z](//e.x)![i](j)::error::%0A\r\n"
    "::stop-commands::t,u:v\x1b[31m\x00\ufffe\u202e\ud800~"
)
SLEEP = {
    "file": "shop/main.py",
    "line": 42,
    "function": "search",
    "call": "time.sleep",
    "share": 0.98,
}
BLOCKED: dict[str, Any] = {
    "verdict": "loop-blocked",
    "served_at_once": 1.0,
    "hold_s": 0.1,
    "remedy": "Await it:\n100 % of it.",
    "blame": [SLEEP],
}
FREE: dict[str, Any] = {
    "served_at_once": 64.0,
    "capacity_rps": 640.0,
    "is_bound": True,
    "nothing_queues": True,
}
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(Path.cwd())}
CHECK = {
    "id": "V3",
    "name": "lateness",
    "cell": "*",
    "value": 1.0,
    "pass_limit": 0.1,
    "fail_limit": 0.5,
    "why": "a <b> tag",
    "remedy": "",
}


def judged(*routes: dict[str, Any], gates: tuple[str, ...] = (), **facts: Any) -> dict[str, Any]:
    """A run with its gates judged."""
    data = run(*routes, **facts)
    return {**data, "gates": evaluate_gates(gates, data)}


def read(text: str) -> tuple[list[list[str]], set[str]]:
    """All table rows of a Markdown text as rendered, and every tag in it, raw HTML included."""
    html = MarkdownIt("commonmark").enable("table").render(text)
    root = ET.fromstring(f"<x>{html}</x>")  # noqa: S314 - our own
    rows = [["".join(cell.itertext()) for cell in line] for line in root.iter("tr")]
    return rows, {element.tag for element in root.iter()} - {"x"}


def cases(document: bytes) -> dict[str, ET.Element]:
    """The test cases by name."""
    root = ET.fromstring(document)  # noqa: S314 - our own
    return {str(element.get("name")): element for element in root.iter("testcase")}


def state(case: ET.Element) -> str:
    """The outcome of a test case."""
    return next((child.tag for child in case if child.tag in {"failure", "skipped"}), "passed")


def test_the_step_summary_says_the_worst_first() -> None:
    """Headline, gates, routes, guilty line, machine."""
    slow = {"async": {"idle_p90_s": 0.002, "loaded_p90_s": 3.2}}
    few = crowd(64, p99_s=None, completed=312, errors=3)
    routes = (
        route(),
        route("GET /pool", verdict="thread-pool", **FREE),
        route(NOTES, **BLOCKED, neighbours=slow, levels=[crowd(8), few, crowd(64, completed=9)]),
    )
    text = step_summary(
        judged(
            *routes,
            gates=("p99(GET /checkout) < 1ms", "p99 @ 8u < 1s", "verdict(/pool) != loop-busy"),
        )
    )
    rows, _ = read(text)
    assert text.startswith(
        "## atonce&#58; 1 route of 3 holds the event loop\n\n"
        "Run&#58; trusted. Gates&#58; 1 failed, 1 inconclusive, 1 passed."
    )
    assert [row[:2] for row in rows[1:3]] == [
        ["p99(GET /checkout) < 1ms", "fails"],
        ["p99 @ 8u < 1s", "inconclusive"],
    ]
    assert rows[1][2] == "p99(GET /checkout) @ 64u = 200 ms, limit 1.00 ms, over by 19900 %"
    assert [row[0] for row in rows[5:]] == [NOTES, "GET /pool", CHECKOUT]
    assert rows[5][1:] == [
        "loop-blocked",
        "1.00",
        "100 ms",
        "64u",
        "100 ms",
        "n=312",
        "0.95 %",
        "2.00 ms to 3.20 s",
    ]
    assert [row[2] for row in rows[6:]] == [">= 64", "10"]
    assert (
        "<code>time.sleep</code> at <code>shop/main.py&#58;42</code> (98 % of the time the loop is held)"
        in text
    )
    assert (
        text.index("<code>time.sleep")
        < text.index("Await it&#58; 100 % of it.")
        < text.index("Python 3.11.7")
    )


def test_a_run_without_trust_says_why_and_nothing_else() -> None:
    """No verdict, no number of a route, no accused line anywhere."""
    data = judged(route(**BLOCKED), gates=("p99 < 1ms",), trust="untrusted")
    data["trust"]["checks"] = [
        {**CHECK, "status": "warn"},
        {**CHECK, "status": "fail"},
        {**CHECK, "status": "fail", "finding": True},
    ]
    text = step_summary(data)
    assert "atonce&#58; this run cannot be trusted" in text
    assert [line[2:6] for line in text.splitlines() if line.startswith("- ")] == ["fail", "warn"]
    assert "loop-blocked" not in text
    assert "time.sleep" not in text
    assert "<sub>" in step_summary(run()).split("\n\n")[2]
    assert create_annotations(data, GITHUB) == []


def test_the_step_summary_is_appended_and_cut_at_one_mebibyte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole lines, a notice where it was cut; earlier text counts and stays; no crash."""
    place, data = (
        tmp_path / "summary.md",
        run(*(route(f"GET /{i}/" + "ü" * 500) for i in range(2000))),
    )
    place.write_text("before\n", encoding="utf-8")
    environment = {"GITHUB_STEP_SUMMARY": str(place)}
    report_to_ci(data, environment, as_json=False)
    text = place.read_bytes().decode()
    assert text.startswith("before\n## atonce")
    assert text.endswith("|\n" + CUT_NOTICE)
    assert MAX_SUMMARY_BYTES - 2000 < len(text.encode()) <= MAX_SUMMARY_BYTES
    place.write_bytes(b"." * (MAX_SUMMARY_BYTES - 10))  # too little even for the notice
    report_to_ci(data, environment, as_json=False)
    assert place.stat().st_size == MAX_SUMMARY_BYTES - 10
    report_to_ci(run(route()), {"GITHUB_STEP_SUMMARY": str(tmp_path)}, as_json=False)
    assert "the step summary cannot be written" in capsys.readouterr().err
    report_to_ci(run(route()), {}, as_json=False)
    assert sorted(tmp_path.iterdir()) == [place]


def test_annotations_stand_on_the_guilty_lines() -> None:
    """The frame with the largest share, worst first; none outside GitHub, none for what scales."""
    lesser = {**SLEEP, "line": 7, "share": 0.01}
    blocked = route(NOTES, **{**BLOCKED, "blame": [lesser, SLEEP]}, sentence="It serves 1.")
    pool, wrong = (
        route("GET /pool", verdict="pool-limited"),
        route("GET /w", verdict="wrong-answer", sentence="50 % wrong."),
    )
    pool["blame"] = [{**SLEEP, "file": "pool.py", "call": "engine.connect"}]
    gil = route("GET /gil", verdict="gil-bound", file="gil.py", line=7)
    data = run(route(file="x.py", line=1), pool, wrong, blocked, gil)
    annotations = create_annotations(data, GITHUB)
    assert annotations == [
        (
            "::error file=shop/main.py,line=42,title=Blocks the event loop::time.sleep holds the "
            "event loop for 100 ms per request. It serves 1.%0AAwait it:%0A100 %25 of it."
        ),
        "::error title=Answers wrongly::50 %25 wrong.",
        (
            "::warning file=gil.py,line=7,title=Computes in threads that share the GIL::"
            "GET /gil serves 10 at once."
        ),
        "::warning file=pool.py,line=42,title=Queues for a pool::GET /pool serves 10 at once.",
    ]
    assert (
        create_annotations(data, {}) == create_annotations(data, {"GITHUB_ACTIONS": "false"}) == []
    )


def test_an_annotation_stands_where_most_requests_wait() -> None:
    """The first with a line where they do not run; a culprit comes before it."""
    waits = [
        {"file": "", "line": 0, "what": "limiter", "count": 56.0},
        {"file": "main.py", "line": 9, "what": "running", "count": 9.0},
        {"file": "billing.py", "line": 33, "what": "thread", "count": 8.0},
        {"file": "main.py", "line": 5, "what": "socket", "count": 1.0},
    ]
    pool = route("GET /pool", verdict="thread-pool", file="main.py", line=1)
    (known,) = create_annotations(run({**pool, "waits": waits}), GITHUB)
    assert "file=billing.py,line=33," in known
    (unknown,) = create_annotations(run({**pool, "waits": waits[:2]}), GITHUB)
    assert "file=main.py,line=1," in unknown
    (blamed,) = create_annotations(run({**pool, "waits": waits, "blame": [SLEEP]}), GITHUB)
    assert "file=shop/main.py,line=42," in blamed


def test_annotations_name_files_as_the_checkout_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative to the workspace, else to the current folder; other files keep their whole path."""
    (tmp_path / "api").mkdir()
    monkeypatch.chdir(tmp_path / "api")

    def file(path: str, **environment: str) -> str:
        data = run(route(**{**BLOCKED, "blame": [{**SLEEP, "file": path}]}))
        return (
            create_annotations(data, {"GITHUB_ACTIONS": "true", **environment})[0]
            .partition("file=")[2]
            .partition(",")[0]
        )

    here = str(tmp_path)
    assert file("main.py", GITHUB_WORKSPACE=here) == "api/main.py"
    assert file(f"{here}/api/../lib/x.py", GITHUB_WORKSPACE=here) == "lib/x.py"
    assert file(f"{here}/api/main.py") == "main.py"
    assert file("/usr/lib/x.py", GITHUB_WORKSPACE=here) == "/usr/lib/x.py"


def test_annotations_find_an_app_that_lies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --app-dir ../backend the report names files from there; the repository has its root."""
    for folder in ("repo/.git", "repo/ci", "repo/backend/routers", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    for name in (
        "repo/backend/main.py",
        "repo/backend/routers/x.py",
        "repo/ci/main.py",
        "elsewhere/y.py",
    ):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "repo" / "ci")

    def file(path: str, home: str, **environment: str) -> str:
        data = run(route(**{**BLOCKED, "blame": [{**SLEEP, "file": path}]}))
        roots = source_roots(AppInfo(cwd=str(tmp_path / "repo" / "ci"), home=str(tmp_path / home)))
        annotations = create_annotations(data, {"GITHUB_ACTIONS": "true", **environment}, roots)
        return annotations[0].partition("file=")[2].partition(",")[0]

    assert file("routers/x.py", "repo/backend") == "backend/routers/x.py"
    assert (
        file("routers/x.py", "repo/backend", GITHUB_WORKSPACE=str(tmp_path))
        == "repo/backend/routers/x.py"
    )
    # files of this folder come first
    assert file("main.py", "repo/backend") == "ci/main.py"
    assert file("y.py", "elsewhere") == str(tmp_path / "elsewhere" / "y.py")


def test_at_most_ten_annotations_of_each_kind() -> None:
    """The rest would be dropped silently, so the worst come first: those that serve fewest."""
    bad = [
        route(f"GET /{i}", **{**BLOCKED, "capacity_rps": float(i)}, sentence=f"s{i}.")
        for i in reversed(range(14))
    ]
    pools = [route(f"GET /p{i}", verdict="thread-pool") for i in range(14)]
    annotations = create_annotations(run(*pools, *bad), GITHUB)
    assert [f"s{i}." for i in range(10)] == re.findall(r"s\d+\.(?=%0A)", " ".join(annotations))
    assert [
        sum(annotation.startswith(kind) for annotation in annotations)
        for kind in ("::error", "::warning")
    ] == [
        10,
        10,
    ]


def test_stdout_belongs_to_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Where JSON was asked for, annotations go to stderr, which GitHub reads as well."""
    data = run(route(**BLOCKED))
    report_to_ci(data, GITHUB, as_json=False)
    report_to_ci(data, GITHUB, as_json=True)
    output = capsys.readouterr()
    assert output.out == output.err
    assert output.out.startswith("::error")


def test_junit_has_the_trust_and_one_case_per_gate() -> None:
    """Passed, failed, skipped; inconclusive gates fail the trust case; numbers are properties."""
    gates = ("p99 < 1s", "p99 < 1ms", "p99 @ 8u < 1s")
    routes = (
        route(),
        route(NOTES, levels=[crowd(64, p99_s=None, p99_at_least_s=1.5)], offered=[arrivals(50.0)]),
    )
    document = build_junit(judged(*routes, gates=gates), strict=False)
    by_name = cases(document)
    assert [TRUST_CASE_NAME, *gates] == list(by_name)
    assert [state(case) for case in by_name.values()] == [
        "failure",
        "failure",
        "failure",
        "skipped",
    ]
    assert "over by" in str(by_name["p99 < 1ms"][0].get("message"))
    assert by_name[TRUST_CASE_NAME][0].get("message") == "1 of 3 gates are inconclusive"
    suite = ET.fromstring(document).find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "skipped", "time")] == [
        "4",
        "3",
        "1",
        "12.500",
    ]
    properties = {entry.get("name"): entry.get("value") for entry in suite.iter("property")}
    assert properties[f"{CHECKOUT} p99_s"] == "0.2"
    assert properties[f"{NOTES} errors"] == "0"
    assert f"{NOTES} p99_s" not in properties
    assert len(properties) == 7
    assert document == build_junit(judged(*routes, gates=gates), strict=False)


def test_junit_without_gates_accuses_nobody() -> None:
    """No gate and exit code 0: verdicts stand in the output, unknown routes are skipped."""
    by_name = cases(
        build_junit(
            run(route(), route(NOTES, **BLOCKED), route("GET /u", verdict="unknown")), strict=True
        )
    )
    assert list(by_name) == [TRUST_CASE_NAME, NOTES, "GET /u", CHECKOUT]
    assert [state(case) for case in by_name.values()] == ["passed", "passed", "skipped", "passed"]
    assert str(by_name[NOTES].findtext("system-out")).startswith("loop-blocked: ")


@pytest.mark.parametrize(
    ("facts", "strict", "why"),
    [
        ({"trust": "untrusted"}, False, "the run is untrusted"),
        ({"trust": "suspect"}, True, "the run is suspect"),
        ({"status": "interrupted"}, False, "it is interrupted"),
        ({"missing": [{"cell": "crowd/x/8"}]}, False, "part of the plan was not measured"),
    ],
)
def test_junit_fails_where_the_exit_code_does(
    facts: dict[str, Any], why: str, *, strict: bool
) -> None:
    """A run that is untrusted, not whole, or (when strict) suspect, with the reasons."""
    data = run(route(), **facts)
    data["trust"]["checks"] = [{**CHECK, "status": "fail"}]
    case = cases(build_junit(data, strict=strict))[TRUST_CASE_NAME]
    assert why in str(case[0].get("message"))
    assert case.findtext("system-out") == "lateness, *: a <b> tag"
    assert (
        state(cases(build_junit(run(route(), trust="suspect"), strict=False))[TRUST_CASE_NAME])
        == "passed"
    )


def test_the_strict_see_a_borderline_gate_as_skipped() -> None:
    """As its exit code is 3."""
    data = judged(route(served_at_once_interval=[8.0, 12.0]), gates=("served_at_once >= 9",))
    assert [
        state(cases(build_junit(data, strict=strict))["served_at_once >= 9"])
        for strict in (False, True)
    ] == [
        "passed",
        "skipped",
    ]


def test_a_hostile_name_stays_a_name() -> None:
    """Markdown: a cell without tags; workflow command: a single line; XML: a valid document."""
    blame = [{**SLEEP, "file": HOSTILE, "call": HOSTILE, "function": HOSTILE}]
    bad = route(HOSTILE, **{**BLOCKED, "blame": blame, "sentence": HOSTILE, "remedy": HOSTILE})
    data = judged(bad, gates=("p99 < 1ms", "verdict(/*) != loop-blocked"), status=HOSTILE)
    data["trust"]["checks"] = [{**CHECK, "status": "warn", "why": HOSTILE}]
    seen = HOSTILE.translate({ord(char): " " for char in "\r\n\x1b\x00\ufffe\u202e\ud800"})
    rows, tags = read(step_summary(data))
    assert " ".join(seen.split()) == rows[-1][0]
    assert {len(row) for row in rows[-2:]} == {9}
    assert {
        "h2",
        "p",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "strong",
        "code",
        "sub",
    } == tags
    (line,) = create_annotations(data, GITHUB)
    assert line.isprintable()
    head, _, rest = line.removeprefix("::error ").partition("::")
    assert [part.partition("=")[0] for part in head.split(",")] == ["file", "line", "title"]
    assert "%250A%0D%0A" in rest
    by_name = cases(build_junit({**data, "gates": []}, strict=False))
    assert HOSTILE.translate({ord(char): None for char in "\r\x1b\x00\ufffe\ud800"}) in [
        name.replace("\r", "") for name in by_name
    ]
    assert state(cases(build_junit(data, strict=False))["p99 < 1ms"]) == "failure"
