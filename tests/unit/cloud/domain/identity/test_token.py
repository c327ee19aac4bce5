from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from kumoi.base.errors import StoreBehind, Unauthenticated
from kumoi.cloud.domain.identity import signing_key
from kumoi.cloud.domain.identity.token import UNSURE_MOST_S, Claims, Scope, Tokens
from kumoi.cloud.store.identity.revocation import (
    EVERYTHING,
    End,
    RevocationKind,
    Revoked,
    grant_key,
)
from kumoi.cloud.store.identity.signing_key import KeyDirectory
from kumoi.engine.position import Position

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def claims(**changes: Any) -> Claims:
    values: dict[str, Any] = {
        "user_id": "u",
        "user_name": "user",
        "user_domain_id": "default",
        "user_domain_name": "Default",
        "methods": ["password"],
        "audit_ids": ["a"],
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 60,
        "issued_at_us": 7,
        "user_generation": 3,
        "project_generation": 5,
        "project": Scope(id="p", name="project", domain_id="default", domain_name="Default"),
        "roles": [("r", "member")],
    }
    return Claims(**{**values, **changes})


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(KeyDirectory(tmp_path / "keys"), NOW)


def is_valid(tokens: Tokens, token: str) -> bool:
    try:
        tokens.check(token, now=NOW)
    except Unauthenticated:
        return False
    return True


def revoked(
    kind: RevocationKind, key: str, generation: int, revision: int = 1, epoch: str = "first"
) -> Revoked:
    return Revoked({(kind, key): End(generation, LATER)}, Position(epoch, revision), whole=True)


def test_a_token_says_what_was_signed(tokens: Tokens) -> None:
    said = tokens.check(tokens.sign(claims()), now=NOW)
    assert said == claims()
    assert said.issued_at == NOW.replace(microsecond=7)
    assert said.target_id == "p"


def test_a_token_expires_by_our_clock(tokens: Tokens) -> None:
    token = tokens.sign(claims())
    after = NOW + timedelta(seconds=60)
    with pytest.raises(Unauthenticated):
        tokens.check(token, now=after)
    assert tokens.check(token, now=after, allow_expired=True) == claims()


def test_another_clouds_token_is_none_of_ours(tokens: Tokens, tmp_path: Path) -> None:
    other = Tokens(KeyDirectory(tmp_path / "other"), NOW)
    assert not is_valid(tokens, other.sign(claims()))


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        jwt.encode({}, "x" * 32, "HS256"),
        jwt.encode({}, "x" * 32, "HS256", {"kid": "unknown"}),
    ],
)
def test_what_is_no_token_of_a_known_key_is_an_invalid_token(tokens: Tokens, token: str) -> None:
    assert not is_valid(tokens, token)


def test_a_known_kid_alone_opens_nothing(tokens: Tokens) -> None:
    kid = jwt.get_unverified_header(tokens.sign(claims()))["kid"]
    key = signing_key.new_key(NOW).private
    forged = jwt.encode(msgspec.to_builtins(claims()), key, "EdDSA", {"kid": kid})
    assert not is_valid(tokens, forged)


@pytest.mark.parametrize(
    ("kind", "key", "generation", "ends"),
    [
        (RevocationKind.USER, "u", 4, True),
        (RevocationKind.USER, "u", 3, False),
        (RevocationKind.USER, "other", 9, False),
        (RevocationKind.PROJECT, "p", 6, True),
        (RevocationKind.PROJECT, "p", 5, False),
        (RevocationKind.GRANT, grant_key("u", "p"), 4, True),
        (RevocationKind.GRANT, grant_key("u", "other"), 4, False),
        (RevocationKind.TOKEN, "a", EVERYTHING, True),
        (RevocationKind.TOKEN, "other", EVERYTHING, False),
        (RevocationKind.CREDENTIAL, "c", EVERYTHING, True),
    ],
)
def test_a_token_ends_with_what_it_came_from(
    tokens: Tokens, kind: RevocationKind, key: str, generation: int, *, ends: bool
) -> None:
    token = tokens.sign(claims(application_credential_id="c"))
    assert is_valid(tokens, token)
    tokens.revoke_known(revoked(kind, key, generation))
    assert is_valid(tokens, token) is not ends


def test_a_token_for_a_domain_ends_with_the_roles_there(tokens: Tokens) -> None:
    token = tokens.sign(claims(project=None, project_generation=0, domain_id="d"))
    tokens.revoke_known(revoked(RevocationKind.PROJECT, "p", EVERYTHING))
    assert is_valid(tokens, token)
    tokens.revoke_known(revoked(RevocationKind.GRANT, grant_key("u", "d"), 4))
    assert not is_valid(tokens, token)


def test_a_list_that_may_lack_revocations_is_gone_by_for_a_while_only(tmp_path: Path) -> None:
    at_s = [0.0]
    tokens = Tokens(KeyDirectory(tmp_path / "keys"), NOW, monotonic=lambda: at_s[0])
    token = tokens.sign(claims())
    tokens.learnt(is_all=False)  # When the process starts.
    at_s[0] = UNSURE_MOST_S
    tokens.learnt(is_all=False)
    assert is_valid(tokens, token)
    at_s[0] += 1
    with pytest.raises(StoreBehind):
        tokens.check(token, now=NOW)
    with pytest.raises(StoreBehind):
        tokens.sign(claims())
    tokens.learnt(is_all=True)
    assert is_valid(tokens, token)


def test_who_cannot_learn_at_all_takes_no_tokens_either(tmp_path: Path) -> None:
    at_s = [0.0]
    tokens = Tokens(KeyDirectory(tmp_path / "keys"), NOW, monotonic=lambda: at_s[0])
    token = tokens.sign(claims())
    tokens.learnt(is_all=True)
    at_s[0] = UNSURE_MOST_S + 1
    with pytest.raises(StoreBehind):
        tokens.check(token, now=NOW)


def test_who_read_earlier_and_comes_later_takes_nothing_back(tokens: Tokens) -> None:
    token = tokens.sign(claims())
    tokens.revoke_known(revoked(RevocationKind.USER, "u", 4, revision=9))
    tokens.revoke_known(revoked(RevocationKind.USER, "u", 2, revision=5))
    tokens.revoke_known(Revoked())
    assert tokens.position.revision == 9
    assert not is_valid(tokens, token)


def test_what_was_ended_in_another_epoch_has_not_ended_in_this_one(tokens: Tokens) -> None:
    """The user's generation went back with the store, so this is what a login gets now."""
    token = tokens.sign(claims())
    tokens.revoke_known(revoked(RevocationKind.USER, "u", 4, revision=9))
    assert not is_valid(tokens, token)
    tokens.revoke_known(Revoked({}, Position("second", 5), whole=True))
    assert is_valid(tokens, token)
    late = Revoked({(RevocationKind.USER, "u"): End(4, LATER)}, Position("first", 10))
    tokens.revoke_known(late)
    assert tokens.position == Position("second", 5)
    assert is_valid(tokens, token)


def test_what_has_expired_is_forgotten(tokens: Tokens) -> None:
    tokens.revoke_known(revoked(RevocationKind.USER, "u", 4))
    tokens.revoke_known(Revoked(), now=LATER)
    assert tokens._revoked.ends == {}
