"""What the authority signs, and for whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kumoi.base.clock import SetClock
from kumoi.base.errors import Invalid
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import join_token
from kumoi.hosts.cluster.authority import Signer
from kumoi.hosts.first_use import pki

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLOUD = CloudSettings(name="t1", southbound_url="ssl:172.24.5.1:6642")


@pytest.fixture
def clock() -> SetClock:
    return SetClock(at=NOW)


@pytest.fixture
def signer(tmp_path: Path, clock: SetClock) -> Signer:
    return _signer(tmp_path / "first", clock)


def _signer(directory: Path, clock: SetClock) -> Signer:
    host = HostSettings(name="t1-host1", state_dir=str(directory))
    pki.ensure(CLOUD, host, clock.now())
    return Signer(CLOUD, host.pki_dir, clock)


@pytest.fixture
def joiner(tmp_path: Path) -> HostSettings:
    return HostSettings(name="two", state_dir=str(tmp_path / "two"))


def test_a_token_is_for_the_host_and_the_address_that_it_names(
    signer: Signer, joiner: HostSettings
) -> None:
    """Whatever the request asks for."""
    token, line = signer.make_token("rack7-blade3", "172.24.5.9", HOUR)
    signed = signer.sign_join(line, pki.request(joiner))
    assert (signed.host, signed.address) == ("rack7-blade3", "172.24.5.9")
    assert signed.nonce == token.nonce
    found = pki.subject_of(x509.load_pem_x509_certificate(signed.certificate.encode()))
    assert found.uris == {"spiffe://t1/host/rack7-blade3"}
    assert found.addresses == {"172.24.5.9"}
    assert found.usages == {ExtendedKeyUsageOID.CLIENT_AUTH}
    pki.accept(joiner, certificate=signed.certificate, authority=signer.certificate())


def test_a_token_says_whom_the_host_may_believe(signer: Signer) -> None:
    _, line = signer.make_token("two", "172.24.5.9", HOUR)
    authority = x509.load_pem_x509_certificate(signer.certificate().encode())
    read = join_token.read(line)
    assert read.authority == pki.fingerprint(authority)
    assert read.url == CLOUD.host_api_url
    assert "\n" not in line
    assert len(line) < join_token.TEXT_MAX


def test_a_token_ends(signer: Signer, joiner: HostSettings, clock: SetClock) -> None:
    _, line = signer.make_token("two", "172.24.5.9", HOUR)
    clock.at = NOW + HOUR
    with pytest.raises(Invalid, match=r"expired.*cluster token two"):
        signer.sign_join(line, pki.request(joiner))


def test_a_token_of_another_authority_is_refused(
    signer: Signer, joiner: HostSettings, clock: SetClock, tmp_path: Path
) -> None:
    _, line = _signer(tmp_path / "other", clock).make_token("two", "172.24.5.9", HOUR)
    with pytest.raises(Invalid, match="not of this cloud's authority"):
        signer.sign_join(line, pki.request(joiner))


def test_a_token_with_another_name_in_it_is_refused(signer: Signer, joiner: HostSettings) -> None:
    _, two = signer.make_token("two", "172.24.5.9", HOUR)
    _, three = signer.make_token("three", "172.24.5.9", HOUR)
    mixed = ".".join((*two.split(".")[:2], three.split(".")[2]))
    with pytest.raises(Invalid, match="not of this cloud's authority"):
        signer.sign_join(mixed, pki.request(joiner))


@pytest.mark.parametrize(
    "line", ["", "kumoi1", "kumoi1.e30.e30", "kumoi1.!.!", "kumoi2.a.b", "kumoi1." + "a" * 4_000]
)
def test_what_is_no_token_is_refused_in_words(
    signer: Signer, joiner: HostSettings, line: str
) -> None:
    with pytest.raises(Invalid, match="no whole join token"):
        signer.sign_join(line, pki.request(joiner))


@pytest.mark.parametrize("wrong", ["", "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n", "ü"])
def test_a_request_that_cannot_be_read_is_refused(signer: Signer, wrong: str) -> None:
    _, line = signer.make_token("two", "172.24.5.9", HOUR)
    with pytest.raises(Invalid, match="request cannot be read"):
        signer.sign_join(line, wrong)


def test_a_certificate_is_renewed_for_the_same_host_and_key(
    signer: Signer, joiner: HostSettings, clock: SetClock
) -> None:
    _, line = signer.make_token("two", "172.24.5.9", HOUR)
    first = signer.sign_join(line, pki.request(joiner))
    clock.at = NOW + timedelta(days=pki.CERTIFICATE_DAYS - 1)
    second = signer.renew(first.certificate)
    assert (second.host, second.public_key_sha256) == ("two", first.public_key_sha256)
    before, after = (
        x509.load_pem_x509_certificate(each.certificate.encode()) for each in (first, second)
    )
    assert pki.subject_of(after) == pki.subject_of(before)
    assert after.not_valid_after_utc - before.not_valid_after_utc > timedelta(days=700)


def test_a_certificate_that_has_ended_is_not_renewed(
    signer: Signer, joiner: HostSettings, clock: SetClock
) -> None:
    _, line = signer.make_token("two", "172.24.5.9", HOUR)
    first = signer.sign_join(line, pki.request(joiner))
    clock.at = NOW + timedelta(days=pki.CERTIFICATE_DAYS)
    with pytest.raises(Invalid, match=r"two has ended: join again"):
        signer.renew(first.certificate)


def test_what_is_no_hosts_certificate_of_ours_is_not_renewed(
    signer: Signer, joiner: HostSettings, clock: SetClock, tmp_path: Path
) -> None:
    other = _signer(tmp_path / "other", clock)
    _, line = other.make_token("two", "172.24.5.9", HOUR)
    theirs = other.sign_join(line, pki.request(joiner)).certificate
    ours = (tmp_path / "first/pki/api.crt").read_text()
    for certificate in (theirs, ours, signer.certificate()):
        with pytest.raises(Invalid, match="not a host's of this cloud"):
            signer.renew(certificate)
    with pytest.raises(Invalid, match="cannot be read"):
        signer.renew("nothing")
