"""Hashes of passwords that protect nobody: each story has users of its own, and a real hash costs 70 ms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from kumoi.cloud.domain.identity import password


@contextlib.contextmanager
def cheap_hashes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr(password, "_hasher", cheap)
        yield
