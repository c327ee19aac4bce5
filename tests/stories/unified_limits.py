"""Limits of Keystone's unified limits, set for a while as an operator sets them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from openstack.connection import Connection


@contextlib.contextmanager
def limited(
    admin: Connection, project: Connection, *, service: str, resource: str, most: int
) -> Iterator[None]:
    """That project may have so many; all others as many as before."""
    found = admin.identity.find_service(service, ignore_missing=False)
    registered = admin.identity.create_registered_limit(
        service_id=found.id, resource_name=resource, default_limit=-1
    )
    own = admin.identity.create_limit(
        service_id=found.id,
        resource_name=resource,
        project_id=project.current_project_id,
        resource_limit=most,
    )
    try:
        yield
    finally:
        admin.identity.delete_limit(own)
        admin.identity.delete_registered_limit(registered)
