"""The list of migrations: resizes, each on the host where its server stays."""

from __future__ import annotations

from typing import Any

from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench

from kumoi.base.ids import new_hex_id


def flavor(admin: Connection) -> Any:
    return admin.compute.create_flavor(name=new_hex_id(), ram=1_024, vcpus=2, disk=5)


def shown(admin: Connection, server: Any, microversion: str = "2.80") -> list[dict[str, Any]]:
    answer = admin.compute.get(
        f"/os-migrations?instance_uuid={server.id}", microversion=microversion
    )
    found: list[dict[str, Any]] = answer.json()["migrations"]
    return found


def test_resizes_are_shown_until_their_end(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    made, larger = bench.active(), flavor(admin)
    assert shown(admin, made) == []
    demo.compute.resize_server(made, larger)
    (migration,) = shown(admin, made)
    assert migration["status"] == "migrating"
    assert (migration["source_compute"], migration["dest_compute"]) == ("host1", "host1")
    assert migration["migration_type"] == "resize"
    assert migration["project_id"] == demo.current_project_id
    bench.cloud.host.settle()
    assert shown(admin, made)[0]["status"] == "finished"
    demo.compute.revert_server_resize(made)
    bench.cloud.host.settle()
    demo.compute.resize_server(made, larger)
    bench.cloud.host.settle()
    demo.compute.confirm_server_resize(made)
    found = shown(admin, made)
    assert [each["status"] for each in found] == ["confirmed", "reverted"]
    assert found[0]["id"] > found[1]["id"]
    assert shown(admin, made, "2.22")[0].keys() == migration.keys() - {
        "migration_type",
        "uuid",
        "user_id",
        "project_id",
    }
    assert demo.compute.get("/os-migrations", microversion="2.80").status_code == 403


def test_migrations_are_filtered_and_come_in_pages(
    bench: Workbench, admin: Connection, demo: Connection
) -> None:
    larger = flavor(admin)
    servers = [bench.active() for _ in range(2)]
    for server in servers:
        demo.compute.resize_server(server, larger)
    first, second = servers

    def ids(query: str) -> list[str]:
        answer = admin.compute.get(f"/os-migrations?{query}", microversion="2.80")
        return [each["instance_uuid"] for each in answer.json()["migrations"]]

    mine = f"project_id={demo.current_project_id}"
    assert ids(mine) == [second.id, first.id]
    assert ids(f"{mine}&status=confirmed") == []
    assert ids(f"{mine}&host=nowhere") == []
    assert ids(f"{mine}&migration_type=live-migration") == []
    assert ids(f"{mine}&changes-since=2090-01-01T00:00:00Z") == []
    page = admin.compute.get(f"/os-migrations?{mine}&limit=1", microversion="2.80").json()
    (newest,) = page["migrations"]
    assert [link["rel"] for link in page["migrations_links"]] == ["next"]
    assert ids(f"{mine}&marker={newest['uuid']}") == [first.id]
    assert [each.server_id for each in admin.compute.migrations(instance_uuid=first.id)] == [
        first.id
    ]
