"""A role ends when the cloud is finalized at a newer release while it runs.

Whoever is off then does not start (domain/host/cluster_version.py). A control host that was cut off, or frozen, has its
API and worker all the while: this is what ends them once the store is reached again. They are started anew, and
refuse by the same words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, NoReturn

from kumoi.base import log
from kumoi.base.errors import Transient
from kumoi.cloud.domain.host import cluster_version
from kumoi.engine.db import Database

LOOK_EVERY_S = 5.0


async def while_current(database: Database, role: Coroutine[Any, Any, None]) -> None:
    """Until the role ends. Raises Permanent when it is of an older release than the cloud, by then."""
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(database))
        await role
        watching.cancel()


async def _watch(database: Database) -> NoReturn:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            await asyncio.to_thread(_look, database)
        except Transient as error:
            log.failure("cluster.release_not_read", error)  # It is asked again.


def _look(database: Database) -> None:
    with database.following(), database.read() as connection:
        cluster_version.require(connection)
