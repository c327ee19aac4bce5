"""Compute quotas: how many servers, cores and so on a project may have.

Checked inside the transaction that adds them, so that the check holds however many requests come at
once.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid, OverQuota
from kumoi.cloud.store.compute import keypair, quota, server, server_group
from kumoi.cloud.store.identity import limit as unified
from kumoi.cloud.store.limits import UNLIMITED

DEFAULT_CLASS = "class:default"
SERVICE_TYPE = "compute"
DISK = "class:DISK_GB"
DEFAULTS = {
    "instances": 100,
    "cores": 200,
    "ram": 204_800,
    "metadata_items": 128,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 100,
    "injected_files": 5,
    "injected_file_content_bytes": 10_240,
    "injected_file_path_bytes": 255,
    "fixed_ips": -1,
    "floating_ips": -1,
    "security_groups": -1,
    "security_group_rules": -1,
}


FILE_WORDS = {
    "injected_files": "Personality file limit",
    "injected_file_path_bytes": "Personality file path limit",
    "injected_file_content_bytes": "Personality file content limit",
}


@dataclass(frozen=True, slots=True)
class Usage:
    limit: int
    in_use: int


def defaults(connection: Connection) -> dict[str, int]:
    """The limits of a project that has none of its own."""
    return DEFAULTS | quota.limits(connection, DEFAULT_CLASS)


def limits(connection: Connection, project_id: str) -> dict[str, int]:
    ordinary, own = quota.limits_of(connection, (DEFAULT_CLASS, project_id))
    return DEFAULTS | ordinary | own


def usages(connection: Connection, project_id: str, user_id: str | None = None) -> dict[str, Usage]:
    """Every resource with its limit and what is in use; keypairs are counted per user."""
    instances, cores, ram = server.usage(connection, project_id)
    used = {
        "instances": instances,
        "cores": cores,
        "ram": ram,
        "server_groups": server_group.count(connection, project_id),
        "key_pairs": keypair.count(connection, user_id) if user_id else 0,
    }
    allowed = limits(connection, project_id)
    return {name: Usage(limit, used.get(name, 0)) for name, limit in allowed.items()}


def change(
    connection: Connection, project_id: str, values: Mapping[str, int], *, force: bool
) -> None:
    """Raises Invalid for a limit below what is in use, unless forced."""
    if not force and project_id != DEFAULT_CLASS:
        for name, usage in usages(connection, project_id).items():
            limit = values.get(name, UNLIMITED)
            if limit != UNLIMITED and limit < usage.in_use:
                raise Invalid(
                    f"Quota limit {limit} for {name} must be greater than or equal to already used "
                    f"and reserved {usage.in_use}.",
                    field=name,
                )
    for name, limit in values.items():
        quota.put(connection, project_id, name, limit)


def reset(connection: Connection, project_id: str) -> None:
    quota.clear(connection, project_id)


def servers_allowed(
    connection: Connection,
    project_id: str,
    *,
    min_count: int,
    max_count: int,
    vcpus: int,
    ram_mib: int,
) -> int:
    """How many servers of a size may be made, between `min_count` and `max_count`.

    Raises OverQuota, which names the resources that do not suffice for `min_count`.
    """
    allowed = limits(connection, project_id)
    used = server.usage(connection, project_id)
    names, each = ("instances", "cores", "ram"), (1, vcpus, ram_mib)
    rooms = [
        max_count if allowed[name] == UNLIMITED or not size else (allowed[name] - has) // size
        for name, has, size in zip(names, used, each, strict=True)
    ]
    count = min(max_count, *rooms)
    if count >= min_count:
        return count
    short = [index for index, room in enumerate(rooms) if room < min_count]
    raise OverQuota(
        "Quota exceeded for {}: Requested {}, but already used {} of {} {}".format(
            *(
                ", ".join(str(values[index]) for index in short)
                for values in (
                    names,
                    [size * min_count for size in each],
                    used,
                    [allowed[name] for name in names],
                    names,
                )
            )
        ),
        resource=names[short[0]],
    )


def require(
    connection: Connection, project_id: str, resource: str, *, used: int, more: int = 1
) -> None:
    """Raises OverQuota when `used` and `more` together exceed the limit."""
    limit = limits(connection, project_id)[resource]
    if limit != UNLIMITED and used + more > limit:
        raise OverQuota(
            f"Quota exceeded, too many {resource.replace('_', ' ')}.", resource=resource
        )


def require_disk(connection: Connection, project_id: str, *, more_gib: int) -> None:
    """Raises OverQuota where servers would have more disk together than the project's limit `class:DISK_GB`
    of unified limits. Nova's quotas have no word for it.
    """
    limit = unified.allowed(connection, SERVICE_TYPE, DISK, project_id)
    if limit is None or limit == UNLIMITED or more_gib <= 0:
        return
    used = server.disk_gib(connection, project_id)
    if used + more_gib > limit:
        raise OverQuota(
            f"Quota exceeded for {DISK}: Requested {more_gib}, but already used {used} of {limit} "
            f"{DISK}",
            resource=DISK,
        )


def require_files(
    connection: Connection, project_id: str, files: Sequence[Mapping[str, str]]
) -> None:
    """Raises OverQuota for more files than a server may be given, and for one that is too large."""
    if not files:
        return
    most = limits(connection, project_id)
    for resource, used in (
        ("injected_files", len(files)),
        ("injected_file_path_bytes", max(len(file["path"].encode()) for file in files)),
        (
            "injected_file_content_bytes",
            max(len(base64.b64decode(file["contents"])) for file in files),
        ),
    ):
        if most[resource] != UNLIMITED and used > most[resource]:
            raise OverQuota(
                f"{FILE_WORDS[resource]} exceeded: {used} of {most[resource]}.", resource=resource
            )
