"""Access rules: which requests the tokens of an application credential may make.

A path is what follows the service's own prefix, as `/v2.1/servers`. In a rule's path `*` and `{name}` fit
one part, `**` any number of them. A token that has rules and fits none of them is refused by whoever gets
the request; see cloud/api/token.py. That is in the event loop, so RE2 looks, in linear time: Python's own
engine goes back for each wildcard.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import re2
from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden, Invalid, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity.token import Rule
from kumoi.cloud.store.identity import access_rule as store
from kumoi.cloud.store.identity import application_credential as credentials
from kumoi.cloud.store.identity.access_rule import AccessRule

PART = re.compile(r"\*\*|\*|\{[^/{}]*\}")
PER_USER_MAX = 1_000
PATH_MAX = 2_048  # Of a request that has to fit; no route's path is nearly as long.
PATTERNS_KEPT = 256
PATTERN_BYTES_MAX = 256 << 10
_OPTIONS = re2.Options()
_OPTIONS.max_mem = PATTERN_BYTES_MAX
_OPTIONS.log_errors = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRuleRequest:
    """An existing rule by its id, or what a new one says."""

    id: str | None = None
    service: str | None = None
    method: str | None = None
    path: str | None = None


def ensure(
    connection: Connection, user_id: str, wanted: Sequence[AccessRuleRequest]
) -> list[AccessRule]:
    """The user's rules that say this; those that are missing are made. Raises Invalid, and NotFound for an
    id that is not one of the user's.
    """
    return [_one(connection, user_id, each) for each in wanted]


def _one(connection: Connection, user_id: str, wanted: AccessRuleRequest) -> AccessRule:
    if wanted.id is not None:
        return get(connection, user_id, wanted.id)
    if wanted.service is None or wanted.method is None or wanted.path is None:
        raise Invalid("An access rule has an id, or service, method and path", field="access_rules")
    found = store.same(
        connection,
        user_id=user_id,
        service=wanted.service,
        method=wanted.method,
        path=wanted.path,
    )
    if found is None:
        found = AccessRule(new_hex_id(), user_id, wanted.service, wanted.method, wanted.path)
        store.insert(connection, found)
    return found


def get(connection: Connection, user_id: str, key: str) -> AccessRule:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None or row.user_id != user_id:
        raise NotFound("access rule", key)
    return row


def delete(connection: Connection, user_id: str, key: str) -> None:
    """Raises NotFound, and Forbidden while an application credential has it."""
    get(connection, user_id, key)
    if any(key in (row.access_rule_ids or ()) for row in credentials.of_user(connection, user_id)):
        raise Forbidden(f"An application credential has access rule {key}: delete that first.")
    store.delete(connection, key)


def allows(rules: Sequence[Rule], *, service: str, method: str, path: str) -> bool:
    """Whether one of a token's rules fits a request. A HEAD is allowed where a GET is."""
    methods = {method, "GET"} if method == "HEAD" else {method}
    return len(path) <= PATH_MAX and any(
        rule.service == service and rule.method in methods and _pattern(rule.path).fullmatch(path)
        for rule in rules
    )


@functools.lru_cache(maxsize=PATTERNS_KEPT)
def _pattern(path: str) -> Any:
    """Of a rule's path. Its parts are quoted, so no text of a user's is read as a pattern."""
    found, at = "", 0
    for part in PART.finditer(path):
        found += re2.escape(path[at : part.start()])
        found += ".*" if part.group() == "**" else "[^/]+"
        at = part.end()
    return re2.compile(found + re2.escape(path[at:]), _OPTIONS)
