"""The stories together go every route. Looked at when all were run, by one process or by several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kumoi.cloud.api.host.routes import SERVICE as HOST
from kumoi.cloud.api.serve import SERVICES
from tests.route_coverage import COVERED, route_name

HERE = Path(__file__).parent
COLLECTED = pytest.StashKey[set[Path]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[COLLECTED] = {item.path for item in session.items}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of several test processes has ended, and hands over the routes that it covered."""
    output = getattr(node, "workeroutput", {})
    COVERED.update(output.get("covered", ()))
    collected = {Path(name) for name in output.get("collected", ())}
    node.config.stash[COLLECTED] = node.config.stash.get(COLLECTED, set()) | collected


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    collected = session.config.stash.get(COLLECTED, set())
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output |= {"covered": sorted(COVERED), "collected": sorted(map(str, collected))}
    elif _all_passed(session, exitstatus) and collected.issuperset(HERE.rglob("test_*.py")):
        uncovered = [f"FAILED {route} has no story" for route in sorted(_routes() - COVERED)]
        if uncovered:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            session.config.get_terminal_writer().line("\n".join(["", *uncovered]))


def _all_passed(session: pytest.Session, exitstatus: int) -> bool:
    return exitstatus == pytest.ExitCode.OK and not session.config.option.collectonly


def _routes() -> set[str]:
    return {
        route_name(service, route.method, route.path)
        for service in (*SERVICES, HOST)
        for route in service.routes
    }
