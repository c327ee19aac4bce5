"""A private key that would keep the process busy: in that time it answers nobody."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from kumoi.cloud.domain.key_manager import pkcs12, private_key
from kumoi.cloud.domain.key_manager.encryption import ROUNDS_MAX
from tests import certificates

WORD = b"word"


def made(command: str, given: bytes | None = None) -> bytes:
    done = subprocess.run(
        ["openssl", *command.split()], input=given, check=True, capture_output=True
    )
    return done.stdout


def encrypted(*, times: int, form: str = "DER") -> bytes:
    key = certificates.key_pem(certificates.signed()[0])
    return made(f"pkcs8 -topk8 -iter {times} -passout pass:word -outform {form}", key)


@pytest.mark.parametrize("form", ["DER", "PEM"])
def test_a_passphrase_is_hashed_as_often_as_tools_have_it_and_not_for_long(form: str) -> None:
    assert private_key.read(encrypted(times=2_048, form=form), WORD)
    with pytest.raises(ValueError, match="too often"):
        private_key.read(encrypted(times=ROUNDS_MAX + 1, form=form), WORD)


def test_keys_that_are_not_encrypted_are_read() -> None:
    pem = made("ecparam -name prime256v1 -genkey -noout")
    assert isinstance(private_key.read(pem, None), EllipticCurvePrivateKey)
    binary = made("pkcs8 -topk8 -nocrypt -outform DER", pem)
    assert isinstance(private_key.read(binary, None), EllipticCurvePrivateKey)
    with pytest.raises(TypeError):
        private_key.read(encrypted(times=2_048), None)


LARGE = (1 << 16_384) + 1
"""As one prime of an RSA key, 2 KiB of a secret that has 64: to ask whether it is one took minutes."""


def part(tag: int, *inner: bytes) -> bytes:
    """In DER."""
    body = b"".join(inner)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(length)]) + length + body


def integer(value: int) -> bytes:
    return part(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def rsa(prime: int) -> bytes:
    """A key as DER, of which only its form is right."""
    return part(0x30, *map(integer, (0, 15, 3, 3, prime, 3, 1, 1, 1)))


DSA, DIFFIE_HELLMAN = "2a8648ce380401", "2a864886f70d010301"


def of_large_numbers(kind: str) -> bytes:
    """Whose public half is a power that takes seconds to compute here, and hours where it is as large as a
    payload may be.
    """
    numbers = map(integer, ((1 << 9_000) + 1, (1 << 8_999) + 1, (1 << 8_998) + 1))
    algorithm = part(0x30, part(6, bytes.fromhex(kind)), part(0x30, *numbers))
    return part(0x30, integer(0), algorithm, part(4, integer((1 << 8_997) + 1)))


def as_pem(label: str, content: bytes) -> bytes:
    """With what is no key before it."""
    coded = base64.encodebytes(content).decode()
    text = f"-----BEGIN {label}-----\n{coded}-----END {label}-----\n"
    return certificates.certificate_pem(certificates.signed()[1]) + text.encode()


def test_an_rsa_key_that_is_too_large_is_never_asked_for_its_primes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than 4096 bits"):
        private_key.read(rsa(LARGE), None)
    file = tmp_path / "all.pem"
    made(
        f"req -x509 -newkey rsa:4104 -nodes -subj /CN=a -keyout {tmp_path}/key -out {tmp_path}/own"
    )
    file.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "own").read_bytes())
    with pytest.raises(ValueError, match="more than 4096 bits"):
        private_key.read(file.read_bytes(), None)
    for how in ("", "-keypbe NONE -certpbe NONE"):
        found = pkcs12.read(made(f"pkcs12 -export -in {file} -passout pass: {how}"))
        with pytest.raises(ValueError, match="more than 4096 bits"):
            private_key.of_plain_der(found.keys[0])


def test_one_whose_numbers_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid private key"):
        private_key.read(rsa(7), None)


@pytest.mark.parametrize("kind", [DSA, DIFFIE_HELLMAN])
def test_a_key_that_tls_has_no_use_for_has_its_other_half_never_computed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of DSA of 24,000 bits took 100 s, in which the API answered nobody."""

    def loaded(*_content: object, **_options: object) -> None:
        raise AssertionError("it was computed")

    monkeypatch.setattr(private_key, "load_der_private_key", loaded)
    monkeypatch.setattr(private_key, "load_pem_private_key", loaded)
    key = of_large_numbers(kind)
    dsa = made("dsaparam -genkey 1024")
    locked = made("pkcs8 -topk8 -outform DER -passout pass:word", dsa)
    for content, word in (
        (key, None),
        (as_pem("PRIVATE KEY", key), None),
        (as_pem("DSA PRIVATE KEY", key), None),
        (made("dsa", dsa), None),
        (made("dsa -outform DER", dsa), None),
        (locked, WORD),
        (as_pem("ENCRYPTED PRIVATE KEY", locked), WORD),
    ):
        with pytest.raises(ValueError, match=r"private key|a key is of RSA"):
            private_key.read(content, word)


def test_what_else_tools_write_is_read() -> None:
    plain = certificates.key_pem(certificates.signed()[0])
    for pem, word in (
        (made("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048"), None),
        (made("genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048"), None),
        (made("genpkey -algorithm ED25519"), None),
        (made("genrsa -traditional 2048"), None),
        (made("genrsa -traditional -aes256 -passout pass:word 2048"), WORD),
        (made("ec -aes128 -passout pass:word", plain), WORD),
        (made("pkcs8 -topk8 -v2prf hmacWithSHA1 -v2 aes-128-cbc -passout pass:word", plain), WORD),
    ):
        assert private_key.read(pem, word)
        with pytest.raises((ValueError, TypeError)):
            private_key.read(pem, None if word else WORD)
        if word:
            with pytest.raises(ValueError, match=r"."):
                private_key.read(pem, b"another")
