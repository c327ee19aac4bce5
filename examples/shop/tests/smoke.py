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


def ordered() -> int:
    with urllib.request.urlopen(URL, timeout=5) as answer:
        found = re.search(r"tea: (\d+) ordered", answer.read().decode())
    return int(found[1]) if found else -1


def an_order_is_seen_from_every_server() -> None:
    before = ordered()
    urllib.request.urlopen(f"{URL}orders", b"tea", timeout=5).close()
    seen = {ordered() for _ in range(4)}
    assert seen == {before + 1}, f"{before} ordered before, {seen} after one more"


def both_servers_answer() -> None:
    names = set()
    for _ in range(8):
        with urllib.request.urlopen(URL, timeout=5) as answer:
            names.add(answer.read().decode().rpartition("from ")[2].split()[0])
    wanted = len(os.environ["KUMOI_WEB_ADDRESSES"].split())
    assert len(names) == wanted, f"only {sorted(names)} answered"


def main() -> int:
    suite = ET.Element("testsuite", name="smoke")
    failed = 0
    for test in (an_order_is_seen_from_every_server, both_servers_answer):
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
