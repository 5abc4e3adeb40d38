"""A gate's words: what they mean, what would have fitted, and what must be run for them."""

import pytest

from reports.stats.quantiles import is_supported
from results.errors import AtonceError, ExitCode
from results.gate_expression import (
    QUANTILE_REQUESTS,
    GateLevel,
    parse_gate,
    required_levels,
    unmatched_gate_error,
)
from results.verdicts import Verdict
from tests.support.summary_factory import CHECKOUT, NOTES

GOOD = {
    "p99(GET /checkout) @ 50/s < 250ms": ("p99", CHECKOUT, GateLevel(50, "/s"), "<", 0.25),
    "  p99.9( get   /a(b)<c )@16 u<=2 s ": ("p99.9", "GET /a(b)<c", GateLevel(16, "u"), "<=", 2.0),
    "p50 @ 0.5/s > 20us": ("p50", None, GateLevel(0.5, "/s"), ">", 2e-5),
    "served_at_once(GET /search) >= 20": ("served_at_once", "GET /search", None, ">=", 20.0),
    "neighbour_p90(/api/*) < 50ms": ("neighbour_p90", "/api/*", None, "<", 0.05),
    "neighbour_ratio < 5x": ("neighbour_ratio", None, None, "<", 5.0),
    "errors @ 8u < 0.57%": ("errors", None, GateLevel(8, "u"), "<", 0.57 / 100),
    "dropped @ 50/s <= 0%": ("dropped", None, GateLevel(50, "/s"), "<=", 0.0),
    "capacity(GET /x) > 50/s": ("capacity", "GET /x", None, ">", 50.0),
    "verdict(GET /x) != loop-blocked": ("verdict", "GET /x", None, "!=", "loop-blocked"),
    "verdict==scales": ("verdict", None, None, "==", "scales"),
}
BAD = {
    "hello": "METRIC(ROUTE) @ LEVEL < LIMIT",
    "": "METRIC(ROUTE) @ LEVEL < LIMIT",
    "p98 < 1s": "perhaps you mean p99",
    "speed < 1s": "speed is no metric; there are p50,",
    "p99 < 250": "250 does not fit: p99 is a time; write its limit as 250ms",
    "p99 < 5%": "p99 is a time",
    "p99 < 1e3ms": "p99 is a time",
    "p99 <": "nothing does not fit",
    "loop_hold < 5m": "loop_hold is a time",
    "errors < 1": "errors is a share; write its limit as 1%",
    "errors < -1%": "errors is a share",
    "rate @ 5u > 5": "rate is a rate; write its limit as 50/s",
    "neighbour_ratio < 5": "a ratio; write its limit as 5x",
    "served_at_once > 5x": "a plain number; write its limit as 20, without a unit",
    "p99 == 5ms": "p99 is compared with <, <=, > or >=",
    "p99 = 5ms": "p99 is compared with",
    "verdict < scales": "verdict is compared with == or !=",
    "verdict = scales": "verdict is compared with == or !=",
    "verdict == blocked": "blocked is no verdict; the verdicts are loop-blocked, loop-busy,",
    "p99() < 1s": "() names no route; write (GET /search)",
    "p99(search) < 1s": "(search) names no route",
    "p99(GET POST /x) < 1s": "names no route",
    "p99 @ < 5ms": "nothing is no level; write users as 16u, arrivals per second as 50/s",
    "p99 @ 50 < 5ms": "50 is no level",
    "p99 @ 901u < 5ms": "901u is no level",
    "p99 @ 5001/s < 5ms": "at most 900u and 5000/s",
    "p99 @ 0u < 5ms": "0u is no level",
    "p99 @ 1.5u < 5ms": "1.5u is no level",
    "p99 @ 5/m < 5ms": "5/m is no level",
    "capacity @ 5u > 5/s": "capacity is one number per route; leave the level out",
    "dropped < 1%": "write dropped @ 50/s",
    "dropped @ 5u < 1%": "only arrivals at a rate can be dropped",
}


@pytest.mark.parametrize("text", GOOD)
def test_a_good_gate_is_understood(text: str) -> None:
    """Metric, scope, level, comparison and limit; blanks and the method's case do not matter."""
    gate = parse_gate(text)
    assert GOOD[text] == (gate.metric, gate.scope, gate.level, gate.comparison, gate.limit)
    assert " ".join(text.split()) == gate.expression


@pytest.mark.parametrize("text", BAD)
def test_a_bad_gate_says_what_would_fit(text: str) -> None:
    """One sentence, exit 2."""
    with pytest.raises(AtonceError) as caught:
        parse_gate(text)
    assert BAD[text] in caught.value.sentence
    assert caught.value.code is ExitCode.USAGE


def test_two_rooms_know_the_same_verdicts_and_the_same_rule_of_ten() -> None:
    """The grammar stands apart from the report."""
    assert all(parse_gate(f"verdict == {code}").limit == code for code in Verdict)
    for name, count in QUANTILE_REQUESTS.items():
        q = float(name[1:]) / 100
        assert (is_supported(count, q), is_supported(count - 1, q)) == (True, False)


@pytest.mark.parametrize(
    ("scope", "route", "matches"),
    [
        ("GET /x", "GET /x", True),
        ("GET /x", "HEAD /x", False),
        ("/x", "HEAD /x", True),
        ("/x", "GET /x/y", False),
        ("GET /api/*", "GET /api/a/b", True),
        ("GET /api/*", "POST /api/a", False),
        ("*", "POST /api/a", True),
        ("/X", "GET /x", False),
        ("/notes/{id}", "GET /notes/{id}", True),
        ("/odd[1]", "GET /odd[1]", True),
    ],
)
def test_a_scope_means_what_it_says(scope: str, route: str, *, matches: bool) -> None:
    """A method and a path, any method, or a glob that crosses slashes."""
    assert matches is parse_gate(f"p50({scope}) < 1s").matches(route)
    assert parse_gate("p50 < 1s").matches(route)


def test_what_must_be_run_is_as_much_as_the_most_demanding_gate_needs() -> None:
    """Per level; ten requests beyond a quantile, ten that a share stands for."""
    texts = [
        "p99(GET /checkout) @ 50/s < 1s",
        "p50 @ 50/s < 1s",
        "max @ 16u < 1s",
        "errors < 0.5%",
        "errors <= 0%",
        "p99.9(/else) < 1s",
    ]
    gates = [parse_gate(text) for text in texts]
    assert {GateLevel(50, "/s"): 1000, GateLevel(16, "u"): 100, None: 2000} == required_levels(
        gates, CHECKOUT
    )
    assert required_levels(gates[:1], "GET /other") == {}
    assert required_levels(
        [parse_gate("errors <= 0%"), parse_gate("verdict != loop-busy")], CHECKOUT
    ) == {None: 100}


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ("GET /chekout", "perhaps you mean GET /checkout"),
        ("/chekout", "perhaps you mean /checkout"),
        ("GET /zzz", f"the run measures only these routes: {CHECKOUT}, {NOTES}."),
        ("POST /search", "is skipped (POST /search: it may change data)"),
    ],
)
def test_a_gate_that_no_route_answers_is_found_before_any_load(scope: str, why: str) -> None:
    """Skipped routes with their reason; a glob that also matches a measured route is fine."""
    routes = {CHECKOUT: None, NOTES: None, "POST /search": "it may change data"}
    trouble = unmatched_gate_error(
        [parse_gate("p50 < 1s"), parse_gate("p50(*) < 1s"), parse_gate(f"p50({scope}) < 1s")],
        routes,
    )
    assert trouble is not None
    assert why in trouble.sentence
    assert trouble.code is ExitCode.USAGE
    assert (
        unmatched_gate_error([parse_gate("p50(/*) < 1s"), parse_gate(f"p50({NOTES}) < 1s")], routes)
        is None
    )
    assert (
        unmatched_gate_error([parse_gate("p50 < 1s")], {"POST /search": "it may change data"})
        is not None
    )
