"""A lease: one worker at a time, until it expires by the database's clock or its process is seen to
have ended. One conditional UPDATE, token and expiry; engine/holder.py makes tokens.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine import holder
from kumoi.engine.db import now
from kumoi.engine.schema import lease


def claim(connection: Connection, name: str, *, token: str, ttl_s: float) -> bool:
    """Take the lease, or renew it when `token` has it already; whether `token` has it now."""
    at = now(connection)
    expires_at = at + timedelta(seconds=ttl_s)
    holder_token = connection.execute(
        sa.select(lease.c.token).where(lease.c.name == name)
    ).scalar_one_or_none()
    if holder_token is None:
        connection.execute(sa.insert(lease).values(name=name, token=token, expires_at=expires_at))
        return True
    ours = [token, holder_token] if holder.is_gone(holder_token) else [token]
    held = connection.execute(
        sa.update(lease)
        .where(lease.c.name == name, lease.c.token.in_(ours) | (lease.c.expires_at <= at))
        .values(token=token, expires_at=expires_at)
    )
    return held.rowcount == 1


def is_held(connection: Connection, name: str, *, token: str, margin_s: float) -> bool:
    """Whether `token` holds the lease for at least `margin_s` from now."""
    expires_at = connection.execute(
        sa.select(lease.c.expires_at).where(lease.c.name == name, lease.c.token == token)
    ).scalar_one_or_none()
    return expires_at is not None and expires_at >= now(connection) + timedelta(seconds=margin_s)


def is_free(connection: Connection, name: str, *, token: str) -> bool:
    """Whether `claim` would take the lease, or renew it. Only reads: those who wait for their turn look at
    each write of others, and must not write themselves.
    """
    found = connection.execute(
        sa.select(lease.c.token, lease.c.expires_at).where(lease.c.name == name)
    ).first()
    if found is None or found.token == token:
        return True
    return bool(found.expires_at <= now(connection)) or holder.is_gone(found.token)


def release(connection: Connection, name: str, *, token: str) -> None:
    """Give the lease back, if `token` still holds it."""
    connection.execute(sa.delete(lease).where(lease.c.name == name, lease.c.token == token))
