"""Copies of images' content on a control host: what the image rows name is fetched from another host, and what
no row names goes. Called by the unit `copies`, see hosts/cluster/copies.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO

from kumoi.base import log
from kumoi.base.errors import KumoiError, TooLarge, Transient
from kumoi.cloud.domain.image import content
from kumoi.cloud.drivers.image.files import Draft, ImageFiles
from kumoi.cloud.store.image import image as store
from kumoi.engine.db import Database
from kumoi.hosts.cluster.copy_calls import CopiesClient
from kumoi.hosts.cluster.copy_plan import Copies, CopyKind, CopyName, CopyState, Wanted


class ImageCopies:
    """`files` are this host's."""

    kind = CopyKind.IMAGE

    def __init__(self, database: Database, files: ImageFiles, most_bytes: int) -> None:
        self._database = database
        self._files = files
        self._most_bytes = most_bytes

    def prepare(self) -> None:
        """Called at the start: removes what a killed process had not finished."""
        content.sweep(self._database, self._files)

    def here(self) -> Copies:
        return {CopyName(self.kind, sha256): CopyState() for sha256 in self._files.contents()}

    def wanted(self) -> Mapping[CopyName, Wanted]:
        with self._database.read() as connection:
            return {CopyName(self.kind, sha256): Wanted() for sha256 in store.contents(connection)}

    def take(self, name: str, _wanted: Wanted, peers: Sequence[CopiesClient]) -> CopyState:
        """From several together, each going on where the one before ended; where what came is another
        content, from each of them alone.
        """
        attempts = [peers, *([peer] for peer in peers)] if len(peers) > 1 else [peers]
        for each in attempts:
            if self._fetch(name, each):
                return CopyState()
        raise Transient(f"copy the image {name}: nobody who answers has it whole")

    def remove(self, name: str, _state: CopyState) -> None:
        content.discard(self._database, self._files, name)

    def open(self, sha256: str) -> IO[bytes]:
        return self._files.open(sha256)

    def _fetch(self, sha256: str, peers: Sequence[CopiesClient]) -> bool:
        """Raises Transient where this host's disk is full."""
        with self._files.draft(self._most_bytes) as draft:
            for peer in peers:
                try:
                    for block in peer.image(sha256, draft.size):
                        draft.write(block)
                except TooLarge as cause:
                    raise Transient(f"copy the image {sha256}: {cause.message}") from cause
                except KumoiError as error:
                    log.failure("image.copy_cut", error, sha256=sha256, host=peer.host)
                    continue
                return self._keep(draft, sha256)
        return False

    def _keep(self, draft: Draft, sha256: str) -> bool:
        if draft.finish().sha256 != sha256:
            return False
        with self._files.lock():
            draft.keep(sha256)
        content.discard(self._database, self._files, sha256)
        return True
