"""What control hosts get from the first one."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from kumoi import members
from kumoi.base.errors import Conflict
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.first_use import passwords, pki, sharing
from kumoi.hosts.first_use.pki import Authority

NOW = datetime.now(UTC)
LISTED = tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 2, 3))
CLOUD = CloudSettings(name="t1", underlay_cidr="10.0.5.0/28", control_hosts=LISTED)


@pytest.fixture
def hosts(tmp_path: Path) -> list[HostSettings]:
    made = [HostSettings(name=each.name, state_dir=str(tmp_path / each.name)) for each in LISTED]
    first = made[0]
    pki.ensure(CLOUD, first, NOW)
    passwords.ensure(first)
    members.seal_file(first).parent.mkdir()
    members.seal_file(first).write_bytes(b"seal")
    return made


def test_a_host_that_was_given_nothing_is_told_whom_to_ask(hosts: list[HostSettings]) -> None:
    with pytest.raises(Conflict, match="call `up` on the cloud's first host"):
        sharing.require(hosts[1])


def test_every_control_host_seals_with_the_same_and_is_known_by_its_own(
    hosts: list[HostSettings],
) -> None:
    first, *others = hosts
    sharing.give(CLOUD, first, others, NOW)
    keys = {(host.pki_dir / "api.key").read_bytes() for host in hosts}
    assert len(keys) == 3
    for other in others:
        sharing.require(other)
        assert members.seal_file(other).read_bytes() == b"seal"
        key = other.pki_dir / "ca.key"  # Kept, and used on the first host alone.
        assert key.read_bytes() == (first.pki_dir / "ca.key").read_bytes()
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert passwords.read(other, "admin").reveal() == passwords.read(first, "admin").reveal()
        secret = (members.seal_file(other), passwords.file_of(other, "admin"))
        assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}


def test_a_pipeline_is_not_without_its_certificate(hosts: list[HostSettings]) -> None:
    first, other, _ = hosts
    sharing.give(CLOUD, first, [other], NOW)
    (other.pki_dir / "pipeline.key").unlink()
    with pytest.raises(Conflict, match=r"pipeline\.key is not there"):
        sharing.require(other)


def test_what_is_there_is_not_written_again(hosts: list[HostSettings]) -> None:
    first, *others = hosts
    sharing.give(CLOUD, first, others, NOW)
    before = {path: path.stat().st_mtime_ns for path in others[0].state.rglob("*")}
    sharing.give(CLOUD, first, others, NOW)
    assert {path: path.stat().st_mtime_ns for path in others[0].state.rglob("*")} == before


def test_a_host_without_apis_needs_none_of_it(tmp_path: Path) -> None:
    sharing.require(HostSettings(name="t1-host4", state_dir=str(tmp_path), roles=("agent",)))


def test_a_machine_that_was_given_the_parcel_signs_for_itself(hosts: list[HostSettings]) -> None:
    first, other, _ = hosts
    sharing.give(CLOUD, first, (), NOW)
    sharing.unpack(other, sharing.parcel(first))
    sharing.renew(CLOUD, other, NOW)
    sharing.require(other)
    assert members.seal_file(other).read_bytes() == b"seal"
    ours, theirs = (Authority.of(first.pki_dir, name) for name in ("ca", "engines"))
    assert ours is not None
    assert theirs is not None
    for name, authority in (("api", ours), ("etcd", theirs), ("ovnsb-db", ours)):
        found = x509.load_pem_x509_certificate((other.pki_dir / f"{name}.crt").read_bytes())
        assert authority.has_issued(found)
    own = {LISTED[1].address}
    etcd = x509.load_pem_x509_certificate((other.pki_dir / "etcd.crt").read_bytes())
    assert pki.subject_of(etcd).addresses == own
    private = [path for path in sharing.parcel(other) if not path.endswith(".crt")]
    assert {stat.S_IMODE((other.state / path).stat().st_mode) for path in private} == {0o600}


def test_a_machine_that_lacks_an_authoritys_key_makes_no_authority(
    hosts: list[HostSettings],
) -> None:
    first, other, _ = hosts
    sharing.give(CLOUD, first, (), NOW)
    sharing.unpack(other, sharing.parcel(first))
    (other.pki_dir / "engines.key").unlink()
    with pytest.raises(Conflict, match=r"engines.key is not there: sudo ./kumoi cluster control"):
        sharing.renew(CLOUD, other, NOW)
    assert not (other.pki_dir / "engines.key").exists()


def test_a_parcel_writes_nothing_but_what_is_in_every_parcel(hosts: list[HostSettings]) -> None:
    first, other, _ = hosts
    sharing.give(CLOUD, first, (), NOW)
    parcel = sharing.parcel(first)
    for wrong in ({**parcel, "../t1-host3/pki/ca.key": b""}, dict(list(parcel.items())[1:])):
        with pytest.raises(Conflict, match="upgrade both"):
            sharing.unpack(other, wrong)
    assert not other.state.exists()


def test_a_machine_that_goes_back_keeps_the_authority_that_it_knows_and_no_key(
    hosts: list[HostSettings],
) -> None:
    first, other, _ = hosts
    sharing.give(CLOUD, first, (), NOW)
    sharing.unpack(other, sharing.parcel(first))
    sharing.forget(other)
    assert [path.name for path in other.state.rglob("*") if path.is_file()] == ["ca.crt"]
