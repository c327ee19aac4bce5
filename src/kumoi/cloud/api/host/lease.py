"""A host renews its lease. No store has a part in it: while PostgreSQL changes its leader, nobody is fenced.

It has threads of its own, as those of other requests may all be waiting for the store then.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from kumoi.base.errors import Conflict
from kumoi.cloud.api.host import caller
from kumoi.cloud.api.request import Request
from kumoi.cloud.hostapi.lease import LeaseAnswer
from kumoi.engine.http.request import Reply
from kumoi.hosts.cluster.leases import LeaseBook, LeaseRenewal

THREADS = 8


class LeaseDesk:
    """One per process. `book` is None in a cloud that has no etcd."""

    def __init__(self, book: LeaseBook | None) -> None:
        self._book = book
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="leases")

    async def renew(self, host_id: str) -> LeaseRenewal:
        """Raises Conflict, Transient."""
        if self._book is None:
            raise Conflict("This cloud has its control plane on one host: there are no leases.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._book.renew, host_id)


async def renew(request: Request) -> Reply:
    renewal = await caller.leases_of(request).renew(caller.host_of(request))
    return Reply(200, LeaseAnswer(state=renewal.state.value, since=renewal.since))
