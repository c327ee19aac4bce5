"""The release that the cloud as a whole is of (design note 0023).

Until an operator finalizes an upgrade, hosts of the release before are served and all of it can be taken
back. From then on a host of an older release keeps its servers as they are and may not act.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

import kumoi
from kumoi.base import log
from kumoi.base.errors import Conflict, Permanent
from kumoi.base.release import numbers, version_of
from kumoi.cloud.store.host import cluster_version as store
from kumoi.cloud.store.host import host as hosts
from kumoi.cloud.store.host.cluster_version import ClusterVersion


def release(connection: Connection) -> str:
    """Empty while nothing was finalized."""
    row = store.get(connection)
    return "" if row is None else row.release


def is_below(release_id: str, finalized: str) -> bool:
    """Whether a release, by its id such as "1.2.0-3f2a", is older than the one that was finalized."""
    return numbers(version_of(release_id)) < numbers(finalized)


def require(connection: Connection) -> None:
    """Called by a role that starts and changes the store. Raises Permanent where the cloud was finalized at a newer
    release: a control host that was off meanwhile does not act as before.
    """
    own, finalized = kumoi.__version__, release(connection)
    if numbers(finalized) > numbers(own):
        raise Permanent(
            f"the cloud was finalized at release {finalized}, and this is {own}: sudo ./kumoi up here, in a checkout of "
            f"{finalized}"
        )


def finalize(connection: Connection, now: datetime) -> str:
    """The cloud is of this release from now on. Raises Conflict while a host that is up runs an older one,
    or where the cloud is of a newer one already.
    """
    own, before = kumoi.__version__, release(connection)
    if numbers(before) > numbers(own):
        raise Conflict(f"the cloud was finalized at release {before}, and this is {own}")
    late = [
        f"{row.id} ({row.version})"
        for row in hosts.every(connection)
        if row.state == hosts.UP and numbers(row.version) < numbers(own)
    ]
    if late:
        raise Conflict(
            f"hosts that are up run an older release than {own}: {', '.join(late)}. Upgrade them first"
        )
    store.replace(connection, ClusterVersion(store.ONLY, own, now))
    log.event("cluster.finalized", release=own, before=before)
    return own
