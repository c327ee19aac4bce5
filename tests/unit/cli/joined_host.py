"""A host on another machine, as it is once it has joined: its settings, and a certificate of the cloud's authority."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import pki
from kumoi.hosts.first_use.pki import Authority


def joined_host(
    cloud: CloudSettings, first: HostSettings, name: str, state: Path, at: datetime
) -> HostSettings:
    """`first` has the authority's key."""
    authority = Authority.of(first.pki_dir)
    assert authority is not None
    host = HostSettings(name=name, state_dir=str(state), roles=("agent",), has_edge=False)
    pki.make_directory(host.pki_dir)
    subject = pki.host_subject(cloud.name, name, host.underlay_address)
    pki.ensure_each(host.pki_dir, authority, [subject], at)
    (host.pki_dir / "ca.crt").write_bytes((first.pki_dir / "ca.crt").read_bytes())
    return host
