"""End tokens before they expire, inside the write transaction that is the reason for it.

Afterwards the handler calls `refresh`, so that this process refuses the tokens at once; the others
learn it from the change feed, milliseconds later.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.identity.token import TTL_MAX_S, Claims, Tokens
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import revocation as store
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.revocation import EVERYTHING, End, Key, RevocationKind, grant_key

ENDED_MAX = 10_000
"""Of a user's single tokens and credentials that are known to have ended. Whoever ends more, ends all tokens of that
user: every process keeps what has ended in memory until it would have expired.
"""


def end_token(connection: Connection, claims: Claims, now: datetime) -> None:
    """End a single token."""
    key = (RevocationKind.TOKEN, claims.audit_ids[0])
    _end_one(connection, key, End(EVERYTHING, claims.expires_at, claims.user_id), now)


def end_user(connection: Connection, user_id: str, now: datetime) -> None:
    """End all tokens of a user, and forget which of them had ended before."""
    store.delete_of_user(connection, user_id)
    end = End(users.next_generation(connection, user_id), _last_expiry(now))
    store.add(connection, {(RevocationKind.USER, user_id): end}, now)


def end_project(connection: Connection, project_id: str, now: datetime) -> None:
    """End all tokens for a project."""
    end = End(projects.next_generation(connection, project_id), _last_expiry(now))
    store.add(connection, {(RevocationKind.PROJECT, project_id): end}, now)


def end_credential(connection: Connection, credential_id: str, user_id: str, now: datetime) -> None:
    """End all tokens made with a user's application credential, or by a trust of his."""
    key = (RevocationKind.CREDENTIAL, credential_id)
    _end_one(connection, key, End(EVERYTHING, _last_expiry(now), user_id), now)


def _end_one(connection: Connection, key: Key, end: End, now: datetime) -> None:
    user_id = end.user_id or ""
    if store.count_of_user(connection, user_id) >= ENDED_MAX:
        end_user(connection, user_id, now)
    else:
        store.add(connection, {key: end}, now)


def end_grants(connection: Connection, grants: Iterable[tuple[str, str]], now: datetime) -> None:
    """End the tokens of users for certain projects or domains: (user id, target id)."""
    ends: dict[Key, End] = {}
    for user_id, target_id in grants:
        generation = users.next_generation(connection, user_id)
        ends[RevocationKind.GRANT, grant_key(user_id, target_id)] = End(
            generation, _last_expiry(now)
        )
    store.add(connection, ends, now)


def has_ended(connection: Connection, claims: Claims) -> bool:
    """Whether the token, or all tokens of its user, have ended by what this transaction reads."""
    token, user = (RevocationKind.TOKEN, claims.audit_ids[0]), (RevocationKind.USER, claims.user_id)
    ends = store.get(connection, [token, user])
    return token in ends or (user in ends and claims.user_generation < ends[user].generation)


def refresh(connection: Connection, tokens: Tokens, now: datetime) -> None:
    """Add the revocations that are newer than those this process knows."""
    tokens.revoke_known(store.load(connection, tokens.position), now=now)


def refresh_from_follower(connection: Connection, tokens: Tokens, now: datetime) -> None:
    """Add what a server has that takes no writes, and forget nothing: it may have less than the one that does."""
    tokens.revoke_more(store.every(connection), now=now)


def _last_expiry(now: datetime) -> datetime:
    """A time by which all tokens made until now have expired."""
    return now + timedelta(seconds=2 * TTL_MAX_S)
