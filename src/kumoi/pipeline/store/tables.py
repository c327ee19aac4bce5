"""All tables of the pipeline's store, for whoever makes or migrates them."""

from __future__ import annotations

from kumoi.pipeline.store import (
    delegation,
    environment,
    environment_key,
    log,
    own_credential,
    repository,
    repository_secret,
    result,
    run,
    runner,
    script,
    webhook,
)
from kumoi.pipeline.store.schema import metadata

__all__ = [
    "delegation",
    "environment",
    "environment_key",
    "log",
    "metadata",
    "own_credential",
    "repository",
    "repository_secret",
    "result",
    "run",
    "runner",
    "script",
    "webhook",
]
