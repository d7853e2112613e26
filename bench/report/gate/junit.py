"""The result of a gate as JUnit XML, which build servers show test by test."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.report.escapes import xml_text
from bench.report.gate.check import KINDS, Check
from bench.report.gate.gate import Gate


def junit_xml(gate: Gate) -> str:
    """A document with a test suite for each kind of check, and a test case for each check."""
    root = ElementTree.Element("testsuites", {"name": "bench gate", **_counts(gate.checks)})
    for kind in KINDS:
        checks = tuple(check for check in gate.checks if check.kind == kind)
        if checks:
            suite = ElementTree.SubElement(root, "testsuite", {"name": kind, **_counts(checks)})
            suite.extend(_case(check) for check in checks)

    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(check: Check) -> ElementTree.Element:
    name = xml_text(check.title)
    case = ElementTree.Element("testcase", classname=f"bench.gate.{check.kind}", name=name)
    if check.failures:
        failure = ElementTree.SubElement(case, "failure", message=xml_text(check.failures[0]))
        failure.text = "\n".join(xml_text(line) for line in check.lines)

    told = (check.finding, *check.doubts)
    text = "\n".join(xml_text(line) for line in told if line)
    if text:
        ElementTree.SubElement(case, "system-out").text = text

    return case


def _counts(checks: tuple[Check, ...]) -> dict[str, str]:
    failed = sum(bool(check.failures) for check in checks)

    return {"tests": str(len(checks)), "failures": str(failed), "errors": "0"}
