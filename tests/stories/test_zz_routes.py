"""Runs last: the stories together have gone every route. Those that they have not stand in a list
that may only shrink.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.cloud.api.host.routes import SERVICE as HOST
from kumoi.cloud.api.serve import SERVICES
from tests.told import TOLD, named

HERE = Path(__file__).parent
WITHOUT = HERE / "routes_without_story.txt"


def test_every_route_has_a_story(request: pytest.FixtureRequest) -> None:
    if not _all_were_run(request.session):
        pytest.skip("only when all stories are run")
    routes = {
        named(service, route.method, route.path)
        for service in (*SERVICES, HOST)
        for route in service.routes
    }
    listed = {line for line in WITHOUT.read_text().splitlines() if line}
    untold = routes - TOLD
    if silent := sorted(untold - listed):
        pytest.fail("these have no story:\n" + "\n".join(silent))
    if told := sorted(listed - untold):
        pytest.fail(f"these have a story, take them out of {WITHOUT}:\n" + "\n".join(told))


def _all_were_run(session: pytest.Session) -> bool:
    files = {item.path for item in session.items}
    return not session.testsfailed and files.issuperset(HERE.rglob("test_*.py"))
