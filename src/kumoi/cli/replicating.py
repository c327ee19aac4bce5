"""The control plane's stores on several hosts: a cloud on SQLite moves to PostgreSQL, in place.

`cluster create --control-hosts` calls this. First etcd and PostgreSQL start on each of the hosts, while the
cloud goes on with its files. Then the roles stop, rows are copied and compared table by table, and the
roles start on PostgreSQL. What fails is undone, unless PostgreSQL was written to already. A call that was killed is
called again: until the rows have moved, cloud.toml names both the control hosts and the files.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from kumoi import config, control_host, members
from kumoi.base import trees
from kumoi.base.errors import Conflict, KumoiError
from kumoi.cli import backup, choice, copies, up
from kumoi.cli.other_machines import NOBODY, OtherMachines
from kumoi.cli.progress import Progress
from kumoi.cloud.domain.host import join as domain
from kumoi.config import ROLES, CloudSettings, HostSettings, Role
from kumoi.control_host import NUMBERS, ControlHost
from kumoi.engine import copy, feed
from kumoi.engine.db import Database
from kumoi.hosts.cluster import databases, ovn_members
from kumoi.hosts.first_use import engines_pki
from kumoi.hosts.units import keeper, ownership, releases, rights, table, users

SQLITE = "sqlite:///"
ROWS_OF_PROCESSES = ("audit", "flow", "lease")  # They change while nobody does anything.
# Of the control hosts, and the pipeline where it is on.
ROLES_OF_EACH = (Role.API.value, Role.WORKER.value)
MOVED = ".moved"  # What nobody may take for the store any more.


def replicate(
    cloud: CloudSettings,
    host: HostSettings,
    progress: Progress,
    *,
    number: int,
    address: str = "",
    machines: OtherMachines = NOBODY,
) -> None:
    """On `number` hosts: this one, others of the cloud that are on this machine, and those on `machines`; and clients
    find whichever answers at one address.
    """
    others = [_as_before(other) for other in choice.others_here(cloud, host)][: number - 1]
    is_begun = _has_begun(cloud, host)
    if is_begun:
        cloud, wanted, others = _begun(cloud, host, machines.names, number)
    else:
        names = [*(other.name for other in others), *machines.names]
        _require_possible(cloud, names, number)
        wanted = config.changed(cloud, control_hosts=_choose(cloud, host, names))
    if address or not wanted.shared_address:
        wanted = share_address(cloud, host, wanted, address=address)
    machines.await_all(progress, anew=not is_begun)
    if not is_begun:
        _end_members(cloud, (host, *others))
    try:
        _start_members(wanted, host, others, progress, machines)
        with choice.alone(cloud, host):
            began = time.monotonic()
            _move(wanted, host, progress)
            _start_roles(wanted, host, progress)
            took_s = time.monotonic() - began
        up.bring_up(up.args_of(wanted, host), progress)
    except BaseException:
        if _may_have_changed_since(wanted, host):
            progress.say("That failed, and PostgreSQL may have been written to: call `up` again")
            raise
        progress.say("That failed: the cloud is put back to its files")
        machines.put_back(progress)
        _put_back(cloud, wanted, host, others, progress)
        raise
    complete(wanted, host, progress, machines)
    progress.say(f"The stores are on {number} hosts. The APIs were away for {took_s:.1f} s")
    if wanted.shared_address:
        progress.say(f"Clients find whichever of them answers at {wanted.shared_address}")


def complete(
    cloud: CloudSettings,
    host: HostSettings,
    progress: Progress,
    machines: OtherMachines = NOBODY,
    *,
    only_absent: bool = False,
) -> None:
    """What is left to do once the stores have moved; again where that was cut off."""
    for store in backup.stores(_with_files(cloud, host), host):
        path = Path(store.url.removeprefix(SQLITE))
        for beside in ownership.STORE_ENDS:  # Who is killed leaves the others beside the first.
            file = path.with_name(f"{path.name}{beside}")
            if file.exists():
                file.rename(path.with_name(f"{path.name}{MOVED}{beside}"))
    share_roles(cloud, host, progress)
    machines.give_roles(cloud, host, progress, only_absent=only_absent)
    copies.wait(cloud, host, progress)


def share_roles(cloud: CloudSettings, host: HostSettings, progress: Progress) -> None:
    """The cloud's other hosts on this machine come up with what is new: control hosts with the roles that each
    of them has, for which `up` has given them what they need; the controllers of all are told of all members.
    """
    for other in choice.others_here(cloud, host):
        progress.say(f"Host {other.name}:")
        config.write(cloud, other.state)
        if cloud.control_host(other.name) is not None:
            there = config.read(HostSettings, other.state).settings
            words = {*there.roles, *ROLES_OF_EACH} - {Role.PIPELINE.value}
            if Role.PIPELINE in host.roles:
                words.add(Role.PIPELINE.value)
            others = [word for word in there.roles if word not in ROLES]  # Of another release.
            roles = (*(role for role in ROLES if role in words), *others)
            config.write(config.changed(there, roles=roles, shares_machine=True), other.state)
        up.bring_up(up.args_of(cloud, other), progress)


def share_address(
    cloud: CloudSettings, host: HostSettings, wanted: CloudSettings, *, address: str
) -> CloudSettings:
    """The wanted settings with an address that all control hosts share: this one, the one that is there, or a
    free one of the underlay, where it has one left. Where a proxy is before all of them, there is none unless it is
    asked for.
    """
    if address:
        found = config.changed(wanted, shared_address=address)
        control_host.check_shared(address, found.control_hosts, found.public_address)
        return found
    if cloud.shared_address or cloud.api_public_url:
        return wanted
    try:
        (free,) = _free_addresses(cloud, host, wanted, [cloud.name])
    except Conflict:
        return wanted
    return config.changed(wanted, shared_address=free)


def _has_begun(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether this was cut off while the members started: the control hosts are chosen, and the stores are files."""
    if not cloud.is_replicated:
        return False
    files = _with_files(cloud, host)
    urls = (cloud.database_url, cloud.pipeline_database_url)
    return urls == (files.database_url, files.pipeline_database_url)


def _begun(
    cloud: CloudSettings, host: HostSettings, on_machines: Sequence[str], number: int
) -> tuple[CloudSettings, CloudSettings, list[HostSettings]]:
    """The settings before, those that were wanted, and the other hosts that were chosen. Raises Conflict where
    another number of them is wanted now.
    """
    listed = cloud.control_hosts
    if len(listed) != number:
        raise Conflict(
            f"the control plane is on its way to {len(listed)} hosts, which was cut off: --control-hosts {len(listed)}"
        )
    wanted = config.changed(cloud, database_url="", pipeline_database_url="")
    before = config.changed(wanted, control_hosts=(), shared_address="")
    found = [each for each in choice.others_here(cloud, host) if cloud.control_host(each.name)]
    _require_possible(before, [*(each.name for each in found), *on_machines], number)
    return before, wanted, [_as_before(each) for each in found]


def _as_before(other: HostSettings) -> HostSettings:
    """Without OVN's databases, where this was cut off once it had them."""
    if not config.read(CloudSettings, other.state).settings.is_replicated:
        return other
    roles = tuple(role for role in other.roles if role != Role.NETWORK.value)
    return config.changed(other, roles=roles)


def _require_possible(cloud: CloudSettings, names: Sequence[str], number: int) -> None:
    if number not in NUMBERS:
        raise Conflict(
            f"the control plane may be on {' or '.join(map(str, NUMBERS))} hosts, not {number}"
        )
    if len(names) < number - 1:
        raise Conflict(
            f"the cloud {cloud.name} has {len(names) + 1} hosts, and the control plane is to be on {number}"
        )
    if cloud.database_url or cloud.pipeline_database_url:
        raise Conflict("database_url is set: this cloud's stores are where somebody put them")


def _choose(cloud: CloudSettings, host: HostSettings, names: list[str]) -> tuple[ControlHost, ...]:
    addresses = _free_addresses(cloud, host, cloud, names)
    further = [ControlHost(name, address) for name, address in zip(names, addresses, strict=True)]
    return (ControlHost(host.name, cloud.control_address), *further)


def _free_addresses(
    cloud: CloudSettings, host: HostSettings, wanted: CloudSettings, names: list[str]
) -> list[str]:
    """One for each name, beside those that the wanted settings have."""
    url = members.cloud_database(cloud, host)
    opened = contextlib.closing(Database(url, wake_dir=host.wake_dir))
    with opened as database, database.read() as connection:
        return domain.choose_control_addresses(connection, names, wanted)


def _start_members(
    wanted: CloudSettings,
    host: HostSettings,
    others: Sequence[HostSettings],
    progress: Progress,
    machines: OtherMachines,
) -> None:
    """The roles stay with their files meanwhile, which are named for that time."""
    machines.start_members(wanted, host)
    for other in others:
        config.write(wanted, other.state)
        config.write(config.changed(_with_network(host, other), shares_machine=True), other.state)
    config.write(_with_files(wanted, host), host.state)
    up.bring_up(up.args_of(wanted, host), progress)
    machines.await_members(wanted, host, progress)
    for store in backup.stores(wanted, host):
        store.upgrade(store.url)
    databases.let_copies_read(wanted, host)


def _move(wanted: CloudSettings, host: HostSettings, progress: Progress) -> None:
    """All rows, while nobody writes."""
    with progress.stage("stop roles"):
        keeper.stop_roles(wanted, host)
    with progress.stage("copy and compare all rows") as stage, contextlib.ExitStack() as opened:
        databases = [
            opened.enter_context(contextlib.closing(Database(store.url, wake_dir=host.wake_dir)))
            for store in backup.stores(_with_files(wanted, host), host)
        ]
        connections = opened.enter_context(copy.frozen(databases, lambda: None))
        pairs = zip(connections, backup.stores(wanted, host), strict=True)
        stage.note(f"{sum(copy.move(source, target) for source, target in pairs)} rows")
    config.write(wanted, host.state)


def _start_roles(wanted: CloudSettings, host: HostSettings, progress: Progress) -> None:
    """Before anything else that `up` does: everybody waits for them."""
    with progress.stage("start roles") as stage:
        users.ensure(wanted, host)
        ownership.ensure(wanted, host)
        release = releases.install(host.release_dir)
        units = table.all_units(wanted, host, release, only_engines=False)
        found = keeper.of(wanted, host, release=release)
        found.tell(units)
        names = [unit.name for unit in units]
        found.ensure_ready(names, timeout_s=up.ROLES_TIMEOUT_S, tell=stage.tell)


def _may_have_changed_since(wanted: CloudSettings, host: HostSettings) -> bool:
    """Also where PostgreSQL does not say so: a machine that is too busy for it may have been in time for a write."""
    try:
        return _has_changed_since(wanted, host)
    except KumoiError:
        return True


def _has_changed_since(wanted: CloudSettings, host: HostSettings) -> bool:
    """Whether PostgreSQL is the store already, and has seen more than the files."""
    if config.read(CloudSettings, host.state).settings.database_url:
        return False
    keeper.stop_roles(wanted, host)
    _, pipeline = backup.stores(wanted, host)
    files = _with_files(wanted, host)
    if not copy.has_same_rows(
        members.pipeline_database(files, host), pipeline, but=ROWS_OF_PROCESSES
    ):
        return True
    seen = []
    for cloud in (wanted, files):
        url = members.cloud_database(cloud, host)
        opened = contextlib.closing(Database(url, wake_dir=host.wake_dir))
        with opened as database, database.read() as connection:
            seen.append(feed.position(connection).revision)  # Every change of a thing is one more.
    return seen[0] != seen[1]


def _put_back(
    cloud: CloudSettings,
    wanted: CloudSettings,
    host: HostSettings,
    others: Sequence[HostSettings],
    progress: Progress,
) -> None:
    """What was copied goes: a later attempt begins anew. OVN's databases are the first host's alone again."""
    ovn_members.leave(wanted, (_with_network(host, other) for other in others))
    for each in (host, *others):
        config.write(cloud, each.state)
    for other in others:
        there = config.read(HostSettings, other.state).settings
        config.write(config.changed(there, roles=other.roles), other.state)
    for each in (host, *others):
        up.bring_up(up.args_of(cloud, each), progress)
        _forget_members([each])
    for other in others:
        if Role.NETWORK not in other.roles:
            trees.remove(other.state / "ovn")
        _remove_copies(other)


def _end_members(cloud: CloudSettings, hosts: Iterable[HostSettings]) -> None:
    """Of an attempt whose way back was cut off: they may run yet."""
    left = [
        each
        for each in hosts
        if members.etcd_dir(each).exists() or members.postgres_dir(each).exists()
    ]
    for each in left:
        keeper.of(cloud, each).stop_units(users.MEMBERS)
    _forget_members(left)


def _forget_members(hosts: Iterable[HostSettings]) -> None:
    """What etcd and PostgreSQL of a cloud on its files have kept: none of them runs."""
    for host in hosts:
        for directory in (members.etcd_dir(host), members.postgres_dir(host)):
            trees.remove(directory)


def _remove_copies(other: HostSettings) -> None:
    """Of a host that is no control host any more: what it had of the first one's, and the authorities' keys."""
    if Role.API not in other.roles:
        trees.remove(other.image_dir)
    for directory in (*rights.of_copies(other), *rights.of_repositories(other)):
        if Role.PIPELINE not in other.roles:
            trees.remove(directory)
    for name in engines_pki.SHARED_AUTHORITIES:
        (other.pki_dir / f"{name}.key").unlink(missing_ok=True)


def _with_network(first: HostSettings, other: HostSettings) -> HostSettings:
    """The same host with OVN's databases and northd, where the cloud has them."""
    if Role.NETWORK not in first.roles or Role.NETWORK in other.roles:
        return other
    return config.changed(other, roles=(Role.NETWORK.value, *other.roles))


def _with_files(cloud: CloudSettings, host: HostSettings) -> CloudSettings:
    """The same, on files of the first host."""
    alone = config.changed(cloud, control_hosts=(), database_url="", pipeline_database_url="")
    return config.changed(
        cloud,
        database_url=members.cloud_database(alone, host),
        pipeline_database_url=members.pipeline_database(alone, host),
    )
