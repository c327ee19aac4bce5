"""What a project's images may be together: Glance's unified limits where they are registered, else the
cloud's own.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from kumoi.cloud.store.identity import limit
from kumoi.cloud.store.image import image as store
from kumoi.cloud.store.limits import UNLIMITED
from kumoi.config import CloudSettings

SERVICE_TYPE = "image"
SIZE = "image_size_total"  # In MiB.
COUNT = "image_count_total"
IMAGES_MAX = 500
MIB = 1 << 20


def total_bytes(connection: Connection, cloud: CloudSettings, project_id: str | None) -> int:
    """Never more than the cloud's own setting."""
    allowed = limit.allowed(connection, SERVICE_TYPE, SIZE, project_id or "")
    own = cloud.image_project_max_bytes
    return own if allowed is None or allowed == UNLIMITED else min(own, allowed * MIB)


def usage(
    connection: Connection, cloud: CloudSettings, project_id: str | None
) -> dict[str, tuple[int, int]]:
    """The limit and what there is, by Glance's names."""
    has, size = store.held(connection, project_id)
    return {
        SIZE: (total_bytes(connection, cloud, project_id) // MIB, -(-size // MIB)),
        COUNT: (count(connection, project_id), has),
    }


def count(connection: Connection, project_id: str | None) -> int:
    """How many images, likewise."""
    allowed = limit.allowed(connection, SERVICE_TYPE, COUNT, project_id or "")
    return IMAGES_MAX if allowed is None or allowed == UNLIMITED else min(IMAGES_MAX, allowed)
