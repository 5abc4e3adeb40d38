"""The doctor's scores: how an examination is compared with the truth; every truth is valid."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import doctor
from benchmarks.doctor import (
    CORPUS,
    HOLDING,
    TEMPLATE,
    Row,
    asked,
    compare,
    kept,
    load,
    main,
    report,
    scores,
    table,
    waits_named,
)
from reports.model import Report
from results.verdicts import Verdict

GUILTY = {"file": "shop/clients.py", "text": "time.sleep(", "line": 7}
TRUTH = {
    "route": "GET /x",
    "verdict": "loop-blocked",
    "served": [0.9, 1.2],
    "guilty": GUILTY,
    "why": "sleeps",
}
BLOCKED_ROUTE = {"route": "GET /x", "verdict": "loop-blocked", "served_at_once": 1.01}
LINE = {"file": "/home/me/shop/clients.py", "line": 7}


def seen(*blame: dict[str, Any], **other: object) -> Row:
    """Compare a blocking route that was reported like this."""
    return compare("shop", TRUTH, {"routes": [{**BLOCKED_ROUTE, "blame": list(blame), **other}]})


def test_a_route_that_is_said_as_it_is_is_right_in_all_columns() -> None:
    """Verdict, bounds and line are judged separately."""
    row = seen(LINE)
    assert (row.right, row.served_right, row.guilty_right) == (True, True, True)
    off = seen(LINE, verdict="loop-busy", served_at_once=1.3)
    assert (off.right, off.served_right, off.guilty_right) == (False, False, True)


@pytest.mark.parametrize(
    "blame",
    [
        [],
        [{**LINE, "line": 8}],
        [{**LINE, "file": "clients.py"}],
        [{**LINE, "file": "/home/workshop/clients.py"}],
        [{**LINE, "line": 8}, LINE],
    ],
)
def test_the_first_that_is_blamed_must_be_the_guilty_line(blame: list[dict[str, Any]]) -> None:
    """Another line, another file, a name that ends alike, or a second place are not it."""
    assert seen(*blame).guilty_right is False


@pytest.mark.parametrize(
    ("route", "word", "said", "right"),
    [
        (
            "GET /x",
            "stream",
            {"routes": [], "skipped": [{"route": "GET /x", "why": "a Stream that does not end"}]},
            True,
        ),
        (
            "GET /x",
            "stream",
            {"routes": [], "skipped": [{"route": "GET /x", "why": "it answered 500"}]},
            False,
        ),
        (
            "GET /x",
            "stream",
            {"routes": [], "skipped": [{"route": "HEAD /x", "why": "a stream"}]},
            False,
        ),
        ("GET /x", "stream", {"routes": [BLOCKED_ROUTE], "skipped": []}, False),
        ("GET /x", "stream", {}, False),
        (
            "GET /x",
            "fill|422",
            {"routes": [], "skipped": [{"route": "GET /x", "why": "it answered 422"}]},
            True,
        ),
        ("POST /x", "", {"routes": [BLOCKED_ROUTE]}, True),
        ("POST /x", "", {}, False),
        ("POST /x", "", {"routes": [{**BLOCKED_ROUTE, "route": "POST /x"}]}, False),
        (
            "WEBSOCKET /x",
            "websocket",
            {"routes": [], "skipped": [{"route": "GET /x", "why": "a WebSocket"}]},
            True,
        ),
    ],
)
def test_a_skipped_route_needs_its_reason(
    route: str,
    word: str,
    said: dict[str, Any],
    right: bool,  # noqa: FBT001 - a column
) -> None:
    """It must not be measured, and the reason must be right; an optional route may be absent."""
    assert right == compare("shop", {"route": route, "skipped": word}, said).right


def test_scores_count_found_accused_and_given_up_apart() -> None:
    """An unknown route is not accused; a blocked route called busy is detected, but wrong."""
    rows = [
        seen(LINE),
        seen(verdict="loop-busy"),
        seen(verdict="scales"),
        *(
            Row("shop", "GET /y", "scales", verdict, verdict == "scales")
            for verdict in ("scales", "unknown", "missing", "thread-pool")
        ),
        Row("shop", "GET /z", "thread-pool", "pool-limited", right=False),
        Row("shop", "WEBSOCKET /w", "skipped", "skipped", right=True),
    ]
    expected = {
        "loop-holding routes found": (2, 3),
        "of these, waiting told from computing": (1, 3),
        "guilty lines right": (1, 3),
        "waiting lines right": (0, 0),
        "sizes of pools right, or not known": (0, 0),
        "healthy routes accused": (1, 4),
        "healthy routes cleared": (1, 4),
        "other verdicts right": (0, 1),
        "skipped for the right reason": (1, 1),
        "served at once within its bounds": (3, 3),
    }
    assert expected == {name: (hits, total) for name, hits, total in scores(rows)}


@pytest.mark.parametrize(
    ("first", "size", "expected"),
    [
        ({"file": "/app/db.py", "line": 12}, 10, (True, True)),
        ({"file": "/app/db.py", "line": 12}, 5, (True, False)),
        ({"file": "/app/db.py", "line": 12}, None, (True, True)),
        ({"file": "/app/db.py", "line": 13}, 10, (False, True)),
        ({"file": "", "line": 0}, 10, (False, True)),
        ({"file": "/app/db.py", "line": 12, "what": "running"}, 10, (False, True)),
    ],
)
def test_the_line_at_which_most_wait_must_be_a_true_one(
    first: dict[str, Any], size: int | None, expected: tuple[bool, bool]
) -> None:
    """A size that was not read is no fault; another size is."""
    truth = {"lines": [{"file": "db.py", "line": 12}], "size": 10, "kind": "pool"}
    waits = [{"what": "pool", "count": 54.0, "size": size, **first}]
    assert waits_named(waits, truth) == expected
    assert waits_named(waits, {}) == (None, None)


def test_the_table_has_one_line_per_route_and_shows_what_differed() -> None:
    """Three examinations share a line; a wrong verdict stands out, with the line that was named."""
    lines = table(
        [seen(LINE), seen({**LINE, "line": 9}, verdict="unknown", served_at_once=None), seen(LINE)]
    ).splitlines()
    assert len(lines) == 3
    assert "| shop | `GET /x` | loop-blocked | loop-blocked x2, **unknown** x1" in lines[2]
    assert lines[2].endswith("| 1.01, -, 1.01 | 2 of 3: /home/me/shop/clients.py:9 |")


def test_an_app_that_was_not_examined_has_only_missing_routes() -> None:
    """No summary is no verdict, and no accusation."""
    row = compare("shop", TRUTH, {})
    assert (row.verdict, row.right, row.served_right, row.guilty_right) == (
        "missing",
        False,
        False,
        False,
    )


def test_what_was_kept_is_judged_again(
    example: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By today's rules, without measuring; an examination that left no run has none."""
    run = tmp_path / "ward-whole-1" / "20260101T000000Z-doctor"
    run.mkdir(parents=True)
    assert kept(run.parent) == ({}, 0.0, "no run was kept")
    (run / "run.json").touch()
    monkeypatch.setattr(doctor, "build_report", {run: example}.__getitem__)
    summary, seconds, trouble = kept(run.parent)
    assert (len(summary["routes"]), round(seconds), trouble) == (
        33,
        round(example.run_metrics.run.seconds or 0),
        "",
    )


def test_repetitions_of_healthy_routes_share_the_table_with_the_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Three marks for a healthy route, a single mark for others; the text of the template stays."""
    for name in ("clinic-whole-1", "clinic-healthy-1", "clinic-healthy-2", "shop-whole-1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    truth = load(CORPUS / "clinic")
    summary = {
        "routes": [
            {**BLOCKED_ROUTE, **route, "served_at_once": 2.0}
            for route in asked(truth, healthy=True)
        ]
    }
    monkeypatch.setattr(doctor, "kept", lambda _: (summary, 1.0, ""))
    monkeypatch.setattr(
        "sys.argv",
        [
            "x",
            "--judge",
            str(tmp_path / "runs"),
            "--apps",
            "clinic",
            "--out",
            str(tmp_path / "out.md"),
        ],
    )
    main()
    text = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert "| clinic | `GET /doctors` | scales | scales | 2, 2, 2 |" in text
    assert "| clinic | `GET /appointments` | pool-limited | **missing** | - |" in text
    assert "| healthy routes cleared | 12 of 30 | 15 of 16 | 6 of 6 |" in text
    assert "shop" not in text


def test_the_template_has_a_place_for_every_score() -> None:
    """And the stored table was made from it."""
    filled = report([Row("shop", "GET /y", "scales", "scales", right=True)])
    for name, _, _ in scores([]):
        assert f"| {name} | " in filled
    assert "| loop-holding routes found | 22 of 27 | 12 of 14 | - |" in filled
    words = TEMPLATE.read_text(encoding="utf-8").partition("| loop-holding")[0].splitlines()
    assert words[0] in (CORPUS / "scores.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "folder",
    [path.parent for path in sorted(CORPUS.glob("*/truth.json"))],
    ids=lambda path: path.name,
)
def test_every_truth_is_well_formed(folder: Path) -> None:
    """Known verdicts, ordered bounds, a guilty text on exactly 1 line, no route twice."""
    truth = load(folder)  # refuses a guilty text that is not on exactly 1 line
    assert {"app", "args", "routes"} == set(truth) - {"untouched"}
    assert len(truth["routes"]) == len({route["route"] for route in truth["routes"]})
    for route in truth["routes"]:
        if "skipped" in route:
            assert {"route", "skipped"} == set(route) - {"why"}
            continue
        assert {"route", "verdict", "served", "guilty", "why"} == set(route) - {"waits"}
        assert route["verdict"] in set(Verdict)
        # the framework may hold the loop, with no line of the app
        assert route["verdict"] in HOLDING or not route["guilty"]
        assert route["served"] is None or route["served"] == sorted(route["served"])


def test_a_third_of_the_corpus_is_healthy() -> None:
    """An examiner that accuses every route must not score well."""
    routes = [
        route
        for path in CORPUS.glob("*/truth.json")
        for route in load(path.parent)["routes"]
        if "verdict" in route
    ]
    assert len(routes) <= 3 * sum(route["verdict"] == "scales" for route in routes)
