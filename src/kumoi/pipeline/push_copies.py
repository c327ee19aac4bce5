"""A push is acknowledged when a second control host has it, where there is one that answers.

Each change of a repository has a number, above that of every one before: the row's is odd while it is made, and
the next one is written when it has been, which is when others were given the time to take it. A host whose own
note (repository_copy.py) is behind the row has not seen that change: it asks for it before it serves any.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from kumoi import members
from kumoi.base import log
from kumoi.base.errors import Conflict, KumoiError, Transient
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.hosts.cluster import copy_calls, copy_plan
from kumoi.hosts.cluster.copy_calls import CopiesClient
from kumoi.pipeline.repository_calls import CopyNote
from kumoi.pipeline.repository_client import NO_CHANGE, RepositoriesClient
from kumoi.pipeline.store import repository
from kumoi.pipeline.store.repository import Repository

TAKEN_WITHIN_S = 20.0
AGAIN_S = 2.0
OVERTAKEN = "another control host took a push to this repository at the same time: push again"


class PushCopies:
    """Of the host `host`. Without `peers`, of a cloud of one control host, nothing is noted and nobody asked."""

    def __init__(
        self,
        database: Database,
        repositories: RepositoriesClient,
        host: str,
        *,
        own: CopiesClient | None = None,
        peers: Sequence[CopiesClient] = (),
    ) -> None:
        self._database = database
        self._repositories = repositories
        self._host = host
        self._own = own
        self._peers = peers

    @classmethod
    def of(
        cls,
        cloud: CloudSettings,
        host: HostSettings,
        database: Database,
        repositories: RepositoriesClient,
    ) -> PushCopies:
        if not members.have_stores(cloud):
            return cls(database, repositories, host.name)
        name = members.store_certificate(members.PIPELINE)
        tls = copy_calls.tls_context(members.certificate(host, name))
        me = members.own(cloud, host)
        own = CopiesClient(me, tls)
        peers = [CopiesClient(each, tls) for each in cloud.control_hosts if each != me]
        return cls(database, repositories, host.name, own=own, peers=peers)

    def require_here(self, found: Repository) -> None:
        """Raises Transient where this host does not have all of it, and nobody gives it."""
        if self._own is None:
            return
        with self._database.read() as connection:
            current = repository.get(connection, found.id)
            is_new = not repository.list_branches(connection, found.id)
        if current is not None:
            self.require_state(current, is_new=is_new)

    def require_state(self, found: Repository, *, is_new: bool) -> None:
        """`require_here` of the row as it was read; what is read of the repository after this is not older than that.
        It is new where no branch of it is known.
        """
        if self._own is None:
            return
        note = self._repositories.note(found.project_id, found.name)
        if note is None and is_new and not found.changes:
            return
        wanted = copy_plan.Wanted(copy_plan.CopyState(found.id, found.changes))
        here = copy_plan.CopyState(note.id, note.number) if note is not None else None
        if copy_plan.is_current(wanted, here):
            return
        number = copy_plan.settled(found.changes)
        try:
            self._own.bring_repository(f"{found.project_id}/{found.name}", number)
        except KumoiError as cause:
            raise Transient(
                f"the repository {found.name} is not on this host's disk, and no other control host gives it: "
                "try again",
                retry_after_s=AGAIN_S,
            ) from cause

    def is_changed_elsewhere(self, found: Repository) -> bool:
        """Whether another host makes a change just now, whose heads are not here yet."""
        is_elsewhere = found.changed_on != self._host
        return self._own is not None and is_elsewhere and found.changes % 2 == 1

    def begin(self, found: Repository) -> CopyNote:
        """Note that a change begins."""
        if self._own is None:
            return NO_CHANGE
        with self._database.write(wakes=False) as connection:
            return CopyNote(found.id, repository.begin_change(connection, found.id, self._host))

    def end(self, found: Repository, change: CopyNote) -> str:
        """It was made. What whoever pushed is to know, "" where another host has it, too. Raises Conflict where
        another host has begun one meanwhile: then this one is of no effect.
        """
        if self._own is None:
            return ""
        holder = self._first_to_take(found, change.number + 1)
        with self._database.write(wakes=False) as connection:
            if not repository.end_change(connection, found.id, self._host, change.number):
                raise Conflict(OVERTAKEN)
        if holder:
            return ""
        log.warning("push.one_copy", repository=found.id, number=change.number + 1)
        return (
            f"this push is on the disk of {self._host} alone: no other control host took it within "
            f"{TAKEN_WITHIN_S:g} s. It is copied as soon as one can; `cluster status` shows it"
        )

    def _first_to_take(self, found: Repository, number: int) -> str:
        """The name of a host that has it, "" when none has in time. Others go on taking it."""
        name = f"{found.project_id}/{found.name}"
        asking = ThreadPoolExecutor(max(len(self._peers), 1), thread_name_prefix="push-copies")
        try:
            asked = {
                asking.submit(peer.bring_repository, name, number, within_s=TAKEN_WITHIN_S): peer
                for peer in self._peers
            }
            for answered in as_completed(asked):
                error = answered.exception()
                if error is None:
                    return asked[answered].host
                if not isinstance(error, KumoiError):
                    raise error
                log.failure("push.not_taken", error, repository=found.id, host=asked[answered].host)
        finally:
            asking.shutdown(wait=False)
        return ""
