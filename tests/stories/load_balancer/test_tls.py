"""Listeners that end TLS: they name certificates of the key manager."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.cloud.domain.load_balancer import datapath
from tests import certificates
from tests.stories.load_balancer.conftest import Raw

KEY, CERTIFICATE = certificates.signed()
KEY_PEM, CERTIFICATE_PEM = certificates.key_pem(KEY), certificates.certificate_pem(CERTIFICATE)


def secret(owner: Connection, content: bytes) -> str:
    made = owner.key_manager.create_secret(
        payload=base64.b64encode(content).decode(),
        payload_content_type="application/octet-stream",
        payload_content_encoding="base64",
    )
    return str(made.secret_ref)


@pytest.fixture(autouse=True)
def ends_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where proxies end TLS."""
    able = datapath.PROXY.listeners | {"TERMINATED_HTTPS"}
    proxy = replace(datapath.PROXY, listeners=able)
    monkeypatch.setattr(datapath, "PROXY", proxy)
    monkeypatch.setattr(datapath, "PATHS", (datapath.OVN, proxy))


@pytest.fixture
def whole(demo: Connection) -> str:
    return secret(demo, certificates.bundled(KEY, CERTIFICATE))


def status(raw: Raw, balancer: Any, said: dict[str, Any]) -> int:
    good = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "loadbalancer_id": balancer.id}
    answer = raw("POST", "lbaas/listeners", {"listener": good | said})
    if answer.status_code == 201:
        raw("DELETE", f"lbaas/listeners/{answer.json()['listener']['id']}")
    return answer.status_code


def test_a_certificate_is_a_bundle_or_a_container(
    demo: Connection, balancer: Any, raw: Raw, whole: str
) -> None:
    parts = [
        {"name": "certificate", "secret_ref": secret(demo, CERTIFICATE_PEM)},
        {"name": "private_key", "secret_ref": secret(demo, KEY_PEM)},
    ]
    container = demo.key_manager.create_container(type="certificate", secret_refs=parts)
    for reference in (whole, container.container_ref, secret(demo, KEY_PEM + CERTIFICATE_PEM)):
        assert status(raw, balancer, {"default_tls_container_ref": reference}) == 201
    assert status(raw, balancer, {"sni_container_refs": [whole, whole]}) == 201


def test_what_is_no_certificate_is_refused(
    demo: Connection, other: Connection, balancer: Any, raw: Raw, whole: str
) -> None:
    alien = certificates.certificate_pem(certificates.signed()[1])
    for reference in (
        secret(demo, CERTIFICATE_PEM),
        secret(demo, KEY_PEM + alien),
        secret(demo, b"0\x03\x02\x01\x03"),
        secret(demo, certificates.bundled(KEY, CERTIFICATE, b"password")),
        secret(other, certificates.bundled(KEY, CERTIFICATE)),
        whole[:-1],
        "certificate",
    ):
        assert status(raw, balancer, {"default_tls_container_ref": reference}) == 400, reference


def test_clients_are_asked_for_certificates(
    demo: Connection, balancer: Any, raw: Raw, whole: str
) -> None:
    good = {"default_tls_container_ref": whole}
    authority = secret(demo, CERTIFICATE_PEM)
    asked = {"client_ca_tls_container_ref": authority, "client_authentication": "MANDATORY"}
    revoked = {"client_crl_container_ref": secret(demo, certificates.revoked(KEY, CERTIFICATE))}
    for said, wanted in (
        (asked, 201),
        (asked | revoked, 201),
        (revoked, 400),
        ({"client_authentication": "OPTIONAL"}, 400),
        (asked | {"client_crl_container_ref": authority}, 400),
    ):
        assert status(raw, balancer, good | said) == wanted, said


def test_what_is_not_said_of_tls_has_defaults(balancer: Any, raw: Raw, whole: str) -> None:
    listener = {
        "protocol": "TERMINATED_HTTPS",
        "protocol_port": 443,
        "loadbalancer_id": balancer.id,
        "default_tls_container_ref": whole,
        "hsts_max_age": 5,
    }
    made = raw("POST", "lbaas/listeners", {"listener": listener}).json()["listener"]
    assert made["tls_versions"] == ["TLSv1.2", "TLSv1.3"]
    path = f"lbaas/listeners/{made['id']}"
    change = {"tls_versions": None, "tls_ciphers": "HIGH", "alpn_protocols": ["h2"]}
    changed = raw("PUT", path, {"listener": change}).json()["listener"]
    assert (changed["tls_versions"], changed["tls_ciphers"]) == (["TLSv1.2", "TLSv1.3"], "HIGH")
    for wrong in (
        {"default_tls_container_ref": None},
        {"hsts_max_age": None, "hsts_preload": True},
    ):
        assert raw.fault("PUT", path, {"listener": wrong})[0] == 400
