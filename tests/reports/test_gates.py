"""Whether gates hold, on made-up summaries: null quantiles, bounds, no trust, borderline."""

import json
from dataclasses import asdict, replace
from typing import Any

import jsonschema
import pytest
from msgspec import structs

from reports.gates.evaluate import apply_strict, evaluate_gate, evaluate_gates, gates_exit_code
from reports.model import Report
from reports.render.summary import build_summary
from results.errors import ExitCode
from results.gate_expression import QUANTILE_REQUESTS, parse_gate
from tests.reports.test_report import SCHEMA
from tests.support.summary_factory import CHECKOUT, arrivals, crowd, route, run

SLOW_LOOP = {
    "async": {"idle_p90_s": 0.002, "loaded_p90_s": 0.4},
    "def": {"idle_p90_s": 0.1, "loaded_p90_s": 0.3},
}
LITTLE_KNOWN = {
    "async": {"idle_p90_s": 0.002, "loaded_p90_s": None},
    "def": {"idle_p90_s": 0.1, "loaded_p90_s": None, "loaded_p90_at_least_s": 0.3},
}
FREE: dict[str, Any] = {
    "served_at_once": 64.0,
    "capacity_rps": 640.0,
    "is_bound": True,
    "nothing_queues": True,
}
PAUSED: dict[str, Any] = {
    "service_s": 0.008,
    "served_at_once": 12.0,
    "capacity_rps": 1500.0,
    "is_bound": True,
    "nothing_queues": True,
}
CALM: dict[str, Any] = {"verdict": "unknown", "excluded": ["loop-blocked", "loop-busy"]}
TABLE: list[tuple[str, dict[str, Any], bool | None, Any, str]] = [
    # the levels
    (
        "p99 @ 50/s < 250ms",
        {"offered": [arrivals(50.0, p99_s=0.412)]},
        False,
        0.412,
        "p99(GET /checkout) @ 50/s = 412 ms, limit 250 ms, over by 65 %",
    ),
    ("p99 @ 50/s < 250ms", {}, True, 0.2, "under by 20 %"),
    ("p99 @ 50/s < 200ms", {}, False, 0.2, "limit 200 ms, exactly that"),
    ("p99 @ 50/s <= 200ms", {}, True, 0.2, "exactly that"),
    (
        "p99 @ 16u < 250ms",
        {"levels": [crowd(16, p99_s=0.3), crowd(64)]},
        False,
        0.3,
        "@ 16u = 300 ms",
    ),
    ("p99 < 250ms", {"levels": [crowd(64, p99_s=0.3), crowd(16)]}, False, 0.3, "@ 64u = 300 ms"),
    (
        "p99 < 250ms",
        {"levels": [], "offered": [arrivals(90.0, p99_s=0.3), arrivals(50.0)]},
        False,
        0.3,
        "@ 90/s = 300 ms",
    ),
    (
        "p99 < 250ms",
        {"levels": [crowd(64), crowd(64, repeat=2, p99_s=0.3), crowd(64, repeat=3)]},
        False,
        0.3,
        "300 ms",
    ),
    (
        "p99 < 250ms",
        {"levels": [crowd(64, p99_s=None, completed=312), crowd(64, repeat=2)]},
        True,
        0.2,
        "@ 64u = 200 ms",
    ),
    (
        "p99 < 250ms",
        {"levels": [crowd(64, p99_s=None, completed=312), crowd(64, p99_s=None, completed=9)]},
        None,
        None,
        "312 answers",
    ),
    ("p99 < 250ms", {"levels": [crowd(16, p99_s=0.3)]}, False, 0.3, "@ 16u = 300 ms"),
    ("p99 @ 16/s < 250ms", {}, None, None, "@ 16/s: inconclusive, it was not measured"),
    ("p99 @ 8u < 250ms", {}, None, None, "@ 8u: inconclusive, it was not measured; limit 250 ms"),
    ("p99 < 250ms", {"levels": [], "offered": []}, None, None, "inconclusive, it was not measured"),
    ("p90 < 250ms", {}, None, None, "inconclusive, it was not measured"),
    ("p90 < 250ms", {"levels": [crowd(64, p90_s=0.13)]}, True, 0.13, "= 130 ms"),
    ("rate @ 16u >= 120/s", {}, False, 100.0, "= 100/s, limit 120/s, under by 17 %"),
    ("mean < 1s", {}, True, 0.1, "under by 90 %"),
    ("max <= 200ms", {}, False, 0.3, "over by 50 %"),
    ("waiting < 40%", {"levels": [crowd(64, mean_s=0.2)]}, False, 0.5, "= 50 %, limit 40 %"),
    ("waiting < 40%", {"service_s": None}, None, None, "its unloaded latency was not measured"),
    (
        "waiting > 40%",
        {"levels": [crowd(64, mean_s=None, mean_at_least_s=0.2)]},
        True,
        None,
        "between 50 % and 100 %",
    ),
    ("errors < 1%", {"levels": [crowd(64, errors=500)]}, False, 0.2, "= 20 %"),
    (
        "errors < 1%",
        {"levels": [crowd(64, completed=0, unfinished=0)]},
        None,
        None,
        "it was not measured",
    ),
    ("errors @ 50/s < 1%", {"offered": [arrivals(50.0, errors=500)]}, False, 0.25, "= 25 %"),
    ("dropped @ 50/s <= 0%", {"offered": [arrivals(50.0, refused=500)]}, False, 0.25, "= 25 %"),
    ("dropped @ 50/s <= 0%", {}, True, 0.0, "limit 0"),
    # what is only bounded
    (
        "p99 < 250ms",
        {"levels": [crowd(64, p99_s=None, completed=312)]},
        None,
        None,
        "inconclusive, 312 answers are too few; limit 250 ms",
    ),
    (
        "p99 < 250ms",
        {"levels": [crowd(64, p99_s=None, p99_at_least_s=0.2)]},
        None,
        None,
        ">= 200 ms, limit 250 ms: inconclusive",
    ),
    (
        "p99 < 250ms",
        {"levels": [crowd(64, p99_s=None, p99_at_least_s=0.3)]},
        False,
        None,
        ">= 300 ms, limit 250 ms, over by 20 %",
    ),
    (
        "p99 < 250ms",
        {"levels": [crowd(64, p99_s=None, p99_at_least_s=0.1, p99_at_most_s=0.2)]},
        True,
        None,
        "between 100 ms and 200 ms",
    ),
    ("p99 @ 50/s < 250ms", {"offered": [arrivals(50.0, overloaded=True)]}, None, None, ">= 200 ms"),
    (
        "p99 @ 50/s < 150ms",
        {"offered": [arrivals(50.0, overloaded=True)]},
        False,
        None,
        ">= 200 ms",
    ),
    # a single number per route
    ("served_at_once >= 20", {}, False, 10.0, "= 10, limit 20, under by 50 %"),
    ("served_at_once >= 8", {}, True, 10.0, "over by 25 %"),
    ("served_at_once >= 60", FREE, True, None, ">= 64"),
    ("served_at_once >= 90", FREE, None, None, "inconclusive, no more is known"),
    ("served_at_once > 64", FREE, None, None, "inconclusive, no more is known"),
    ("served_at_once < 90", FREE, None, None, ">= 64"),
    ("served_at_once < 60", FREE, False, None, ">= 64"),
    # the examination itself made the users of a quick route pause
    (
        "served_at_once >= 20",
        PAUSED,
        True,
        None,
        ">= 12, limit 20: nothing queues with 64 users, the largest crowd",
    ),
    ("served_at_once > 11", PAUSED, True, None, ">= 12, limit 11, over by 9"),
    ("served_at_once > 64", PAUSED, None, None, ">= 12, limit 64: inconclusive"),
    ("served_at_once < 20", PAUSED, None, None, "inconclusive, no more is known"),
    ("capacity >= 1400/s", PAUSED, True, None, ">= 1,500/s, limit 1,400/s, over by 7"),
    ("capacity >= 2000/s", PAUSED, None, None, ">= 1,500/s, limit 2,000/s: inconclusive"),
    (
        "served_at_once >= 20",
        {**PAUSED, "is_bound": False},
        False,
        12.0,
        "= 12, limit 20, under by 40 %",
    ),
    # unknown
    (
        "served_at_once >= 20",
        {**PAUSED, "nothing_queues": False},
        None,
        None,
        ">= 12, limit 20: inconclusive",
    ),
    # a summary of an older atonce
    ("served_at_once >= 20", {"is_bound": True}, None, None, ">= 10, limit 20: inconclusive"),
    ("capacity > 900/s", FREE, None, None, ">= 640/s"),
    ("capacity > 90/s", {}, True, 100.0, "= 100/s"),
    ("service_s < 50ms", {}, False, 0.1, "= 100 ms"),
    ("service_s < 150ms", FREE, True, 0.1, "= 100 ms"),
    ("loop_hold < 10ms", {"hold_s": 0.1}, False, 0.1, "loop_hold(GET /checkout) = 100 ms"),
    ("loop_hold < 10ms", {"hold_s": None}, None, None, "it was not measured"),
    ("loop_lag_p99 < 3ms", {}, False, 0.004, "= 4.00 ms"),
    ("loop_lag_max < 100ms", {}, True, 0.02, "= 20.0 ms"),
    # the neighbours: the worse of the two
    ("neighbour_p90 < 350ms", {"neighbours": SLOW_LOOP}, False, 0.4, "= 400 ms"),
    ("neighbour_ratio < 100x", {"neighbours": SLOW_LOOP}, False, 200.0, "= x200, limit x100"),
    ("neighbour_p90 < 50ms", {"neighbours": LITTLE_KNOWN}, False, None, ">= 300 ms"),
    ("neighbour_p90 < 350ms", {"neighbours": LITTLE_KNOWN}, None, None, ">= 300 ms"),
    ("neighbour_ratio < 2x", {"neighbours": LITTLE_KNOWN}, False, None, ">= x3.0"),
    ("neighbour_p90 < 50ms", {"neighbours": {}}, None, None, "it was not measured"),
    ("neighbour_p90 < 50ms", {}, True, 0.003, "= 3.00 ms"),
    # verdicts
    ("verdict != loop-blocked", {}, True, "scales", "= scales, wanted anything but loop-blocked"),
    (
        "verdict != loop-blocked",
        {"verdict": "loop-blocked"},
        False,
        "loop-blocked",
        "verdict(GET /checkout) = loop-blocked",
    ),
    ("verdict == scales", {"verdict": "thread-pool"}, False, "thread-pool", "wanted scales"),
    ("verdict != loop-blocked", {"verdict": "unknown"}, None, "unknown", "inconclusive"),
    (
        "verdict != loop-blocked",
        CALM,
        True,
        "unknown",
        "= unknown, wanted anything but loop-blocked, which its calm neighbours exclude",
    ),
    ("verdict == loop-blocked", CALM, False, "unknown", "wanted loop-blocked"),
    ("verdict != thread-pool", CALM, None, "unknown", "inconclusive"),
    ("verdict == scales", CALM, None, "unknown", "inconclusive"),
    ("verdict != loop-blocked", {"verdict": "untrusted"}, None, None, "the run cannot be trusted"),
    (
        "p99 < 250ms",
        {"verdict": "untrusted"},
        None,
        None,
        "the run cannot be trusted; limit 250 ms",
    ),
    ("p99 < 250ms", {"verdict": "unknown"}, True, 0.2, "= 200 ms"),
]


@pytest.mark.parametrize(("text", "changes", "holds", "actual", "words"), TABLE)
def test_a_gate_is_judged(
    text: str,
    changes: dict[str, Any],
    holds: bool | None,  # noqa: FBT001 - a column
    actual: Any,
    words: str,
) -> None:
    """It holds, fails, or is inconclusive; the words carry the numbers."""
    result = evaluate_gate(parse_gate(text), run(route(**changes)))
    assert (holds, actual) == (
        result.holds,
        result.actual if not isinstance(actual, float) else pytest.approx(result.actual),
    )
    assert words in result.words
    assert not result.margin or (result.margin > 0) is holds


def test_whoever_cannot_be_trusted_neither_holds_nor_fails() -> None:
    """The run, a load of the route, or another load that the route's number depends on."""
    gate, served = parse_gate("p99 @ 50/s < 100ms"), parse_gate("served_at_once >= 20")
    assert evaluate_gate(gate, run(route(), trust="untrusted")).holds is None
    assert evaluate_gate(gate, run(route(), trust="suspect")).holds is False
    assert (
        evaluate_gate(gate, run(route(), cells={f"steady/{CHECKOUT}/50": "untrusted"})).holds
        is None
    )
    assert (
        evaluate_gate(gate, run(route(), cells={f"crowd/{CHECKOUT}/64": "untrusted"})).holds
        is False
    )
    assert (
        evaluate_gate(served, run(route(), cells={f"crowd/{CHECKOUT}/64": "untrusted"})).holds
        is None
    )
    assert (
        evaluate_gate(
            served,
            run(route(), cells={"crowd/GET /x/64": "untrusted", f"crowd/{CHECKOUT}/64": "suspect"}),
        ).holds
        is False
    )
    repeated = run(
        route(levels=[crowd(64, repeat=2)]), cells={f"crowd/{CHECKOUT}/64~2": "untrusted"}
    )
    assert evaluate_gate(parse_gate("p99 < 100ms"), repeated).holds is None


def test_of_several_routes_the_worst_decides() -> None:
    """The worst failure, then unknown, then the smallest margin; no routes: inconclusive."""
    good, better = route("GET /a"), route("GET /b", levels=[crowd(64, p99_s=0.1)])
    bad, worst = (
        route(name, levels=[crowd(64, p99_s=p99)])
        for name, p99 in (("GET /c", 0.3), ("GET /d", 0.9))
    )
    dim = route("GET /e", levels=[crowd(64, p99_s=None)])
    gate = parse_gate("p99 < 250ms")

    def decides(*routes: dict[str, Any]) -> tuple[str | None, bool | None]:
        result = evaluate_gate(gate, run(*routes))
        return result.route, result.holds

    assert decides(better, good) == ("GET /a", True)
    assert decides(better, dim, good) == ("GET /e", None)
    assert decides(dim, bad, worst, good) == ("GET /d", False)
    assert "(the worst of 4 routes)" in evaluate_gate(gate, run(dim, bad, worst, good)).words
    assert decides() == (None, None)
    scoped = evaluate_gate(parse_gate("p99(GET /a) < 250ms"), run(bad, good, worst))
    assert (scoped.route, scoped.holds, "worst of" in scoped.words) == ("GET /a", True, False)


@pytest.mark.parametrize(
    ("p99", "interval", "holds", "borderline"),
    [
        (0.24, [0.2, 0.26], True, True),
        (0.26, [0.24, 0.3], False, True),
        (0.26, [0.24, None], False, True),
        (0.26, [0.255, 0.3], False, False),
        (0.24, [None, 0.245], True, False),
        (0.24, None, True, False),
    ],
)
def test_a_limit_inside_the_interval_is_decided_by_the_number(
    p99: float, interval: Any, *, holds: bool, borderline: bool
) -> None:
    """And shown as borderline; strict runs count it as inconclusive."""
    data = run(route(offered=[arrivals(50.0, p99_s=p99, p99_interval_s=interval)]))
    result = evaluate_gate(parse_gate("p99 @ 50/s < 250ms"), data)
    assert (holds, borderline) == (result.holds, result.borderline)
    assert borderline is ("borderline" in result.words)
    assert (interval is not None and None not in interval) is ("[" in result.words)
    data = {**data, "gates": [asdict(result)]}
    loose = ExitCode.FINE if holds else ExitCode.FAILED
    assert loose is gates_exit_code(data)
    assert (ExitCode.UNTRUSTED if borderline else loose) is gates_exit_code(apply_strict(data))


def test_few_requests_leave_a_share_open() -> None:
    """0 errors of 100 may still be 1 %, 0 of 2,000 not. A borderline route decides first."""
    few = route("GET /few", levels=[crowd(64, completed=100)])
    assert evaluate_gate(parse_gate("errors < 1%"), run(few)).borderline
    assert not evaluate_gate(parse_gate("errors < 1%"), run(route())).borderline
    assert evaluate_gate(parse_gate("errors < 1%"), run(route(), few)).route == "GET /few"
    failed, clear = (
        route(f"GET /{name}", levels=[crowd(64, completed=100, errors=some)])
        for name, some in (("few", 2), ("many", 50))
    )
    assert evaluate_gate(parse_gate("errors < 1%"), run(failed, clear)).route == "GET /many"
    assert evaluate_gate(
        parse_gate("served_at_once >= 9"), run(route(served_at_once_interval=[8.0, 12.0]))
    ).borderline


def test_the_exit_code_is_that_of_the_worst_outcome() -> None:
    """1 before 3 before 0, in any order; nothing asked is fine."""
    holding, failed, unknown = "p99 < 1s", "p99 < 1ms", "p99 @ 8u < 1s"

    def code(*texts: str) -> ExitCode:
        data = run(route())
        return gates_exit_code({**data, "gates": evaluate_gates(texts, data)})

    assert [code(), code(holding), code(holding, failed)] == [
        ExitCode.FINE,
        ExitCode.FINE,
        ExitCode.FAILED,
    ]
    assert [code(failed, unknown), code(unknown, failed)] == [ExitCode.FAILED, ExitCode.FAILED]
    assert [code(holding, unknown), code(unknown)] == [ExitCode.UNTRUSTED, ExitCode.UNTRUSTED]


def test_the_summary_carries_its_gates_as_the_schema_says(honest: Report) -> None:
    """The gates of the run, every outcome valid; a gate without its words is not."""
    study = replace(
        honest.run_metrics,
        run=structs.replace(
            honest.run_metrics.run,
            gates=["p99(GET /async) < 1s", "p99.9 < 1s", "verdict != loop-blocked"],
        ),
    )
    data = json.loads(
        json.dumps(build_summary(replace(honest, run_metrics=study)), allow_nan=False)
    )
    assert [gate["holds"] for gate in data["gates"]] == [True, None, False]
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(data, schema)
    made_up = run(*(route(**changes) for _, changes, *_ in TABLE))
    jsonschema.validate(
        {**made_up, "gates": evaluate_gates([text for text, *_ in TABLE], made_up)}, schema
    )
    for name in ("words", "margin", "actual"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(
                {
                    **data,
                    "gates": [
                        {key: value for key, value in data["gates"][0].items() if key != name}
                    ],
                },
                schema,
            )


def test_every_quantile_that_a_gate_may_name_is_in_the_summary(honest: Report) -> None:
    """Null where the run has too few for it, but never absent."""
    level = next(entry for entry in build_summary(honest)["routes"] if entry["variant"] == "async")[
        "levels"
    ][-1]
    assert {f"{name}_s" for name in QUANTILE_REQUESTS} <= set(level)
    assert level["p50_s"] <= level["p90_s"] <= level["p95_s"]
    assert level["p99.9_s"] is None
