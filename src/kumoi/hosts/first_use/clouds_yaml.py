"""The entries of a cloud in a person's clouds.yaml, by which every OpenStack client finds it.

Other entries of the file stay, in their order; comments do not survive. `up` writes the entries,
`down --purge` removes them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kumoi import addresses
from kumoi.base import files
from kumoi.base.errors import Invalid
from kumoi.base.files import Promise
from kumoi.base.secret import Secret
from kumoi.config import CloudSettings, HostSettings

FILE = ".config/openstack/clouds.yaml"
MODE = 0o600  # There are passwords in it.


@dataclass(frozen=True, slots=True)
class Person:
    """The owner of a clouds.yaml."""

    home: Path
    uid: int
    gid: int

    @property
    def file(self) -> Path:
        return self.home / FILE


def entries(
    cloud: CloudSettings,
    host: HostSettings,
    *,
    admin_password: Secret,
    demo_password: Secret,
    url: str = "",
) -> dict[str, dict[str, Any]]:
    """`NAME`, a normal user in a project, and `NAME-admin`; at the APIs of that URL, or this host's."""
    url = url or addresses.api_url(cloud, host)
    return {
        cloud.name: _entry(cloud, host, url, "demo", demo_password),
        f"{cloud.name}-admin": _entry(cloud, host, url, "admin", admin_password),
    }


def check(person: Person) -> None:
    """Raises Invalid when the person's file exists and entries could not be added to it."""
    _read(person.file)


def write(person: Person, wanted: dict[str, dict[str, Any]]) -> bool:
    """Add or replace these entries; whether anything changed. Raises Invalid when the existing file
    is no clouds.yaml.
    """
    document = _read(person.file)
    clouds = document.setdefault("clouds", {})
    if all(clouds.get(name) == entry for name, entry in wanted.items()):
        return False
    clouds.update(wanted)
    _write(person, document)
    return True


def remove(person: Person, cloud: CloudSettings) -> None:
    """Remove the entries of this cloud, and the file and its directory when nothing else is left."""
    if not person.file.exists():
        return
    document = _read(person.file)
    clouds = document.get("clouds", {})
    ours = {cloud.name, f"{cloud.name}-admin"} & set(clouds)
    for name in ours:
        del clouds[name]
    if ours and document == {"clouds": {}}:
        person.file.unlink()
        with contextlib.suppress(OSError):  # It is not empty.
            person.file.parent.rmdir()
    elif ours:
        _write(person, document)


def _entry(
    cloud: CloudSettings, host: HostSettings, url: str, user: str, password: Secret
) -> dict[str, Any]:
    return {
        "auth": {
            "auth_url": f"{url}/identity",
            "username": user,
            "password": password.reveal(),
            "project_name": user,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": cloud.region,
        "identity_api_version": "3",
        "cacert": str(host.pki_dir / "ca.crt"),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text()) if path.exists() else {}
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        raise Invalid(f"{path} is not YAML: mend it or move it away") from cause
    except OSError as cause:
        raise Invalid(f"{path} cannot be read: mend it or move it away") from cause
    document = {} if document is None else document
    if not isinstance(document, dict) or not isinstance(document.get("clouds", {}), dict):
        raise Invalid(f"{path} does not hold `clouds:` with an entry per cloud: mend it")
    return document


def _write(person: Person, document: dict[str, Any]) -> None:
    file = person.file
    for directory in (file.parent.parent, file.parent):
        if not directory.exists():
            directory.mkdir(mode=0o700, parents=True)
            os.chown(directory, person.uid, person.gid, follow_symlinks=False)
    mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else MODE
    files.replace(
        file,
        yaml.safe_dump(document, sort_keys=False),
        promise=Promise.OLD_OR_NEW,
        mode=mode,
        owner=(person.uid, person.gid),
    )
