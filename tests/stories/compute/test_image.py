"""Images as compute shows them, in the versions that do."""

from __future__ import annotations

from typing import Any

from openstack.connection import Connection

from kumoi.base.ids import new_hex_id, new_id

LAST, GONE = "2.35", "2.36"


def get(who: Connection, path: str, version: str = LAST) -> Any:
    answer = who.compute.get(path, microversion=version)
    assert answer.status_code == 200, answer.text
    return answer.json()


def image_of(who: Connection, **values: Any) -> Any:
    """Without content, nor the properties that openstacksdk adds."""
    wanted = {"name": f"img-{new_hex_id()[:6]}", "visibility": "private"}
    return who.image.get_image(who.image.post("/images", json=wanted | values).json()["id"])


def test_images_are_listed_filtered_and_paged(tenant: Connection, image_id: str) -> None:
    old = image_of(tenant, min_ram=64, image_type="golden")
    new = image_of(tenant, min_disk=3)
    listed = get(tenant, "/images")["images"]
    ids = [image["id"] for image in listed]
    assert {old.id, new.id, image_id} <= set(ids)
    assert ids.index(new.id) < ids.index(old.id)
    assert all(set(image) == {"id", "name", "links"} for image in listed)
    detailed = {image["id"]: image for image in get(tenant, "/images/detail")["images"]}
    assert detailed[old.id] == get(tenant, f"/images/{old.id}")["image"]
    assert detailed[old.id]["status"] == "SAVING"

    def found(query: str) -> list[str]:
        return [image["id"] for image in get(tenant, f"/images?{query}")["images"]]

    assert found(f"name={old.name}") == found("minRam=64") == found("type=golden") == [old.id]
    assert found("property-image_type=golden") == [old.id]
    assert found("minDisk=3") == [new.id]
    assert image_id in found("status=active")
    assert {old.id, new.id} <= set(found("status=SAVING"))
    assert found("status=unicorn") == found("server=nobody") == []
    assert set(found("changes-since=2000-01-01T00:00:00Z")) == set(ids)
    assert found("changes-since=2999-01-01T00:00:00Z") == []
    paged: list[str] = []
    page = get(tenant, "/images?limit=1")
    while page["images"]:
        paged += [image["id"] for image in page["images"]]
        page = get(tenant, f"/images?limit=1&marker={paged[-1]}")
    assert paged == ids
    assert get(tenant, "/images?limit=0") == {"images": []}
    assert "marker=" in get(tenant, "/images?limit=1")["images_links"][0]["href"]


def test_the_list_of_images_is_gone_and_what_makes_no_sense_is_refused(tenant: Connection) -> None:
    for path in ("/images", "/images/detail"):
        assert tenant.compute.get(path, microversion=GONE).status_code == 404
        for query in ("limit=x", "minRam=x", "changes-since=x", f"marker={new_id()}"):
            answer = tenant.compute.get(f"{path}?{query}", microversion=LAST)
            assert answer.status_code == 400, query
