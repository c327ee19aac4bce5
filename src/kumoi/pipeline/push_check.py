"""What the pipeline says to a push before its branches move: whether the project may have what comes of it.

git's hook asks (receive_hook.py), once it has read each kumoi.yaml. What is said here is for whoever
pushes; each limit is enforced where the thing begins (limits.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from kumoi.base import log
from kumoi.base.errors import Invalid, KumoiError, OverQuota, StoreFull
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.pipeline import build, limits, new_run, repository_secret
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.environment import EnvironmentFile, ProjectFile
from kumoi.pipeline.resources import CloudIds, members
from kumoi.pipeline.spool import FULL
from kumoi.pipeline.store import delegation, repository
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.environment import Environment
from kumoi.pipeline.store.repository import Repository

WORD = "check"  # Begins the hook's question.
WORDS = 4


class ReadFiles(Protocol):
    def read_file(self, project_id: str, name: str, commit: str) -> ProjectFile: ...


@dataclass(frozen=True, slots=True)
class PushedEnvironment:
    wanted: EnvironmentFile
    kept: Environment | None


@dataclass(frozen=True, slots=True)
class PushCheck:
    settings: CloudSettings
    database: Database
    repositories: ReadFiles
    open_cloud: Callable[[Delegation], Cloud]

    def refusal(self, lines: list[str]) -> str:
        """Why a push is refused, in one line; empty where it is not. `lines` are "check PROJECT REPOSITORY
        BYTES", with the size on disk that the push makes of the repository, and "COMMIT BRANCH" for each
        head that it moves.
        """
        words = lines[0].split(" ")
        if len(words) != WORDS or not words[3].isdecimal():
            return ""
        with self.database.read() as connection:
            found = repository.find(connection, words[1], words[2])
        if found is None:
            return ""
        heads = [line.partition(" ")[::2] for line in lines[1:]]
        try:
            self._require(found, int(words[3]), [(commit, branch) for commit, branch in heads])
        except (OverQuota, Invalid) as refused:
            return refused.message
        except StoreFull:  # What the push is to begin could not be recorded.
            return FULL
        except KumoiError as error:  # Each limit is enforced again where the thing begins.
            log.failure("push.not_checked", error, repository=found.id)
        return ""

    def _require(self, found: Repository, size_bytes: int, heads: list[tuple[str, str]]) -> None:
        """Raises OverQuota, and Invalid where a file asks for a secret that is not set."""
        files = [
            self.repositories.read_file(found.project_id, found.name, commit).of_branch(branch)
            for commit, branch in heads
        ]
        with self.database.read() as connection:
            limits.require_size(connection, self.settings, found, size_bytes)
            for file in files:
                fault = repository_secret.missing(connection, found.id, file)
                if fault:
                    raise Invalid(fault)
            pushed = [
                PushedEnvironment(file, new_run.find_kept(connection, found.id, branch, file))
                for file, (_, branch) in zip(files, heads, strict=True)
            ]
            shapes = [(msgspec.to_builtins(each.wanted), each.kept) for each in pushed]
            limits.require_environments(connection, self.settings, found.project_id, shapes)
            acting = delegation.get_of_repository(connection, found.id)
        if acting is not None and pushed:
            self._require_disk(found, pushed, acting)
        with self.database.write(wakes=False) as connection:
            repository.set_size(connection, found.id, size_bytes)

    def _require_disk(
        self, found: Repository, pushed: list[PushedEnvironment], acting: Delegation
    ) -> None:
        """Raises OverQuota. A cloud that does not answer now refuses the run later."""
        names = {member.flavor for each in pushed for member in members(each.wanted)}
        try:
            cloud = self.open_cloud(acting)
            flavors = {name: cloud.find_flavor(name) for name in sorted(names)}
        except KumoiError:
            return
        ids = CloudIds(
            disk_gib={name: each.disk_gib for name, each in flavors.items() if each is not None}
        )
        disk_gib = sum(build.disk_gib(each.wanted, ids) for each in pushed)
        kept = {each.kept.id for each in pushed if each.kept is not None}
        with self.database.read() as connection:
            limits.require_disk(
                connection, self.settings, found.project_id, disk_gib, instead_of=kept
            )
