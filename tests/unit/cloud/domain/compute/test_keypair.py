"""Keys: made, read, and refused."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from kumoi.base.errors import Invalid
from kumoi.cloud.domain.compute import keypair

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsABgH5C9okWi0dh2l9GKJl me@example"


def test_a_made_key_is_whole() -> None:
    made = keypair.generate("ssh", "web")
    assert made.private_key is not None
    load_ssh_private_key(made.private_key.encode(), password=None)
    assert made.public_key.endswith(" web")
    assert keypair.read("ssh", made.public_key).fingerprint == made.fingerprint


def test_the_fingerprint_is_what_ssh_keygen_prints() -> None:
    assert keypair.read("ssh", KEY).fingerprint == (
        "ea:fe:cc:b7:f2:a1:95:78:6f:fc:14:c8:88:cb:37:a3"
    )


def test_a_certificate_is_read_back() -> None:
    made = keypair.generate("x509", "windows")
    assert made.public_key.startswith("-----BEGIN CERTIFICATE-----")
    assert keypair.read("x509", made.public_key).fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("type_", "text"), [("ssh", "no key"), ("ssh", ""), ("ssh", KEY[:40]), ("x509", "no pem")]
)
def test_what_is_no_key_is_refused(type_: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        keypair.read(type_, text)
    assert refused.value.field == "public_key"
