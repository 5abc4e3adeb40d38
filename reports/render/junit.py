"""The run as JUnit XML: one case for the trust in it, one per gate; without gates one per route.

It always agrees with the exit code. What holds passes, what fails fails, what is
inconclusive is skipped and the case for trust fails with it. A verdict alone breaks no limit, so
without gates no route fails: its verdict stands in its output, `unknown` is skipped.
"""

import re
from xml.etree import ElementTree as ET

from reports.gates.evaluate import apply_strict, list_problem_checks, sort_worst_first
from reports.gates.metrics import Entry, load_value, summary_value, top_load

# by XML 1.0
_FORBIDDEN_CHARACTERS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
TRUST_CASE_NAME = "run is not untrusted"


def build_junit(data: Entry, *, strict: bool) -> bytes:
    """Build the document; `strict`: borderline gates are inconclusive, suspect runs not trusted."""
    data = apply_strict(data) if strict else data
    suite = ET.Element("testsuite", name="atonce")
    if data.get("seconds_total") is not None:
        suite.set("time", f"{data['seconds_total']:.3f}")
    properties = ET.SubElement(suite, "properties")
    for entry in data["routes"]:
        for name, value in _route_properties(entry):
            ET.SubElement(properties, "property", name=_strip_forbidden(name), value=value)
    _add_trust_case(suite, data, ("untrusted", "suspect") if strict else ("untrusted",))
    for gate in data["gates"]:
        test_case = _add_test_case(suite, "gates", gate["expression"])
        _set_outcome(test_case, gate["holds"], gate.get("words", str(gate["actual"])))
    for entry in sort_worst_first(data) if not data["gates"] else ():
        test_case = _add_test_case(suite, "routes", entry["route"])
        verdict_text = _strip_forbidden(f"{entry['verdict']}: {entry['sentence']}")
        is_known = entry["verdict"] not in {"unknown", "untrusted"}
        _set_outcome(test_case, is_known or None, verdict_text)
        ET.SubElement(test_case, "system-out").text = verdict_text
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        suite.set(name, str(len(list(suite.iter(tag)))))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add_trust_case(suite: ET.Element, data: Entry, bad_levels: tuple[str, ...]) -> None:
    """Add the case that fails when the run shows nothing, or less than was planned."""
    reasons = [
        f"{entry['name']}, {entry['cell']}: {entry['why']}" for entry in list_problem_checks(data)
    ]
    inconclusive = sum(entry["holds"] is None for entry in data["gates"])
    problems = {
        f"the run is {data['trust']['verdict']}": data["trust"]["verdict"] in bad_levels,
        f"the run is not complete: it is {data['status']}": data["status"] != "complete",
        "part of the plan was not measured": bool(data.get("missing")),
        f"{inconclusive} of {len(data['gates'])} gates are inconclusive": inconclusive > 0,
    }
    failures = [problem for problem, applies in problems.items() if applies]
    test_case = _add_test_case(suite, "run", TRUST_CASE_NAME)
    _set_outcome(test_case, not failures, "; ".join(failures))
    if failures and reasons:
        ET.SubElement(test_case, "system-out").text = _strip_forbidden("\n".join(reasons))


def _add_test_case(suite: ET.Element, group: str, name: str) -> ET.Element:
    names = {"classname": f"atonce.{group}", "name": _strip_forbidden(name)}
    return ET.SubElement(suite, "testcase", names)


# FBT001: the outcome is a value, not a switch
def _set_outcome(test_case: ET.Element, holds: bool | None, text: str) -> None:  # noqa: FBT001
    """Mark a case as skipped or failed; one that holds needs no mark."""
    if holds is not True:
        tag = "skipped" if holds is None else "failure"
        ET.SubElement(test_case, tag, message=_strip_forbidden(text))


def _route_properties(entry: Entry) -> list[tuple[str, str]]:
    """Return a route's quantiles at its highest level, in seconds, and its share of errors."""
    load = top_load(entry)
    values = {name: summary_value(load, name) for name in ("p50_s", "p95_s", "p99_s")}
    values |= {"errors": load_value("errors", entry, load)} if load else {}
    return [
        (f"{entry['route']} {name}", f"{metric.low:.6g}")
        for name, metric in values.items()
        if metric.low == metric.high
    ]


def _strip_forbidden(text: str) -> str:
    return _FORBIDDEN_CHARACTERS.sub("", text)
