"""How much a project's images may be together, by the names that Glance has for it."""

from __future__ import annotations

from openstack.connection import Connection

from kumoi.cloud.drivers.image.files import DraftRoom
from tests.running_cloud import RunningCloud
from tests.stories.image.test_file import put, status
from tests.stories.image.test_image import queued
from tests.stories.unified_limits import limited

MIB = 1 << 20


def usage(of: Connection) -> dict[str, dict[str, int]]:
    shown: dict[str, dict[str, int]] = of.image.get("/info/usage").json()["usage"]
    return shown


def test_a_projects_images_have_so_many_mib_together(
    admin: Connection, demo: Connection, other: Connection
) -> None:
    first, second = queued(demo)["id"], queued(demo)["id"]
    assert put(demo, first, bytes(MIB)).status_code == 204
    with limited(admin, demo, service="glance", resource="image_size_total", most=2):
        assert usage(demo)["image_size_total"] == {"limit": 2, "usage": 1}
        refused = put(demo, second, bytes(MIB + 1))
        assert refused.status_code == 413
        assert "may have 2097152 bytes together" in refused.text
        assert status(demo, second) == "queued"
        assert put(other, queued(other)["id"], bytes(3 * MIB)).status_code == 204
        demo.image.delete(f"/images/{first}")
        assert put(demo, second, bytes(MIB + 1)).status_code == 204
    assert usage(demo)["image_size_total"] == {"limit": 256 << 10, "usage": 2}


def test_what_is_being_uploaded_counts_as_what_there_is(
    cloud: RunningCloud, admin: Connection, demo: Connection, other: Connection
) -> None:
    """Who sent 128 images slowly, of 64 GiB each, had the disk, whatever the project's limit."""
    key = queued(demo)["id"]
    with (
        limited(admin, demo, service="glance", resource="image_size_total", most=2),
        cloud.services.images.draft(
            4 * MIB, DraftRoom(demo.current_project_id, 0, 2 * MIB)
        ) as sent_slowly,
    ):
        sent_slowly.write(bytes(MIB + 1))
        refused = put(demo, key, bytes(MIB))
        assert refused.status_code == 413
        assert "with what is being uploaded" in refused.text
        assert status(demo, key) == "queued"
        assert put(other, queued(other)["id"], bytes(MIB)).status_code == 204
    assert put(demo, key, bytes(MIB)).status_code == 204


def test_a_project_has_so_many_images_and_no_more(admin: Connection, demo: Connection) -> None:
    with limited(admin, demo, service="glance", resource="image_count_total", most=2):
        queued(demo)
        key = queued(demo)["id"]
        assert usage(demo)["image_count_total"] == {"limit": 2, "usage": 2}
        refused = demo.image.post("/images", json={"name": "one too many"})
        assert refused.status_code == 413
        demo.image.delete(f"/images/{key}")
        queued(demo)
