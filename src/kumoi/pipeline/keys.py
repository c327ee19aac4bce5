"""The secrets of one run: the runner's one-time token, and the SSH key of its servers."""

from __future__ import annotations

import hashlib
import secrets

from kumoi.pipeline.store.runner import Runner

TOKEN_BYTES = 32


def digest(token: str) -> str:
    """The hash by which a token is stored and found; its entropy makes a salt needless."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_runner(run_id: str, script: str) -> Runner:
    """A runner with fresh secrets. `script` is the hash of the script it will run."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - 7 MB, once per run
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
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Runner(
        run_id=run_id,
        token=token,
        token_hash=digest(token),
        private_key=private.decode(),
        public_key=f"{public.decode()} kumoi-run-{run_id}",
        script=script,
    )
