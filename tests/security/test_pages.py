"""A tenant makes as much as he may, and then asks for lists without a limit: none is answered with all there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from kumoi.cloud.api.compute import rendering
from kumoi.cloud.api.identity import rendering as identity
from kumoi.cloud.api.image import metadef_namespace, task
from kumoi.cloud.api.image import query as image_query
from kumoi.cloud.api.key_manager import listing
from kumoi.cloud.api.serve import SERVICES
from kumoi.engine.http import paging
from kumoi.engine.http.routing import OPEN
from tests.security import full_bodies
from tests.security.in_process import InProcessCloud

PAGES = (
    *((paging, "PAGE_MAX"), (rendering, "PAGE_MAX"), (identity, "LIST_MAX"), (listing, "LIMIT")),
    *((image_query, "PAGE"), (task, "PAGE"), (metadef_namespace, "PAGE")),
)
OURS = "the same in each cloud of a release"
OPERATORS = "as long as operators make it, and for them but for the own projects"
SHORT = {
    "/compute/v2.1/extensions": OURS,
    "/compute/v2.1/servers/{id}/os-interface": "the ports of a server",
    "/identity/v3/auth/catalog": OPERATORS,
    "/identity/v3/auth/projects": OPERATORS,
    "/identity/v3/role_assignments": OPERATORS,
    "/identity/v3/role_inferences": OPERATORS,
    "/image/v2/metadefs/resource_types": OPERATORS,
    "/network/v2.0/availability_zones": OPERATORS,
    "/network/v2.0/extensions": OURS,
    "/network/v2.0/network-ip-availabilities": OPERATORS,
    "/network/v2.0/qos/rule-types": OURS,
}
"""Lists that have no page, and what bounds them."""
TAGS = "/tags"  # Of one thing, which has 128 at most.
LISTS_MIN = 20
FEW = 3
PLACEHOLDER = re.compile(r"\{[^/}]*\}")
GOES_ON = re.compile(r"(marker|offset)=")


@pytest.fixture(scope="module")
def crowded(on_each: InProcessCloud) -> InProcessCloud:
    on_each.add_host()
    on_each.lift_quotas()

    def ask(method: str, path: str, body: Any, **headers: str) -> Any:
        answer = on_each.ask(method, path, body, **headers)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    for turn in ("1", "2"):
        full_bodies.send_all(ask, turn)
    return on_each


def test_no_list_answers_with_all_there_is(
    crowded: InProcessCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {path: (name, most_of(crowded, path)) for name, path in lists(crowded)}
    many = {path: name for path, (name, count) in whole.items() if count > 1}
    for module, name in PAGES:
        monkeypatch.setattr(module, name, 1)
    # Queries that were read before keep the page of then.
    monkeypatch.setattr(paging.QueryMemo, "of", lambda memo, *asked: memo._read(*asked))
    without = {
        name
        for path, name in many.items()
        if most_of(crowded, path) > 1 or not GOES_ON.search(crowded.ask("GET", path).text)
    }
    assert sorted(name for name in without - SHORT.keys() if not name.endswith(TAGS)) == []
    assert len(set(many.values()) - without) >= LISTS_MIN


def most_of(cloud: InProcessCloud, path: str) -> int:
    """Entries of the longest list in the answer, but for links."""
    shown = said(cloud, path)
    found = (value for name, value in shown.items() if not name.endswith("links"))
    return max((len(value) for value in found if isinstance(value, list)), default=0)


def said(cloud: InProcessCloud, path: str) -> dict[str, Any]:
    answer = cloud.ask("GET", path)
    is_json = answer.headers.get("Content-Type", "").startswith("application/json")
    shown = answer.json() if is_json and answer.is_success else {}
    return shown if isinstance(shown, dict) else {}


def lists(cloud: InProcessCloud) -> Iterator[tuple[str, str]]:
    """The route and the path of each list, also of those within the first few things that others show."""
    for service in SERVICES:
        for route in service.routes:
            if route.method == "GET" and route.policy != OPEN and not route.path.endswith("}"):
                name = f"/{service.prefix}{route.path}"
                for path in filled(cloud, name):
                    yield name, path


def filled(cloud: InProcessCloud, path: str) -> list[str]:
    """With ids of things that the path's own beginning lists."""
    found = PLACEHOLDER.search(path)
    if found is None:
        return [path]
    collection, rest = path[: found.start() - 1], path[found.end() :]
    return [
        each
        for key in ids_of(cloud, collection)
        for each in filled(cloud, f"{collection}/{key}{rest}")
    ]


def ids_of(cloud: InProcessCloud, collection: str) -> list[str]:
    shown = said(cloud, collection)
    listed = next((value for value in shown.values() if isinstance(value, list)), [])
    rows = [row for row in listed if isinstance(row, dict)]
    return [str(row.get("id") or row.get("namespace")) for row in (*rows[:FEW], *rows[-FEW:])]
