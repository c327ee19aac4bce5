"""Quotas that are not in the way of what is measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from openstack.connection import Connection


@contextlib.contextmanager
def lifted(
    admin: Connection, project_id: str, *, compute: Sequence[str] = (), network: Sequence[str] = ()
) -> Iterator[None]:
    """Of the project none by these names, within the block; they are what they were afterwards."""
    asked = (
        (compute, admin.compute.get_quota_set, admin.compute.update_quota_set),
        (network, admin.network.get_quota, admin.network.update_quota),
    )
    with contextlib.ExitStack() as ends:
        for names, get, update in asked:
            if names:
                before = get(project_id)
                ends.callback(update, project_id, **{name: before[name] for name in names})
                update(project_id, **dict.fromkeys(names, -1))
        yield
