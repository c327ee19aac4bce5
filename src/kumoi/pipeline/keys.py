"""The secrets of one run: the runner's one-time token, and the SSH key of its servers."""

from __future__ import annotations

import hashlib
import secrets

from kumoi.base import ssh_key
from kumoi.pipeline.store.runner import Runner

TOKEN_BYTES = 32


def digest(token: str) -> str:
    """The hash by which a token is stored and found; its entropy makes a salt needless."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_runner(run_id: str, script: str) -> Runner:
    """A runner with fresh secrets. `script` is the hash of the script it will run."""
    private_key, public_key = ssh_key.new_pair(f"kumoi-run-{run_id}")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Runner(
        run_id=run_id,
        token=token,
        token_hash=digest(token),
        private_key=private_key,
        public_key=public_key,
        script=script,
    )
