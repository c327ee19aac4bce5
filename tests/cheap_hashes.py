"""Hashes of passwords that protect nobody: each story has users of its own, and a real hash costs 70 ms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest import mock

from argon2 import PasswordHasher

from kumoi.cloud.domain.identity import password


@contextlib.contextmanager
def cheap_hashes() -> Iterator[None]:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with mock.patch.object(password, "_hasher", cheap):
        yield
