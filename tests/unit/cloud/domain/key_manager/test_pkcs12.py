"""What is refused of a bundle before anybody reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kumoi.cloud.domain.key_manager import pkcs12
from kumoi.cloud.domain.key_manager.encryption import HashRounds
from tests import certificates


def exported(tmp_path: Path, *options: str) -> bytes:
    """As the command that everybody uses makes it."""
    key, certificate = certificates.signed()
    pem = tmp_path / "all.pem"
    pem.write_bytes(certificates.key_pem(key) + certificates.certificate_pem(certificate))
    done = subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", str(pem), "-passout", "pass:", *options],
        check=True,
        capture_output=True,
    )
    return done.stdout


def test_what_tools_write_is_cheap(tmp_path: Path) -> None:
    for content in (
        certificates.bundled(*certificates.signed()),
        exported(tmp_path),
        exported(tmp_path, "-keypbe", "NONE", "-certpbe", "NONE"),
        exported(tmp_path, "-nomac"),
    ):
        found = pkcs12.read(content)
        assert (len(found.keys), len(found.certificates)) == (1, 1)


def test_a_password_that_would_be_hashed_for_long_is_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too often"):
        pkcs12.read(exported(tmp_path, "-iter", "1000001", "-nomac", "-certpbe", "NONE"))


def test_all_passwords_of_a_file_are_hashed_so_often_together(tmp_path: Path) -> None:
    """64 KiB had room for 300 keys of a million rounds each, two minutes of a processor."""
    assert pkcs12.read(exported(tmp_path, "-iter", "400000"))
    with pytest.raises(ValueError, match="too often"):
        pkcs12.read(exported(tmp_path, "-iter", "600000"))


def test_all_files_of_a_request_have_passwords_hashed_so_often_together(tmp_path: Path) -> None:
    """A listener names 256, each of which took a million."""
    content, rounds = exported(tmp_path, "-iter", "5000"), HashRounds(25_000)
    for _ in range(2):
        assert pkcs12.read(content, rounds)
    with pytest.raises(ValueError, match="too often"):
        pkcs12.read(content, rounds)


def test_old_encryption_of_certificates_is_refused(tmp_path: Path) -> None:
    old = exported(
        tmp_path, "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"
    )
    with pytest.raises(ValueError, match="old form"):
        pkcs12.read(old)


def test_what_is_no_der_is_refused() -> None:
    good = certificates.bundled(*certificates.signed())
    for bad in (b"", b"0", b"\x30\x80" + good[2:], good[:-1], good + b"\0", b"\x30\x82\xff\xff"):
        with pytest.raises(ValueError, match=r"."):
            pkcs12.read(bad)
