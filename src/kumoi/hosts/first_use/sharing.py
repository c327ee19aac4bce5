"""What the first host gives to the cloud's other control hosts: what their roles need and cannot make, since it
must be the same on all of them or signed by the authority.

    api.crt api.key           of the APIs, for every address that a control host has; pipeline.crt likewise
    engines.crt etcd.crt …    see engines_pki.py
    token-keys/secrets.key    seals what is in the store, also the keys that sign tokens; it never changes
    passwords/                of the first users, for commands such as `status`

`up` on the first host gives it to those that are on its machine. One on another machine gets `parcel` once, which is the
authorities and what is the same everywhere, and signs the rest for itself (`renew`). `require` is called on each, where a
file that is missing is never made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from kumoi import members
from kumoi.base import files
from kumoi.base.errors import Conflict
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.first_use import engines_pki, passwords, pki


def give(
    cloud: CloudSettings, first: HostSettings, others: Iterable[HostSettings], now: datetime
) -> None:
    """To control hosts, whatever their roles are yet. The first one has all of it."""
    others = list(others)
    engines_pki.ensure(cloud, first, others, now)
    for other in others:
        pki.ensure_for(cloud, first, other, now)
        for path in _same(first):
            _copy(path, other.state / path.relative_to(first.state))


def parcel(first: HostSettings) -> dict[str, bytes]:
    """What goes to a machine that is to have the control plane, by its path below the state directory. Raises
    Conflict where some of it is not here.
    """
    try:
        return {str(path.relative_to(first.state)): path.read_bytes() for path in _parcelled(first)}
    except FileNotFoundError as cause:
        raise Conflict(
            f"{cause.filename} is not there: call `up` on the cloud's first host"
        ) from cause


def unpack(host: HostSettings, parcel: Mapping[str, bytes]) -> None:
    """Raises Conflict where there is more in it, or less."""
    wanted = {str(path.relative_to(host.state)): path for path in _parcelled(host)}
    if wanted.keys() != parcel.keys():
        raise Conflict("what the first host gives is not what this release needs: upgrade both")
    pki.make_directory(host.pki_dir)
    for name, path in wanted.items():
        is_public = path.suffix == ".crt"
        _put(parcel[name], path, mode=files.OPEN if is_public else files.PRIVATE)


def forget(host: HostSettings) -> None:
    """What makes it a control host: but for the cloud's authority, whom each host knows."""
    for path in _parcelled(host):
        if path != host.pki_dir / "ca.crt":
            path.unlink(missing_ok=True)


def renew(cloud: CloudSettings, host: HostSettings, now: datetime) -> None:
    """The certificates of a control host on another machine than the first one's, by what it was given."""
    for name in engines_pki.SHARED_AUTHORITIES:
        if not engines_pki.key_mark(host.pki_dir, name):
            raise Conflict(
                f"{host.pki_dir / name}.key is not there: sudo ./kumoi cluster control here, and on the cloud's "
                f"first host sudo ./kumoi cluster create --control-hosts {len(cloud.control_hosts)}"
            )
    engines_pki.ensure(cloud, host, (), now)
    pki.ensure_for(cloud, host, host, now)


def _parcelled(host: HostSettings) -> Iterator[Path]:
    """Keys before certificates: whoever finds the certificate finds both."""
    for name in engines_pki.SHARED_AUTHORITIES:
        yield host.pki_dir / f"{name}.key"
        yield host.pki_dir / f"{name}.crt"
    yield from _same(host)


def require(host: HostSettings) -> None:
    """Raises Conflict where the first host has not given this one what its roles need."""
    if Role.API not in host.roles:
        return
    roles = [role for role in (Role.API, Role.PIPELINE) if role in host.roles]
    pairs = [host.pki_dir / f"{role.value}.{end}" for role in roles for end in ("key", "crt")]
    wanted = (*pairs, *_same(host))
    missing = next((path for path in wanted if not path.exists()), None)
    if missing is not None:
        raise Conflict(
            f"{missing} is not there: call `up` on the cloud's first host, which gives it"
        )


def _same(host: HostSettings) -> Iterator[Path]:
    yield members.seal_file(host)
    for user in passwords.USERS:
        yield passwords.file_of(host, user)


def _copy(source: Path, target: Path) -> None:
    _put(source.read_bytes(), target)


def _put(content: bytes, target: Path, *, mode: int = files.PRIVATE) -> None:
    """Its directory's owner gets it: `up` may have given that to the role already."""
    if target.exists() and target.read_bytes() == content:
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = target.parent.stat()
    owner = (status.st_uid, status.st_gid)
    files.replace(target, content, promise=files.Promise.NEW, mode=mode, owner=owner)
