"""A private key that would keep the process busy: in that time it answers nobody."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from kumoi.cloud.domain.key_manager import der, pkcs12, private_key
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
        private_key.read(encrypted(times=der.ITERATIONS_MAX + 1, form=form), WORD)


def test_keys_that_are_not_encrypted_are_read() -> None:
    pem = made("ecparam -name prime256v1 -genkey -noout")
    assert isinstance(private_key.read(pem, None), EllipticCurvePrivateKey)
    binary = made("pkcs8 -topk8 -nocrypt -outform DER", pem)
    assert isinstance(private_key.read(binary, None), EllipticCurvePrivateKey)
    with pytest.raises(TypeError):
        private_key.read(encrypted(times=2_048), None)


LARGE = (1 << 16_384) + 1
"""As one prime of an RSA key, 2 KiB of a secret that has 64: to ask whether it is one took minutes."""


def rsa(prime: int) -> bytes:
    """A key as DER, of which only its form is right."""

    def part(tag: int, body: bytes) -> bytes:
        size = len(body)
        if size < 0x80:
            return bytes([tag, size]) + body
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes([tag, 0x80 + len(length)]) + length + body

    def integer(value: int) -> bytes:
        return part(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    return part(0x30, b"".join(map(integer, (0, 15, 3, 3, prime, 3, 1, 1, 1))))


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
        with pytest.raises(ValueError, match="more than 4096 bits"):
            pkcs12.require_cheap(made(f"pkcs12 -export -in {file} -passout pass: {how}"))


def test_one_whose_numbers_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid private key"):
        private_key.read(rsa(7), None)
