"""Orders tea through the balancer, as a customer would, and writes JUnit."""

from __future__ import annotations

import os
import re
import sys
import time
import urllib.request
from pathlib import Path
from xml.etree import ElementTree as ET

URL = os.environ["KUMOI_URL"]
TRIES = 3
WITHIN_S = 60.0  # A balancer sends nothing to a server before a probe of it has passed.
PAUSE_S = 0.1


def ask(path: str = "", body: bytes | None = None) -> str:
    """As a patient customer: a connection that fails is tried again."""
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(URL + path, body, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            if attempt == TRIES - 1:
                raise
    return ""


def ordered() -> int:
    found = re.search(r"tea: (\d+) ordered", ask())
    return int(found[1]) if found else -1


def an_order_is_seen_from_every_server() -> None:
    before = ordered()
    ask("orders", b"tea")
    seen = {ordered() for _ in range(4)}
    assert len(seen) == 1, f"the servers do not agree: {seen}"
    assert seen.pop() > before, f"{before} ordered before, and after one more"


def every_server_answers() -> None:
    wanted = len(os.environ["KUMOI_WEB_ADDRESSES"].split())
    names: set[str] = set()
    until = time.monotonic() + WITHIN_S
    while len(names) < wanted and time.monotonic() < until:
        names.add(ask().rpartition("from ")[2].split()[0])
        time.sleep(PAUSE_S)
    assert len(names) == wanted, f"only {sorted(names)} answered"


def main() -> int:
    suite = ET.Element("testsuite", name="smoke")
    failed = 0
    for test in (an_order_is_seen_from_every_server, every_server_answers):
        began = time.monotonic()
        case = ET.SubElement(suite, "testcase", name=test.__name__.replace("_", " "))
        try:
            test()
        except (AssertionError, OSError) as error:
            failed += 1
            ET.SubElement(case, "failure", message=str(error)).text = str(error)
        case.set("time", f"{time.monotonic() - began:.3f}")
    Path("results.xml").write_bytes(ET.tostring(suite))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
