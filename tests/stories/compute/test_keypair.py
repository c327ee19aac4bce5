"""Keypairs: a user's own, in whatever project."""

from __future__ import annotations

import base64
import struct

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from openstack import exceptions
from openstack.connection import Connection
from tests import certificates

from kumoi.cloud.domain.compute import keypair


def test_a_key_is_brought_shown_and_deleted(demo: Connection, other: Connection) -> None:
    material = keypair.generate("ssh", "mine")
    made = demo.compute.create_keypair(name="me@work", public_key=material.public_key)
    assert (made.fingerprint, made.type) == (material.fingerprint, "ssh")
    assert demo.compute.get_keypair("me@work").public_key == material.public_key
    assert [key.name for key in demo.compute.keypairs()] == ["me@work"]
    assert list(other.compute.keypairs()) == []
    with pytest.raises(exceptions.ConflictException):
        demo.compute.create_keypair(name="me@work", public_key=material.public_key)
    demo.compute.delete_keypair("me@work")
    with pytest.raises(exceptions.NotFoundException):
        demo.compute.get_keypair("me@work")


def test_before_2_92_a_key_is_made_and_its_private_half_shown_once(
    demo: Connection, http: httpx.Client
) -> None:
    answer = http.post(
        "/compute/v2.1/os-keypairs",
        json={"keypair": {"name": "made"}},
        headers={"X-Auth-Token": demo.auth_token, "OpenStack-API-Version": "compute 2.91"},
    )
    assert answer.status_code == 201
    assert "PRIVATE KEY" in answer.json()["keypair"]["private_key"]
    assert demo.compute.get_keypair("made").private_key is None


@pytest.mark.parametrize("end", ["", "\n", " a comment\r\n"])
def test_a_key_is_given_back_byte_for_byte(demo: Connection, end: str) -> None:
    text = f" {keypair.generate('ssh', 'mine').public_key}{end}"
    demo.compute.create_keypair(name="mine", public_key=text)
    assert demo.compute.get_keypair("mine").public_key == text


def test_what_is_no_key_is_refused(demo: Connection) -> None:
    kind, curve, point = b"ecdsa-sha2-nistp256", b"nistp256", b"\2" + bytes(64)
    packed = b"".join(struct.pack(">I", len(each)) + each for each in (kind, curve, point))
    compressed = f"{kind.decode()} {base64.b64encode(packed).decode()}"
    for bad in ("ssh-rsa nonsense", compressed):
        with pytest.raises(exceptions.BadRequestException, match="public key"):
            demo.compute.create_keypair(name="bad", public_key=bad)
    good = certificates.signed()[1].public_bytes(Encoding.DER)
    of_version_6 = good.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"))
    coded = base64.encodebytes(of_version_6).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{coded}-----END CERTIFICATE-----\n"
    with pytest.raises(exceptions.BadRequestException, match="the certificate"):
        demo.compute.create_keypair(name="bad", type="x509", public_key=pem)


def test_a_client_that_asks_for_pages_gets_them(demo: Connection) -> None:
    for name in ("a", "b", "c"):
        material = keypair.generate("ssh", name)
        demo.compute.create_keypair(name=name, public_key=material.public_key)
    assert [key.name for key in demo.compute.keypairs(limit=1)] == ["a", "b", "c"]
