"""Who owns what in a cloud's state directory: each place is some role's, some roles' or root's.

`up` calls this before it starts anything, so that whatever an earlier release or a restore left is
put right. What a role owns lies in directories of root's: no role can put another thing in its
place. docs/guide/operate.md has the table for people.
"""

from __future__ import annotations

import contextlib
import functools
import grp
import os
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kumoi import config, members
from kumoi.base import files, trees
from kumoi.config import CLOUD_FILE, HOST_FILE, CloudSettings, HostSettings, Role
from kumoi.hosts.units import rights, users

PRIVATE_DIR, SHARED_DIR, PASSABLE_DIR = 0o700, 0o770, 0o771
SETTINGS_DIR, SETTINGS_FILE = 0o750, 0o640
SETTINGS_FILES = (CLOUD_FILE, HOST_FILE)
SHARED_FILE = 0o660
SHARED_KEY = 0o640
DATABASES_DIR = 0o1770  # Each of the two replaces its own files only.
SOCKETS_DIR = 0o711
STORE_ENDS = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Place:
    """A directory that is there when units start. With `whole`, all in it has the same owner."""

    path: Path
    unit: str
    mode: int
    shared: str = ""  # Root's, and this group may write.
    whole: bool = False


def places(cloud: CloudSettings, host: HostSettings) -> list[Place]:
    """Outer ones first."""
    found = [*_of_engines(cloud, host)]
    if Role.API in host.roles:
        found += [
            Place(members.token_keys_dir(host), Role.API, PRIVATE_DIR, whole=True),
            *(
                Place(rights.run_dir(host, unit), unit, SOCKETS_DIR, whole=True)
                for unit in (users.INSPECTOR, users.AUTHORITY)
                if users.is_needed(cloud, host, unit)
            ),
        ]
    for role in _control_here(cloud, host)[:1]:  # Whichever it is: they have one group.
        group = users.group_of(cloud, host, role)
        found += [
            Place(host.store_dir, role, SHARED_DIR, shared=group),
            # The pipeline passes through to its own.
            Place(host.wake_dir, role, PASSABLE_DIR, shared=group),
        ]
    if members.shares_address(cloud, host):
        health, keepalived = members.HEALTH, members.KEEPALIVED
        found.append(Place(rights.run_dir(host, health), health, SETTINGS_DIR, whole=True))
        found.append(Place(rights.run_dir(host, keepalived), keepalived, PRIVATE_DIR, whole=True))
    here = users.roles_here(cloud, host)
    for unit in [unit for unit in here if unit in users.SHARE_IMAGES][:1]:
        group = users.group_of(cloud, host, unit)
        found.append(Place(host.image_dir, unit, SHARED_DIR, shared=group))
    for unit, paths in (
        (Role.PIPELINE, rights.of_pipeline(host)),
        (users.REPOSITORIES, rights.of_repositories(host)),
        (members.COPIES, rights.of_copies(host)),
    ):
        for path in paths if unit in here else ():
            # Others pass through to their sockets.
            mode = SOCKETS_DIR if path.parent == host.run_dir else PRIVATE_DIR
            found.append(Place(path, unit, mode, whole=True))
    return found


def _control_here(cloud: CloudSettings, host: HostSettings) -> list[str]:
    return [role for role in users.roles_here(cloud, host) if role in users.CONTROL]


def _of_engines(cloud: CloudSettings, host: HostSettings) -> Iterator[Place]:
    """Where their sockets are, everybody passes through: a socket's own mode says who connects."""
    for role in (Role.NETWORK, Role.AGENT):
        if role in host.roles:
            for unit in filter(functools.partial(users.is_needed, cloud, host), users.UNITS[role]):
                yield Place(rights.run_dir(host, unit), unit, SOCKETS_DIR, whole=True)
    if cloud.control_host(host.name) is not None:
        for unit, state in (
            (members.ETCD, members.etcd_dir(host)),
            (members.PATRONI, members.postgres_dir(host)),
        ):
            yield Place(rights.run_dir(host, unit), unit, SOCKETS_DIR, whole=True)
            yield Place(state, unit, PRIVATE_DIR, whole=True)
    if Role.NETWORK in host.roles:
        group = users.databases_group(cloud, host)
        yield Place(host.state / "ovn", "ovnnb-db", DATABASES_DIR, shared=group)
    if Role.AGENT in host.roles:
        yield Place(host.state / "ovs", "ovs-db", PRIVATE_DIR, whole=True)


def ensure(cloud: CloudSettings, host: HostSettings) -> None:
    """Every place with its owner and mode, each role's settings, and keys to those who use them. The
    users are there.
    """
    for name in ("cloud", "pipeline"):
        for path in _stores(host.state / f"{name}.db"):  # Where an earlier release had them.
            (host.state / name).mkdir(exist_ok=True)
            path.rename(host.state / name / path.name)
    for place in places(cloud, host):
        _ensure(cloud, host, place)
    for role in users.roles_here(cloud, host):
        write_settings(cloud, host, role)
    own_files(cloud, host)


def put_settings_back(host: HostSettings, role: str) -> None:
    """What a role was told before it was to be replaced, for the one that stays: by what is wanted it would look for
    what its sandbox does not show it.
    """
    before = _settings_before(host, role)
    for name in SETTINGS_FILES:
        with contextlib.suppress(FileNotFoundError):
            (before / name).replace(before.parent / name)
    trees.remove(before)


def forget_settings_before(host: HostSettings, role: str) -> None:
    """Once the role is as it is wanted."""
    trees.remove(_settings_before(host, role))


def _settings_before(host: HostSettings, role: str) -> Path:
    return rights.settings_dir(host, role) / "before"


def give_back(cloud: CloudSettings, host: HostSettings) -> None:
    """What was pushed, and the central databases, to root, once nothing runs any more: 0.2.0 runs all as
    root, git reads no repository of somebody else's, and in a sticky directory the kernel lets nobody
    make again a file of another's. What is not those units' own stays as it is. `ensure` takes it again.
    """
    for role, top, units in (
        (Role.PIPELINE, host.state / "git", (users.REPOSITORIES,)),
        (Role.NETWORK, host.state / "ovn", ("ovnnb-db", "ovnsb-db")),
    ):
        if role not in host.roles:
            continue
        owners = {users.user_of(cloud, host, unit)[0] for unit in units}
        for directory, inner, names in os.walk(top):
            for path in (Path(directory), *(Path(directory) / name for name in (*inner, *names))):
                if path.lstat().st_uid in owners:
                    os.chown(path, 0, 0, follow_symlinks=False)


def own_files(cloud: CloudSettings, host: HostSettings) -> None:
    """Files that root makes and a role uses: stores, keys, the lock of images."""
    for path, unit in _keys(cloud, host):
        if path.exists():
            os.chown(path, *_ids(cloud, host, unit))
    own_databases(cloud, host)
    for name in (members.store_certificate(members.CLOUD), members.LEASES):
        key, _, _ = members.certificate(host, name)
        if key.exists() and _control_here(cloud, host):  # As libpq wants one that two users read.
            os.chown(key, 0, grp.getgrnam(users.group_of(cloud, host, Role.API)).gr_gid)
            key.chmod(SHARED_KEY)
    if _control_here(cloud, host):
        for path in _stores(host.store_dir / "cloud.db"):
            _share(cloud, host, path)
    _share_images(cloud, host)
    if Role.PIPELINE in host.roles:
        for path in _stores(host.pipeline_dir / "pipeline.db"):
            os.chown(path, *_ids(cloud, host, Role.PIPELINE), follow_symlinks=False)


def _share_images(cloud: CloudSettings, host: HostSettings) -> None:
    if users.SHARE_IMAGES.intersection(users.roles_here(cloud, host)) and host.image_dir.exists():
        for path in host.image_dir.iterdir():
            _share(cloud, host, path)


def own_databases(cloud: CloudSettings, host: HostSettings) -> None:
    """Those of engines, which root makes."""
    if Role.NETWORK in host.roles:
        for which in ("ovnnb", "ovnsb"):
            for path in (host.state / "ovn").glob(f"*{which}_db.db*"):
                os.chown(path, *_ids(cloud, host, f"{which}-db"), follow_symlinks=False)
    if Role.AGENT in host.roles:
        for path in (host.state / "ovs").glob("*conf.db*"):
            os.chown(path, *_ids(cloud, host, "ovs-db"), follow_symlinks=False)


def is_earlier(host: HostSettings) -> bool:
    """Whether stores are where an earlier release has them, which may be using them."""
    return any((host.state / f"{name}.db").exists() for name in ("cloud", "pipeline"))


def _keys(cloud: CloudSettings, host: HostSettings) -> Iterator[tuple[Path, str]]:
    """A unit's own only: whoever has another's key speaks in its name. The agent is root, so its
    host's key may be the controller's.
    """
    for role in (Role.API, Role.PIPELINE):
        if role in host.roles:
            yield host.pki_dir / f"{role.value}.key", role
    if users.AUTHORITY in users.units_here(cloud, host):
        yield host.pki_dir / "ca.key", users.AUTHORITY
    if cloud.control_host(host.name) is not None:
        for unit in (*users.MEMBERS, members.COPIES):
            if unit in users.units_here(cloud, host):
                yield members.certificate(host, unit)[0], unit
    if Role.PIPELINE in host.roles:
        name = members.store_certificate(members.PIPELINE)
        yield members.certificate(host, name)[0], Role.PIPELINE
    yield from _keys_of_network(cloud, host)


def _keys_of_network(cloud: CloudSettings, host: HostSettings) -> Iterator[tuple[Path, str]]:
    if Role.NETWORK in host.roles:
        yield host.pki_dir / "ovnsb-db.key", "ovnsb-db"
    is_member = members.has_ovn_member(cloud, host)
    if is_member:
        for unit in (members.NORTHBOUND.unit, members.NORTHD):
            yield members.certificate(host, unit)[0], unit
        if Role.WORKER in host.roles:
            yield members.certificate(host, members.WORKER)[0], Role.WORKER
    if Role.AGENT in host.roles and (is_member or Role.NETWORK not in host.roles):
        yield host.pki_dir / f"{host.name}.key", "ovn-controller"


def _stores(path: Path) -> list[Path]:
    beside = [path.with_name(path.name + end) for end in STORE_ENDS]
    return [path for path in beside if path.exists()]


def _ensure(cloud: CloudSettings, host: HostSettings, place: Place) -> None:
    place.path.mkdir(parents=True, exist_ok=True)
    uid, gid = _ids(cloud, host, place.unit)
    wanted = (0, grp.getgrnam(place.shared).gr_gid) if place.shared else (uid, gid)
    status = place.path.lstat()
    if place.whole and (status.st_uid, status.st_gid) != wanted:
        _own_all(place.path, wanted)
    os.chown(place.path, *wanted, follow_symlinks=False)
    place.path.chmod(place.mode)


def _own_all(top: Path, owner: tuple[int, int]) -> None:
    """Once: afterwards a role could have put a name there that stands for somebody else's file."""
    for directory, inner, names in os.walk(top):
        for name in (*inner, *names):
            os.chown(Path(directory) / name, *owner, follow_symlinks=False)


def _share(cloud: CloudSettings, host: HostSettings, path: Path) -> None:
    """With API and worker. Nothing but plain files, which no name outside stands for."""
    gid = grp.getgrnam(users.group_of(cloud, host, Role.API)).gr_gid
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if status.st_gid != gid and status.st_nlink == 1:
            os.fchown(handle, -1, gid)
            os.fchmod(handle, SHARED_FILE)
    finally:
        os.close(handle)


def write_settings(cloud: CloudSettings, host: HostSettings, role: str) -> None:
    """Without the way into a store that is not the role's: it may hold a password."""
    others = {"pipeline_database_url": "", "database_url": ""}
    if role in users.CONTROL:
        del others["database_url"]
    elif role == Role.PIPELINE:
        del others["pipeline_database_url"]
    directory = rights.settings_dir(host, role)
    directory.parent.mkdir(mode=0o755, exist_ok=True)
    directory.parent.chmod(0o755)
    directory.mkdir(exist_ok=True)
    group = _ids(cloud, host, role)[1]
    os.chown(directory, 0, group)
    directory.chmod(SETTINGS_DIR)
    cloud_text = config.render(
        config.changed(cloud, **others), config.read(CloudSettings, host.state).unknown
    )
    host_text = config.render(host, config.read(HostSettings, host.state).unknown)
    texts = dict(zip(SETTINGS_FILES, (cloud_text, host_text), strict=True))
    _keep_settings(host, role, texts, group)
    for name, text in texts.items():
        _write_setting(directory / name, text, group)


def _keep_settings(host: HostSettings, role: str, texts: Mapping[str, str], group: int) -> None:
    """What the role runs with, until it is replaced: what an `up` that was cut off has told it since is not."""
    directory, before = rights.settings_dir(host, role), _settings_before(host, role)
    there = {name: directory / name for name in texts if (directory / name).exists()}
    if before.exists() or there.keys() != texts.keys():
        return
    found = {name: path.read_text() for name, path in there.items()}
    if found == texts:
        return
    draft = files.draft_of(before)
    trees.remove(draft)
    draft.mkdir()
    os.chown(draft, 0, group)
    draft.chmod(SETTINGS_DIR)
    for name, text in found.items():
        _write_setting(draft / name, text, group)
    draft.rename(before)


def _write_setting(path: Path, text: str, group: int) -> None:
    promise = files.Promise.OLD_OR_NEW
    files.replace(path, text, promise=promise, mode=SETTINGS_FILE, owner=(0, group))


def _ids(cloud: CloudSettings, host: HostSettings, unit: str) -> tuple[int, int]:
    entry = pwd.getpwnam(users.name_of(cloud, host, unit))
    return entry.pw_uid, entry.pw_gid
