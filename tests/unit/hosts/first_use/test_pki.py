"""The authority and its certificates, checked by OpenSSL as clients do."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kumoi import config
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import pki

CLOUD = CloudSettings()
NOW = datetime.now(UTC)
EVERYTHING = ["ca", "api", "pipeline", "kumoi-host1"]


@pytest.fixture
def host(tmp_path: Path) -> HostSettings:
    return HostSettings(state_dir=str(tmp_path))


def test_all_are_made_once(host: HostSettings) -> None:
    assert pki.ensure(CLOUD, host, NOW) == EVERYTHING
    assert pki.ensure(CLOUD, host, NOW) == []


def test_keys_are_for_root_only_and_the_authority_is_for_everybody(host: HostSettings) -> None:
    pki.ensure(CLOUD, host, NOW)
    for path in host.pki_dir.iterdir():
        wanted = 0o600 if path.suffix == ".key" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_another_address_renews_what_stands_for_it(host: HostSettings) -> None:
    pki.ensure(CLOUD, host, NOW)
    moved = config.changed(CLOUD, public_cidr="10.9.9.0/24")
    assert pki.ensure(moved, host, NOW) == ["api", "pipeline"]


def test_what_ends_soon_is_renewed(host: HostSettings) -> None:
    pki.ensure(CLOUD, host, NOW)
    later = NOW + timedelta(days=pki.CERTIFICATE_DAYS - pki.RENEW_BEFORE_DAYS + 1)
    assert pki.ensure(CLOUD, host, later) == ["api", "pipeline", "kumoi-host1"]


def test_a_new_authority_renews_everything(host: HostSettings) -> None:
    pki.ensure(CLOUD, host, NOW)
    (host.pki_dir / "ca.key").unlink()
    assert pki.ensure(CLOUD, host, NOW) == EVERYTHING


def test_a_certificate_without_its_key_is_made_again(host: HostSettings) -> None:
    pki.ensure(CLOUD, host, NOW)
    other = (host.pki_dir / "api.key").read_bytes()
    (host.pki_dir / "pipeline.key").write_bytes(other)
    assert pki.ensure(CLOUD, host, NOW) == ["pipeline"]


def test_a_client_trusts_the_api_and_the_api_knows_the_host_by_name(host: HostSettings) -> None:
    pki.ensure(CLOUD, host, NOW)
    directory = host.pki_dir
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=directory / "ca.crt")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(directory / "api.crt", directory / "api.key")
    client = ssl.create_default_context(cafile=directory / "ca.crt")
    client.load_cert_chain(directory / "kumoi-host1.crt", directory / "kumoi-host1.key")
    ours, theirs = socket.socketpair()
    names: list[object] = []

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as secured:
            names.append(secured.getpeercert())

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(ours, server_hostname=CLOUD.public_address) as secured:
        secured.recv(1)
    thread.join(5)
    (certificate,) = names
    assert isinstance(certificate, dict)
    assert certificate["subject"] == ((("commonName", "kumoi-host1"),),)
