"""A lease: one worker at a time, until it expires by the database's clock or its process is seen to
have ended. One conditional UPDATE, token and expiry; engine/holder.py makes tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine import holder
from kumoi.engine.db import now
from kumoi.engine.schema import lease


@dataclass(frozen=True, slots=True)
class TakenLease:
    """`left_s` is by the database's clock, when it was looked at."""

    token: str
    left_s: float


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


def renew(connection: Connection, tokens: Mapping[str, str], *, ttl_s: float) -> frozenset[str]:
    """Those of the leases that their `tokens`, by name, have still; they have their whole time again."""
    expires_at = now(connection) + timedelta(seconds=ttl_s)
    kept = connection.execute(
        sa.update(lease)
        .where(lease.c.name.in_(tokens), lease.c.token.in_(set(tokens.values())))
        .values(expires_at=expires_at)
        .returning(lease.c.name)
    )
    return frozenset(kept.scalars())


def taken(connection: Connection, names: Collection[str]) -> dict[str, TakenLease]:
    """Those of the leases that `claim` would not take for somebody else. Only reads: those who wait for their turn
    must not write themselves.
    """
    at = now(connection)
    rows = connection.execute(
        sa.select(lease.c.name, lease.c.token, lease.c.expires_at).where(lease.c.name.in_(names))
    )
    return {
        row.name: TakenLease(row.token, (row.expires_at - at).total_seconds())
        for row in rows
        if row.expires_at > at and not holder.is_gone(row.token)
    }


def release(connection: Connection, name: str, *, token: str) -> None:
    """Give the lease back, if `token` still holds it."""
    connection.execute(sa.delete(lease).where(lease.c.name == name, lease.c.token == token))
