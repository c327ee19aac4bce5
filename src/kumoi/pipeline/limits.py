"""What a project may have of the pipeline: one table, whose limits are settings of the cloud.

Called in the open transaction where something begins: a repository, a push, an environment, its servers.
Each `require` raises OverQuota in words for whoever pushes, with the setting's name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import OverQuota
from kumoi.config import CloudSettings
from kumoi.pipeline.store import environment, repository, run
from kumoi.pipeline.store.environment import Environment
from kumoi.pipeline.store.repository import Repository

MIB = 1 << 20
LESS = {
    "project_environments": "delete one with `kumoi env delete` and try again",
    "project_environment_servers": "delete an environment with `kumoi env delete` and try again",
    "project_environment_gib": "delete an environment with `kumoi env delete` and try again",
    "project_repositories": "delete one with `kumoi repository delete` and try again",
    "project_repositories_mib": "delete a repository with `kumoi repository delete` and try again",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A row of the table; `name` is the setting's, and says the unit."""

    name: str
    about: str
    used: int
    most: int


def table(connection: Connection, settings: CloudSettings, project_id: str) -> list[Limit]:
    """All that is limited, with what the project has now."""
    there = environment.list_there(connection, project_id)
    running = [each for each in run.list_running(connection) if each.project_id == project_id]
    repositories = repository.list_of_project(connection, project_id)
    used: Mapping[str, tuple[str, int]] = {
        "project_runs": ("runs at once", sum(not each.is_queued for each in running)),
        "project_environments": ("environments", len(there)),
        "project_environment_servers": ("servers", sum(_servers(each.wanted) for each in there)),
        "project_environment_gib": ("GiB of disk", sum(each.disk_gib for each in there)),
        "project_repositories": ("repositories", len(repositories)),
        "project_repositories_mib": (
            "MiB in repositories",
            _mib(sum(each.size_bytes for each in repositories)),
        ),
        "project_logs_mib": ("MiB of logs", _mib(run.log_size(connection, project_id))),
    }
    return [
        Limit(name, about, count, getattr(settings, name)) for name, (about, count) in used.items()
    ]


def require_environments(
    connection: Connection,
    settings: CloudSettings,
    project_id: str,
    pushed: Sequence[tuple[Mapping[str, Any], Environment | None]],
) -> None:
    """For environments that are to begin: of each its file, and the kept one that it goes on with."""
    there = environment.list_there(connection, project_id)
    kept = {each.id for _, each in pushed if each is not None}
    count = len(there) + sum(each is None for _, each in pushed)
    servers = sum(_servers(each.wanted) for each in there if each.id not in kept)
    servers += sum(_servers(wanted) for wanted, _ in pushed)
    if len(there) < count:
        _require(settings, "project_environments", "environments", count)
    _require(settings, "project_environment_servers", "servers in its environments", servers)


def require_disk(
    connection: Connection,
    settings: CloudSettings,
    project_id: str,
    disk_gib: int,
    *,
    instead_of: Collection[str],
) -> None:
    """For servers; `instead_of` are the environments that they are of, where these are there already."""
    there = environment.list_there(connection, project_id)
    total = disk_gib + sum(each.disk_gib for each in there if each.id not in instead_of)
    _require(settings, "project_environment_gib", "GiB of disk in its environments", total)


def require_repository(connection: Connection, settings: CloudSettings, project_id: str) -> None:
    """For one more."""
    count = len(repository.list_of_project(connection, project_id)) + 1
    _require(settings, "project_repositories", "repositories", count)


def require_size(
    connection: Connection, settings: CloudSettings, found: Repository, size_bytes: int
) -> None:
    """For a repository that a push makes so large."""
    others = repository.list_of_project(connection, found.project_id)
    total = size_bytes + sum(each.size_bytes for each in others if each.id != found.id)
    _require(settings, "project_repositories_mib", "MiB in its repositories", _mib(total))


def _require(settings: CloudSettings, name: str, about: str, total: int) -> None:
    most = int(getattr(settings, name))
    if total > most:
        raise OverQuota(
            f"this project would have {total} {about}, and may have {most} ({name}): {LESS[name]}",
            resource=name,
        )


def _servers(wanted: Mapping[str, Any]) -> int:
    """Of a file as it is stored, with its runner."""
    return 1 + sum(int(group.get("count", 1)) for group in wanted.get("servers", {}).values())


def _mib(size_bytes: int) -> int:
    return -(-size_bytes // MIB)
