"""Stage report: a run's checks as JUnit XML. Pure.

The runner sends checks as plain data, not as XML: nothing that untrusted code wrote is parsed as
XML on the control plane.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

from kumoi.pipeline.store.result import Result
from kumoi.pipeline.store.run import Run, RunStatus

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(run: Run, results: Sequence[Result]) -> str:
    """One suite per stage; a stage that failed without a failed check is a case of its own. A run that
    failed has a failure in it.
    """
    root = ET.Element("testsuites", name=f"run {run.id}")
    for result in [*results, *_unreported(run, results)]:
        checks = result.checks
        if not result.passed and not any(check["outcome"] == "failed" for check in checks):
            whole = {"suite": result.stage, "name": "the stage as a whole", "server": "",
                     "seconds": 0.0, "outcome": "failed", "output": result.reason or "failed"}  # fmt: skip
            checks = [*checks, whole]
        suite = ET.SubElement(root, "testsuite", name=result.stage, tests=str(len(checks)))
        suite.set("failures", _count(checks, "failed"))
        suite.set("skipped", _count(checks, "skipped"))
        suite.set("time", f"{sum(each['seconds'] for each in checks):.3f}")
        suite.set("timestamp", run.created_at.isoformat())
        properties = ET.SubElement(suite, "properties")
        for name in ("commit", "branch"):
            ET.SubElement(properties, "property", name=name, value=_clean(getattr(run, name)))
        for check in checks:
            _add_case(suite, check)
    ET.indent(root)
    xml: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml.decode() + "\n"


def _unreported(run: Run, results: Sequence[Result]) -> list[Result]:
    """The stage that a run failed in of which no runner told, such as build."""
    if run.status != RunStatus.FAILED or not all(each.passed for each in results):
        return []
    return [Result(run.id, run.stage, passed=False, reason=run.reason, checks=[])]


def _add_case(suite: ET.Element, check: dict[str, Any]) -> None:
    classname = f"{check['server']}.{check['suite']}".strip(".")
    case = ET.SubElement(suite, "testcase", name=_clean(check["name"]))
    case.set("classname", _clean(classname))
    case.set("time", f"{check['seconds']:.3f}")
    if check["outcome"] == "failed":
        first = check["output"].strip().partition("\n")[0]
        ET.SubElement(case, "failure", message=_clean(first)).text = _clean(check["output"])
    elif check["outcome"] == "skipped":
        ET.SubElement(case, "skipped")


def _count(checks: Sequence[dict[str, Any]], outcome: str) -> str:
    return str(sum(check["outcome"] == outcome for check in checks))


def _clean(text: str) -> str:
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
