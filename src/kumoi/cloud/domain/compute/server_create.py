"""Create servers: checks, host, ports, rows, all in one transaction of the caller's.

A request that does not fit what the caller can see is refused. Where only the cloud could know that
no host has room, or that a network has no address left, a server in ERROR says so and claims
nothing.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import (
    action,
    boot_image,
    flavor,
    networking,
    placement,
    quota,
    server_group,
)
from kumoi.cloud.domain.compute.keypair import SSH
from kumoi.cloud.domain.compute.networking import Nic
from kumoi.cloud.domain.compute.server import require_metadata
from kumoi.cloud.domain.host import aggregate
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.hostapi.offer import Capability
from kumoi.cloud.store.compute import keypair as keypair_store
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute.flavor import Flavor
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.image.image import Image
from kumoi.engine.db import undone_together

HOSTNAME_MAX = 63
INTERFACES_TOGETHER = 5
"""Of servers that one transaction makes: each takes a millisecond or two, in which nobody else
writes.
"""
RESERVATION_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRequest:
    """Servers to be made, at least `min_count` and at most `max_count`; the API has checked the
    form of each field. `nics` of None leaves the choice of the network to us; with
    `may_lack_network` there need not be one.
    """

    name: str
    flavor_id: str
    image_id: str
    min_count: int = 1
    max_count: int = 1
    nics: tuple[Nic, ...] | None = None
    may_lack_network: bool = True
    key_name: str | None = None
    security_groups: tuple[str, ...] = ()
    user_data: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    description: str | None = None
    hostname: str | None = None
    config_drive: bool = False
    access_ipv4: str = ""
    access_ipv6: str = ""
    zone: str | None = None
    host_id: str | None = None
    disk_config: str = "MANUAL"
    group_id: str | None = None
    files: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same for all servers of one request."""

    flavor: Flavor
    image: Image
    keys: list[str]
    nics: tuple[Nic, ...]
    group_ids: tuple[str, ...]
    reservation_id: str
    now: datetime


def create(
    connection: Connection,
    caller: Caller,
    wanted: ServerRequest,
    now: datetime,
    *,
    made: Sequence[Server] = (),
) -> list[Server]:
    """The next servers of a request after those `made`, as many as one transaction makes; none when
    there are all that the quota allows. Raises what the checks raise.
    """
    if caller.project_id is None:
        raise Forbidden("A token scoped to a project is needed.")
    plan, count = _plan(connection, caller, wanted, now, made)
    last = len(made) + min(count, max(1, INTERFACES_TOGETHER // max(1, len(plan.nics))))
    rows: list[Server] = []
    for index in range(len(made), last):
        row = _row(connection, caller, wanted, plan, index)
        rows.append(_make(connection, caller, wanted, plan, row))
    return rows


def hostname(name: str, key: str) -> str:
    """A valid hostname made of a server's name; where nothing of it is left, of its id."""
    plain = re.sub(r"[ _.]", "-", name.lower())
    plain = re.sub(r"[^a-z0-9-]", "", plain).strip("-")[:HOSTNAME_MAX].strip("-")
    return plain or f"server-{key}"


def numbered(hostname: str, number: str) -> str:
    """With the number behind its first label."""
    label, dot, domain = hostname.partition(".")
    return f"{label}{number}{dot}{domain}"


def keys(connection: Connection, caller: Caller, name: str | None) -> list[str]:
    """The public keys of a keypair of the caller's. Raises Invalid (field `key_name`)."""
    if name is None:
        return []
    row = keypair_store.get(connection, caller.user_id, name)
    if row is None:
        raise Invalid("Invalid key_name provided.", field="key_name")
    return [row.public_key.strip()] if row.type == SSH else []


def flavor_for(connection: Connection, caller: Caller, key: str) -> Flavor:
    """The flavor that a server is to have. Raises Invalid (field `flavorRef`)."""
    try:
        return flavor.get(connection, caller, key)
    except NotFound as cause:
        raise Invalid(f"Flavor {key} could not be found.", field="flavorRef") from cause


def _plan(
    connection: Connection,
    caller: Caller,
    wanted: ServerRequest,
    now: datetime,
    made: Sequence[Server],
) -> tuple[_Plan, int]:
    """Check what the caller can see; gives the plan, and how many more servers to make."""
    project_id = caller.project_id or ""
    size = flavor_for(connection, caller, wanted.flavor_id)
    if size.disk_gib == 0:
        raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
    image = boot_image.usable(
        connection, caller, wanted.image_id, ram_mib=size.ram_mib, disk_gib=size.disk_gib
    )
    if wanted.zone is not None and not aggregate.zone_names(connection).get(wanted.zone):
        raise Invalid("The requested availability zone is not available", field="availability_zone")
    ssh_keys = keys(connection, caller, wanted.key_name)
    require_metadata(connection, project_id, wanted.metadata)
    quota.require_files(connection, project_id, wanted.files)
    nics = wanted.nics
    if nics is None:
        nics = networking.automatic(connection, caller, may_lack=wanted.may_lack_network)
    networking.check(connection, caller, nics, servers=wanted.max_count)
    group_ids = networking.groups(connection, caller, wanted.security_groups, now)
    count = quota.servers_allowed(
        connection,
        project_id,
        min_count=max(0, wanted.min_count - len(made)),
        max_count=wanted.max_count - len(made),
        vcpus=size.vcpus,
        ram_mib=size.ram_mib,
    )
    quota.require_disk(connection, project_id, more_gib=count * size.disk_gib)
    if wanted.group_id is not None:
        _check_group(connection, caller, wanted.group_id, count)
    reservation = (
        made[0].reservation_id
        if made
        else "r-" + "".join(secrets.choice(RESERVATION_LETTERS) for _ in range(8))
    )
    return _Plan(size, image, ssh_keys, nics, group_ids, reservation, now), count


def _make(
    connection: Connection,
    caller: Caller,
    wanted: ServerRequest,
    plan: _Plan,
    row: Server,
) -> Server:
    """Schedule, claim, attach and insert a server; or insert one in ERROR that says why not."""
    now = plan.now
    spec = placement.request_spec(
        connection,
        plan.flavor,
        image_format=boot_image.format_of(plan.image),
        image_id=plan.image.id,
        group_id=wanted.group_id,
        zone=wanted.zone,
        host_id=wanted.host_id,
        more=(Capability.FILES,) if wanted.files else (),
    )
    decision = placement.place(connection, spec)
    if decision.host_id is None:
        reasons = "; ".join(decision.reasons)
        return _failed(connection, caller, row, f"No valid host was found. {reasons}.", now)
    placed = msgspec.structs.replace(row, host_id=decision.host_id, driver=decision.driver)
    try:
        with undone_together(connection):
            slot = placement.claim(connection, decision.host_id, spec)
            placed = msgspec.structs.replace(placed, id_slot=slot)
            for nic in plan.nics:
                networking.attach(
                    connection, caller, placed, nic, group_ids=plan.group_ids, now=now
                )
            store.insert(connection, placed)
    except Conflict as refused:
        if refused.kind != networking.NO_ADDRESS:
            raise
        return _failed(connection, caller, row, refused.message, now)
    action.begin(connection, caller, placed, "create", now)
    log.event("server.created", server=placed.id, host=placed.host_id)
    return placed


def _failed(
    connection: Connection, caller: Caller, row: Server, fault: str, now: datetime
) -> Server:
    """Insert a server in ERROR, which has no host and claims nothing."""
    failed = msgspec.structs.replace(
        row, state=InstanceState.FAILED.value, fault=fault, fault_at=now
    )
    store.insert(connection, failed)
    action.begin(connection, caller, failed, "create", now)
    action.end(connection, failed.id, now, fault=fault)
    log.event("server.failed", server=failed.id, fault=fault)
    return failed


def _row(
    connection: Connection,
    caller: Caller,
    wanted: ServerRequest,
    plan: _Plan,
    index: int,
) -> Server:
    key, number = new_id(), f"-{index + 1}" if wanted.max_count > 1 else ""
    name = wanted.name + number
    return Server(
        id=key,
        project_id=caller.project_id or "",
        user_id=caller.user_id,
        name=name,
        description=wanted.description,
        hostname=numbered(wanted.hostname, number) if wanted.hostname else hostname(name, key),
        **flavor.server_columns(plan.flavor),
        image_id=plan.image.id,
        image=boot_image.for_host(plan.image),
        key_name=wanted.key_name,
        ssh_keys=plan.keys,
        user_data=wanted.user_data,
        metadata=wanted.metadata,
        tags=sorted(set(wanted.tags)),
        config_drive=wanted.config_drive,
        access_ipv4=wanted.access_ipv4,
        access_ipv6=wanted.access_ipv6,
        zone=wanted.zone,
        disk_config=wanted.disk_config,
        reservation_id=plan.reservation_id,
        launch_index=index,
        group_id=wanted.group_id,
        locked_by="",
        locked_reason=None,
        driver="",  # Known once a host is chosen.
        **_UNSEEN,
        created_at=plan.now,
        updated_at=plan.now,
        number=store.next_number(connection),
        files=list(wanted.files) or None,
    )


_UNSEEN: dict[str, Any] = {
    "host_id": None,
    "id_slot": None,
    "power": Power.RUNNING.value,
    "generation": 1,
    "boot": 0,
    "hard_boot": 0,
    "build": 0,
    "state": InstanceState.BUILDING.value,
    "observed_generation": 0,
    "observed_boot": 0,
    "observed_hard_boot": 0,
    "observed_build": 0,
    "fault": None,
    "fault_at": None,
    "launched_at": None,
    "terminated_at": None,
    "deleted": False,
}
"""The columns of a row that no host has seen yet."""


def _check_group(connection: Connection, caller: Caller, key: str, count: int) -> None:
    try:
        group = server_group.get(connection, caller, key)
    except NotFound as cause:
        raise Invalid(f"Instance group {key} could not be found.", field="group") from cause
    members: Sequence[str] = server_group.members(connection, group)
    quota.require(
        connection, group.project_id, "server_group_members", used=len(members), more=count
    )
