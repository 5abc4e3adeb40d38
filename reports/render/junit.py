"""The run as JUnit XML: one case for the trust in it, one per gate; without gates one per route.

It never says otherwise than the exit code. What holds passes, what fails fails, what is inconclusive is skipped and the
case for trust fails with it. A verdict alone breaks no limit, so without gates no route fails: its verdict stands in its
output, `unknown` is skipped.
"""

import re
from xml.etree import ElementTree as ET

from reports.gates.evaluate import strictly
from reports.gates.metrics import Entry, at_level, bounds, top
from reports.render.ci import doubted, worst_first

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0
TRUST = "run is trusted"


def junit(data: Entry, *, strict: bool) -> bytes:
    """The whole document. `strict`: a borderline gate is inconclusive, a suspect run is not trusted."""
    data = strictly(data) if strict else data
    seconds = {"time": f"{data['seconds_total']:.3f}"} if data.get("seconds_total") is not None else {}
    suite = ET.Element("testsuite", {"name": "atonce", **seconds})
    properties = ET.SubElement(suite, "properties")
    for name, value in [(name, value) for entry in data["routes"] for name, value in numbers(entry)]:
        ET.SubElement(properties, "property", name=clean(name), value=value)
    trusted(suite, data, ("untrusted", "suspect") if strict else ("untrusted",))
    for one in data["gates"]:
        case = testcase(suite, "gates", one["expression"])
        outcome(case, one["holds"], one.get("words", str(one["actual"])))
    for entry in worst_first(data) if not data["gates"] else ():
        case = testcase(suite, "routes", entry["route"])
        words = clean(f"{entry['verdict']}: {entry['sentence']}")
        outcome(case, None if entry["verdict"] in {"unknown", "untrusted"} else True, words)
        ET.SubElement(case, "system-out").text = words
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        suite.set(name, str(len(list(suite.iter(tag)))))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def trusted(suite: ET.Element, data: Entry, beliefs: tuple[str, ...]) -> None:
    """The case that fails when the run can tell nothing, or less than it was asked."""
    why = [f"{one['name']}, {one['cell']}: {one['why']}" for one in doubted(data)]
    open_ = sum(one["holds"] is None for one in data["gates"])
    doubts = {
        f"the run is {data['trust']['verdict']}": data["trust"]["verdict"] in beliefs,
        f"the run is not whole: it is {data['status']}": data["status"] != "complete",
        "not all that was planned was measured": bool(data.get("missing")),
        f"{open_} of {len(data['gates'])} gates are inconclusive": open_ > 0,
    }
    told = [words for words, applies in doubts.items() if applies]
    case = testcase(suite, "run", TRUST)
    outcome(case, not told, "; ".join(told))
    if told and why:
        ET.SubElement(case, "system-out").text = clean("\n".join(why))


def testcase(suite: ET.Element, group: str, name: str) -> ET.Element:
    """One case."""
    return ET.SubElement(suite, "testcase", classname=f"atonce.{group}", name=clean(name))


def outcome(case: ET.Element, holds: bool | None, words: str) -> None:  # noqa: FBT001 - it is what is told
    """Mark a case by what became of it."""
    if holds is not True:
        ET.SubElement(case, "skipped" if holds is None else "failure", message=clean(words))


def numbers(entry: Entry) -> list[tuple[str, str]]:
    """What stands in the properties: at the highest level its quantiles in seconds and its share of errors."""
    load = top(entry)
    found = {f"{name}_s": bounds(load, f"{name}_s") for name in ("p50", "p95", "p99")}
    found |= {"errors": at_level("errors", entry, load)} if load else {}
    return [(f"{entry['route']} {name}", f"{one.low:.6g}") for name, one in found.items() if one.low == one.high]


def clean(text: str) -> str:
    """Without the characters that XML 1.0 forbids."""
    return FORBIDDEN.sub("", text)
