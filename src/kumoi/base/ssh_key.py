"""A new SSH key pair, as OpenSSH writes it. For users who ask for one, and for runners."""

from __future__ import annotations


def new_pair(comment: str) -> tuple[str, str]:
    """The private key and the public one, which has the comment."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - 7 MB, seldom needed
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), f"{public.decode()} {comment}"
