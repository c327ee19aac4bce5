"""Identifiers, in the two forms OpenStack uses."""

from __future__ import annotations

import uuid


def new_id() -> str:
    """A UUID with dashes: servers, networks, images and most else."""
    return str(uuid.uuid4())


def new_hex_id() -> str:
    """A UUID without dashes: users, projects, roles, as Keystone writes them."""
    return uuid.uuid4().hex


def new_request_id() -> str:
    return f"req-{uuid.uuid4()}"


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID, with or without dashes."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
