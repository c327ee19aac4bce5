"""Listeners that end TLS: they name certificates of the key manager."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from openstack.connection import Connection
from openstack.exceptions import ForbiddenException

from kumoi.cloud.hostapi.load_balancer import MemberTlsSpec, ProxiedListener
from kumoi.cloud.reconcilers.load_balancer import StationReconciler
from kumoi.cloud.store.load_balancer import tls_material
from tests import certificates
from tests.running_cloud import RunningCloud
from tests.stories.load_balancer.conftest import Raw
from tests.stories.load_balancer.hosting import serving, told

pytestmark = pytest.mark.apis("key-manager")

KEY, CERTIFICATE = certificates.signed()
KEY_PEM, CERTIFICATE_PEM = certificates.key_pem(KEY), certificates.certificate_pem(CERTIFICATE)
KEY_DER, CERTIFICATE_DER = (
    base64.b64decode(b"".join(each.splitlines()[1:-1])) for each in (KEY_PEM, CERTIFICATE_PEM)
)
VERSION_3, VERSION_6 = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")
P256 = bytes.fromhex("2a8648ce3d030107")


def pem(label: str, content: bytes) -> bytes:
    coded = base64.encodebytes(content).decode()
    return f"-----BEGIN {label}-----\n{coded}-----END {label}-----\n".encode()


def secret(owner: Connection, content: bytes) -> str:
    made = owner.key_manager.create_secret(
        payload=base64.b64encode(content).decode(),
        payload_content_type="application/octet-stream",
        payload_content_encoding="base64",
    )
    return str(made.secret_ref)


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
    of_version_6 = CERTIFICATE_DER.replace(VERSION_3, VERSION_6)
    of_no_curve = KEY_DER.replace(P256, P256[:-1] + b"\xff")
    for reference in (
        secret(demo, KEY_PEM + pem("CERTIFICATE", of_version_6)),
        secret(demo, pem("PRIVATE KEY", of_no_curve) + CERTIFICATE_PEM),
        secret(
            demo, KEY_PEM + pem("CERTIFICATE", CERTIFICATE_DER.replace(P256, P256[:-1] + b"\xff"))
        ),
        secret(demo, CERTIFICATE_PEM),
        secret(demo, KEY_PEM + alien),
        secret(demo, b"0\x03\x02\x01\x03"),
        secret(demo, certificates.bundled(KEY, CERTIFICATE, b"password")),
        secret(other, certificates.bundled(KEY, CERTIFICATE)),
        whole[:-1],
        "certificate",
    ):
        assert status(raw, balancer, {"default_tls_container_ref": reference}) == 400, reference


def test_what_no_proxy_would_begin_with_is_refused_with_its_field(
    demo: Connection, balancer: Any, raw: Raw, whole: str
) -> None:
    """The balancer's proxy began no more, and tried again and again."""
    short = rsa.generate_private_key(65_537, 1_024)
    weak = secret(
        demo,
        certificates.key_pem(short) + certificates.certificate_pem(certificates.signed_by(short)),
    )
    listener = {
        "protocol": "TERMINATED_HTTPS",
        "protocol_port": 443,
        "loadbalancer_id": balancer.id,
        "default_tls_container_ref": whole,
    }
    for said, words in (
        (
            {"default_tls_container_ref": weak},
            f"no TLS is spoken with what {weak} has: ee key too small",
        ),
        ({"sni_container_refs": [whole, weak]}, f"no TLS is spoken with what {weak} has"),
        ({"tls_ciphers": "nonsense"}, "none is known by one of these names: nonsense"),
        ({"tls_ciphers": "TLS_NONSENSE"}, "none is known by one of these names: TLS_NONSENSE"),
    ):
        code, text = raw.fault("POST", "lbaas/listeners", {"listener": listener | said})
        assert code == 400
        assert words in text
        assert next(iter(said)) in text


def test_who_may_not_have_listeners_there_learns_nothing_of_secrets(
    demo: Connection, other: Connection, balancer: Any, whole: str
) -> None:
    wanted = {
        "protocol": "TERMINATED_HTTPS",
        "protocol_port": 443,
        "default_tls_container_ref": whole,
    }
    with pytest.raises(ForbiddenException):
        other.load_balancer.create_listener(load_balancer_id=balancer.id, **wanted)
    made = demo.load_balancer.create_listener(load_balancer_id=balancer.id, **wanted)
    with pytest.raises(ForbiddenException):
        other.load_balancer.update_listener(made.id, default_tls_container_ref=whole)


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


def told_listener(cloud: RunningCloud, balancer: Any) -> list[ProxiedListener]:
    """What a host is told of the balancer's listeners."""
    host = serving(cloud)
    StationReconciler(cloud.database).round()
    (thing,) = told(host, balancer.id)
    return thing.listeners


def test_hosts_are_told_what_the_references_named_and_of_a_new_one(
    cloud: RunningCloud, demo: Connection, balancer: Any, raw: Raw, whole: str
) -> None:
    balancing, (other_key, other) = demo.load_balancer, certificates.signed("other.example")
    second = secret(demo, certificates.bundled(other_key, other))
    wanted = {
        "loadbalancer_id": balancer.id,
        "protocol": "TERMINATED_HTTPS",
        "protocol_port": 443,
        "default_tls_container_ref": whole,
        "sni_container_refs": [second],
        "client_ca_tls_container_ref": secret(demo, CERTIFICATE_PEM),
        "client_authentication": "MANDATORY",
        "hsts_max_age": 60,
        "hsts_include_subdomains": True,
        "hsts_preload": True,
    }
    listener = raw("POST", "lbaas/listeners", {"listener": wanted}).json()["listener"]["id"]
    own, others = (
        (certificates.key_pem(key) + certificates.certificate_pem(one)).decode()
        for key, one in ((KEY, CERTIFICATE), (other_key, other))
    )
    demo.key_manager.delete_secret(whole.rpartition("/")[2])
    (said,) = told_listener(cloud, balancer)
    assert said.tls is not None
    assert said.tls.certificates == [own, others]
    assert said.tls.client_authority == CERTIFICATE_PEM.decode()
    assert said.tls.client_authentication == "MANDATORY"
    assert said.tls.hsts == "max-age=60; includeSubDomains; preload"
    assert said.tls.versions == ["TLSv1.2", "TLSv1.3"]
    balancing.update_listener(listener, default_tls_container_ref=second, name="renamed")
    (said,) = told_listener(cloud, balancer)
    assert said.tls is not None
    assert said.tls.certificates == [others, others]
    balancing.update_listener(listener, sni_container_refs=[])
    (said,) = told_listener(cloud, balancer)
    assert said.tls is not None
    assert said.tls.certificates == [others]


def test_keys_are_kept_sealed_and_go_with_the_listener(
    cloud: RunningCloud, demo: Connection, balancer: Any, whole: str
) -> None:
    balancing = demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id,
        protocol="TERMINATED_HTTPS",
        protocol_port=443,
        default_tls_container_ref=whole,
    )
    with cloud.database.read() as connection:
        (row,) = tls_material.of_balancers(connection, [balancer.id])
    assert b"PRIVATE" not in row.sealed
    balancing.delete_listener(listener)
    with cloud.database.read() as connection:
        assert tls_material.of_balancers(connection, [balancer.id]) == []


def test_what_does_not_open_is_not_served_and_harms_nothing_else(
    cloud: RunningCloud, demo: Connection, balancer: Any, whole: str
) -> None:
    balancing = demo.load_balancer
    words = {"load_balancer_id": balancer.id, "protocol": "TERMINATED_HTTPS"}
    for port in (443, 444):
        balancing.create_listener(
            **words, protocol_port=port, default_tls_container_ref=whole, name=str(port)
        )
    assert sorted(one.port for one in told_listener(cloud, balancer)) == [443, 444]
    (broken,) = balancing.listeners(name="443")
    with cloud.database.write() as connection:
        rows = tls_material.of_balancers(connection, [balancer.id])
        (row,) = (one for one in rows if one.part_id == broken.id)
        tls_material.replace(
            connection, row.part_id, [row.name], [replace(row, sealed=row.sealed[:-1] + b"x")]
        )
    assert [one.port for one in told_listener(cloud, balancer)] == [444]


def test_hosts_are_told_how_members_are_spoken_to(
    cloud: RunningCloud, demo: Connection, balancer: Any, raw: Raw, whole: str
) -> None:
    balancing = demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )
    wanted = {
        "listener_id": listener.id,
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "tls_enabled": True,
        "tls_container_ref": whole,
        "ca_tls_container_ref": secret(demo, CERTIFICATE_PEM),
        "tls_versions": ["TLSv1.3"],
    }
    pool = raw("POST", "lbaas/pools", {"pool": wanted}).json()["pool"]
    host = serving(cloud)
    StationReconciler(cloud.database).round()
    (said,) = told(host, balancer.id)[0].pools
    assert said.tls_with == MemberTlsSpec(
        certificate=(KEY_PEM + CERTIFICATE_PEM).decode(),
        authority=CERTIFICATE_PEM.decode(),
        versions=["TLSv1.3"],
    )
    balancing.update_pool(pool["id"], tls_enabled=False)
    (said,) = told(host, balancer.id)[0].pools
    assert (said.tls, said.tls_with) == (False, None)


def test_too_much_to_tell_hosts_is_refused(demo: Connection, raw: Raw, balancer: Any) -> None:
    long = secret(demo, (KEY_PEM + CERTIFICATE_PEM * 16))
    many = [long] * 40
    assert status(raw, balancer, {"sni_container_refs": many[:4]}) == 201
    assert status(raw, balancer, {"sni_container_refs": many}) == 400
