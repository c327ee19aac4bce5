"""Copies of pushed repositories on a control host: what the store names is fetched from another host, and what it
names no more goes. Called by the unit `copies`, see hosts/cluster/copies.py; the unit that owns the repositories
does what is to be done with one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from kumoi.base import files, log
from kumoi.base.errors import KumoiError, Transient
from kumoi.engine.db import Database
from kumoi.hosts.cluster.copy_calls import CopiesClient
from kumoi.hosts.cluster.copy_plan import Copies, CopyKind, CopyName, CopyState, Wanted
from kumoi.pipeline.repository_client import RepositoriesClient
from kumoi.pipeline.store import repository

PACK_MAX_BYTES = 8 << 30


class RepositoryCopies:
    """`drafts` is where packs are on their way."""

    kind = CopyKind.REPOSITORY

    def __init__(self, database: Database, repositories: RepositoriesClient, drafts: Path) -> None:
        self._database = database
        self._repositories = repositories
        self._drafts = drafts

    def here(self) -> Copies:
        found = self._repositories.list_copies()
        return {
            CopyName(self.kind, name): CopyState(note.id, note.number)
            for name, note in found.items()
        }

    def wanted(self) -> Mapping[CopyName, Wanted]:
        with self._database.read() as connection:
            rows = repository.list_copies(connection)
        return {
            CopyName(self.kind, f"{row.project_id}/{row.name}"): Wanted(
                CopyState(row.id, row.changes), row.changed_on
            )
            for row in rows
        }

    def take(self, name: str, wanted: Wanted, peers: Sequence[CopiesClient]) -> CopyState:
        project_id, short = name.split("/", 1)
        haves = self._repositories.haves(project_id, short)
        for peer in peers:
            try:
                with tempfile.TemporaryFile(dir=self._drafts) as packed:
                    peer.pack(name, haves, packed, self._room(name))
                    packed.seek(0)
                    found = self._repositories.take(project_id, short, wanted.state.id, packed)
            except OSError as cause:
                raise Transient(f"copy the repository {name}: {cause.strerror}") from cause
            except KumoiError as error:
                log.failure("repository.copy_cut", error, repository=name, host=peer.host)
            else:
                return CopyState(found.id, found.number)
        raise Transient(f"copy the repository {name}: nobody who answers has it whole")

    def remove(self, name: str, state: CopyState) -> None:
        project_id, short = name.split("/", 1)
        self._repositories.remove(project_id, short, state.id)

    def pack(self, name: str, haves: list[str]) -> IO[bytes]:
        """For another host. The file is gone when it is closed."""
        self._room(name)
        project_id, short = name.split("/", 1)
        with contextlib.ExitStack() as opened:
            out = opened.enter_context(tempfile.TemporaryFile(dir=self._drafts))
            asked = opened.enter_context(tempfile.TemporaryFile(dir=self._drafts))
            asked.write("".join(f"{commit}\n" for commit in haves).encode())
            asked.seek(0)
            self._repositories.pack(project_id, short, asked, out)
            asked.close()
            opened.pop_all()  # Whoever reads it closes it.
        return out

    def _room(self, name: str) -> int:
        """Bytes that a pack may take, which is there and, unpacked, in the repository. Raises Transient."""
        room = files.beyond_reserve(os.statvfs(self._drafts)) // 2
        if room <= 0:
            raise Transient(f"copy the repository {name}: this host's disk is full")
        return min(room, PACK_MAX_BYTES)
