"""Identifiers, in the two forms OpenStack uses."""

from __future__ import annotations

import random
import uuid


def new_id() -> str:
    """A UUID with dashes: servers, networks, images and most else."""
    return str(uuid.uuid4())


def new_hex_id() -> str:
    """A UUID without dashes: users, projects, roles, as Keystone writes them."""
    return uuid.uuid4().hex


def new_request_id() -> str:
    """A UUID, too, but a guessable one, without the cost of the kernel's randomness."""
    return f"req-{uuid.UUID(int=random.getrandbits(128), version=4)}"


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID, with or without dashes."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
