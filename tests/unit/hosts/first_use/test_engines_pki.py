"""Certificates of a cluster's engines: which authority signs each, and what each is good for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from kumoi import config, members
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.control_host import ControlHost
from kumoi.hosts.first_use import engines_pki, pki
from kumoi.hosts.first_use.pki import CLIENT, SERVER, Authority

NAMES = ("t1-host1", "t1-host2", "t1-host3")
CLOUD = CloudSettings(
    name="t1",
    underlay_cidr="10.0.5.0/28",
    southbound_url="ssl:10.0.5.1:6642",
    control_hosts=tuple(map(ControlHost, NAMES, ("10.0.5.1", "10.0.5.14", "10.0.5.13"))),
)
NOW = datetime.now(UTC)


@pytest.fixture
def hosts(tmp_path: Path) -> list[HostSettings]:
    first = first_host(CLOUD, str(tmp_path / "1"))
    others = [
        HostSettings(name=name, state_dir=str(tmp_path / name), roles=("network", "agent"))
        for name in NAMES[1:]
    ]
    pki.ensure(CLOUD, first, NOW)
    engines_pki.ensure(CLOUD, first, others, NOW)
    return [first, *others]


def subject(host: HostSettings, name: str) -> pki.Subject:
    text = (host.pki_dir / f"{name}.crt").read_bytes()
    return pki.subject_of(x509.load_pem_x509_certificate(text))


def signer(hosts: list[HostSettings], host: HostSettings, name: str) -> str:
    certificate = x509.load_pem_x509_certificate((host.pki_dir / f"{name}.crt").read_bytes())
    for authority in ("ca", "engines"):
        found = Authority.of(hosts[0].pki_dir, authority)
        if found is not None and found.has_issued(certificate):
            return authority
    return ""


def test_members_of_ovns_databases_call_each_other_and_its_clients_only_call(
    hosts: list[HostSettings],
) -> None:
    for host, member in zip(hosts, CLOUD.control_hosts, strict=True):
        for database in members.OVN_DATABASES:
            found = subject(host, database.unit)
            assert found.usages == SERVER | CLIENT
            assert found.addresses == {member.address}
        for name in (members.NORTHD, members.WORKER):
            assert subject(host, name).usages == CLIENT


def test_controllers_can_believe_the_southbound_database_and_nobody_else_is_of_their_authority(
    hosts: list[HostSettings],
) -> None:
    for host in hosts:
        assert signer(hosts, host, "ovnsb-db") == "ca"
        for name in ("ovnnb-db", "ovn-northd", "worker", "etcd"):
            assert signer(hosts, host, name) == "engines"
        both = (host.pki_dir / "ovn-authorities.crt").read_bytes()
        loaded = x509.load_pem_x509_certificates(both)
        assert [each.subject for each in loaded] == [
            x509.load_pem_x509_certificate(path.read_bytes()).subject
            for path in (hosts[0].pki_dir / "ca.crt", host.pki_dir / "engines.crt")
        ]


def test_all_are_made_once(hosts: list[HostSettings]) -> None:
    before = {path: path.read_bytes() for host in hosts for path in host.pki_dir.iterdir()}
    assert pki.ensure(CLOUD, hosts[0], NOW) == []
    engines_pki.ensure(CLOUD, hosts[0], hosts[1:], NOW)
    assert {path: path.read_bytes() for host in hosts for path in host.pki_dir.iterdir()} == before


def test_a_cloud_without_networks_has_none_of_ovns(tmp_path: Path) -> None:
    first = config.changed(first_host(CLOUD, str(tmp_path)), roles=("api",))
    pki.ensure(CLOUD, first, NOW)
    engines_pki.ensure(CLOUD, first, [], NOW)
    assert not {"ovnnb-db.crt", "worker.crt"} & {path.name for path in first.pki_dir.iterdir()}


def test_a_members_certificate_names_the_address_of_its_host_and_of_no_other(
    hosts: list[HostSettings],
) -> None:
    """Whoever has the key of one is no other member."""
    for host, member in zip(hosts, CLOUD.control_hosts, strict=True):
        for subject in engines_pki.subjects(CLOUD, host):
            assert subject.addresses <= {member.address}
