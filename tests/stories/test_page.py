"""Every list ends: it has a page also where the client asks for none."""

from __future__ import annotations

import pytest
from openstack.connection import Connection

from kumoi.cloud.api.compute import rendering
from kumoi.cloud.api.identity import rendering as identity
from kumoi.engine.http import paging

MADE = 3


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (paging, rendering):
        monkeypatch.setattr(module, "PAGE_MAX", MADE - 1)
    monkeypatch.setattr(identity, "LIST_MAX", MADE - 1)
    # Queries that an earlier test read keep the page of then.
    monkeypatch.setattr(paging.QueryMemo, "of", lambda memo, *asked: memo._read(*asked))


def test_a_list_without_a_limit_comes_in_pages(admin: Connection, demo: Connection) -> None:
    for number in range(MADE):
        demo.network.create_network(name=f"page-{number}")
        admin.identity.create_region(id=f"page-{number}")
        admin.compute.create_flavor(name=f"page-{number}", ram=1, vcpus=1, disk=1)
        key = {"keypair": {"name": f"page-{number}"}}
        demo.compute.post("/os-keypairs", json=key, microversion="2.91")
    for answer, word, link in (
        (demo.network.get("/networks"), "networks", "networks_links"),
        (admin.identity.get("/regions"), "regions", "links"),
        (admin.compute.get("/flavors"), "flavors", "flavors_links"),
        (demo.compute.get("/os-keypairs", microversion="2.91"), "keypairs", "keypairs_links"),
    ):
        body = answer.json()
        assert len(body[word]) == MADE - 1, word
        assert "marker=" in str(body[link]), word
    assert {f"page-{number}" for number in range(MADE)} <= {
        network.name for network in demo.network.networks()
    }
