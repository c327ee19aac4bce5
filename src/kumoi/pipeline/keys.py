"""Secrets: a runner's one-time token, and the SSH key of an environment's servers."""

from __future__ import annotations

import hashlib
import secrets

from kumoi.base import ssh_key
from kumoi.pipeline.store.environment_key import EnvironmentKey
from kumoi.pipeline.store.runner import Runner

TOKEN_BYTES = 32


def digest(token: str) -> str:
    """The hash by which a token is stored and found; its entropy makes a salt needless."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_key(environment_id: str) -> EnvironmentKey:
    """The key of an environment's servers."""
    private_key, public_key = ssh_key.new_pair(f"kumoi-{environment_id}")
    return EnvironmentKey(environment_id, private_key, public_key)


def new_runner(run_id: str, script: str, key: EnvironmentKey) -> Runner:
    """A runner with a fresh token. `script` is the hash of the script it will run."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return Runner(
        run_id=run_id,
        token=token,
        token_hash=digest(token),
        private_key=key.private_key,
        public_key=key.public_key,
        script=script,
    )
