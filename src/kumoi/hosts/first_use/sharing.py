"""What the first host gives to the cloud's other control hosts, where they are on its machine: what their
roles need and cannot make, since it must be the same on all of them or signed by the authority.

    api.crt api.key           of the APIs, for every address that a control host has; pipeline.crt likewise
    engines.crt etcd.crt …    see engines_pki.py
    token-keys/secrets.key    seals what is in the store, also the keys that sign tokens; it never changes
    passwords/                of the first users, for commands such as `status`

Called by `up` on the first host; `require` on the others, where a file that is missing is never made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    """Its directory's owner gets it: `up` may have given that to the role already."""
    content = source.read_bytes()
    if target.exists() and target.read_bytes() == content:
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = target.parent.stat()
    owner = (status.st_uid, status.st_gid)
    files.replace(target, content, promise=files.Promise.NEW, owner=owner)
