"""The metadata of images as compute changes it, in the versions that do."""

from __future__ import annotations

from typing import Any

from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

LAST = "2.38"


def get(who: Connection, path: str, version: str = LAST) -> Any:
    answer = who.compute.get(path, microversion=version)
    assert answer.status_code == 200, answer.text
    return answer.json()


def image_of(who: Connection, **values: Any) -> Any:
    """Without content, nor the properties that openstacksdk adds."""
    wanted = {"name": f"img-{new_hex_id()[:6]}", "visibility": "private"}
    return who.image.get_image(who.image.post("/images", json=wanted | values).json()["id"])


def test_the_metadata_of_an_image_is_changed(tenant: Connection, neighbour: Connection) -> None:
    path = f"/images/{image_of(tenant, stage='new').id}/metadata"

    def put(where: str, body: Any, method: str = "PUT", who: Connection = tenant) -> Any:
        return who.compute.request(where, method, json=body, microversion=LAST)

    assert get(tenant, path) == {"metadata": {"stage": "new"}}
    both = {"metadata": {"stage": "new", "os": "debian"}}
    assert put(path, {"metadata": {"os": "debian"}}, "POST").json() == both
    assert get(tenant, path) == both
    item = {"meta": {"os": "alpine"}}
    assert put(f"{path}/os", item).json() == get(tenant, f"{path}/os") == item
    assert put(f"{path}/stage", item).status_code == 400
    assert put(path, {"metadata": {"a": "b"}}).json() == {"metadata": {"a": "b"}}
    assert tenant.compute.delete(f"{path}/a", microversion=LAST).status_code == 204
    assert tenant.compute.delete(f"{path}/a", microversion=LAST).status_code == 404
    assert tenant.compute.get(f"{path}/a", microversion=LAST).status_code == 404
    for name, status in (("status", 403), ("is_public", 403), ("name", 400)):
        assert put(path, {"metadata": {name: "x"}}).status_code == status
    many = {"metadata": {f"k{count}": "v" for count in range(128)}}
    assert put(path, many).status_code == 200
    assert put(path, {"metadata": {"more": "v"}}, "POST").status_code == 403
    assert get(tenant, path) == many
    assert put(path, both, who=neighbour).status_code == 404
    assert tenant.compute.get(path, microversion="2.39").status_code == 404


def test_another_tenants_public_image_keeps_its_metadata(tenant: Connection, image_id: str) -> None:
    path = f"/images/{image_id}/metadata"
    before = get(tenant, path)
    answer = tenant.compute.post(path, json={"metadata": {"a": "b"}}, microversion=LAST)
    assert (answer.status_code, get(tenant, path)) == (403, before)
