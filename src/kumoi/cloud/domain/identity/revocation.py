"""Ending tokens before they expire. Inside the writing transaction that gives the reason.

Afterwards the handler calls `refresh`, so that it holds at once in this process; the others learn
it by the change feed, milliseconds later.
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


def end_token(connection: Connection, claims: Claims, now: datetime) -> None:
    """This one token."""
    end = End(EVERYTHING, claims.expires_at)
    store.add(connection, {(RevocationKind.TOKEN, claims.audit_ids[0]): end}, now)


def end_user(connection: Connection, user_id: str, now: datetime) -> None:
    """All tokens of a user."""
    end = End(users.next_generation(connection, user_id), _all_gone(now))
    store.add(connection, {(RevocationKind.USER, user_id): end}, now)


def end_project(connection: Connection, project_id: str, now: datetime) -> None:
    """All tokens for a project."""
    end = End(projects.next_generation(connection, project_id), _all_gone(now))
    store.add(connection, {(RevocationKind.PROJECT, project_id): end}, now)


def end_credential(connection: Connection, credential_id: str, now: datetime) -> None:
    """All tokens that an application credential got."""
    end = End(EVERYTHING, _all_gone(now))
    store.add(connection, {(RevocationKind.CREDENTIAL, credential_id): end}, now)


def end_grants(connection: Connection, grants: Iterable[tuple[str, str]], now: datetime) -> None:
    """All tokens of these users for these projects or domains: (user id, target id)."""
    ends: dict[Key, End] = {}
    for user_id, target_id in grants:
        generation = users.next_generation(connection, user_id)
        ends[RevocationKind.GRANT, grant_key(user_id, target_id)] = End(generation, _all_gone(now))
    store.add(connection, ends, now)


def has_ended(connection: Connection, claims: Claims) -> bool:
    """Whether the token itself or all of its user's were ended, as this transaction sees it."""
    token, user = (RevocationKind.TOKEN, claims.audit_ids[0]), (RevocationKind.USER, claims.user_id)
    ends = store.get(connection, [token, user])
    return token in ends or (user in ends and claims.user_generation < ends[user].generation)


def refresh(connection: Connection, tokens: Tokens, now: datetime) -> None:
    """Learn what was revoked since this process last looked."""
    tokens.revoke_known(store.load(connection, tokens.position), now=now)


def _all_gone(now: datetime) -> datetime:
    """When no token that was made until now is left."""
    return now + timedelta(seconds=2 * TTL_MAX_S)
