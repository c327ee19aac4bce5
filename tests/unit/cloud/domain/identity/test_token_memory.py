"""A token's signature is checked once; all that can end it, each time."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest

from kumoi.base.errors import Unauthenticated
from kumoi.cloud.domain.identity.token import VERIFIED_BYTES_MAX, Rule, Tokens
from kumoi.cloud.store.identity.revocation import EVERYTHING, RevocationKind
from kumoi.cloud.store.identity.signing_key import KeyDirectory
from kumoi.engine.http.bounds import ENTRIES_MAX
from tests.unit.cloud.domain.identity.test_token import NOW, claims, is_valid, revoked


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(KeyDirectory(tmp_path / "keys"), NOW)


def test_a_token_that_was_good_is_refused_once_it_is_revoked(tokens: Tokens) -> None:
    token = tokens.sign(claims())
    assert is_valid(tokens, token)
    tokens.revoke_known(revoked(RevocationKind.TOKEN, "a", EVERYTHING))
    assert not is_valid(tokens, token)


def test_a_token_that_was_good_is_refused_once_it_has_expired(tokens: Tokens) -> None:
    token = tokens.sign(claims())
    assert is_valid(tokens, token)
    with pytest.raises(Unauthenticated):
        tokens.check(token, now=NOW + timedelta(seconds=60))


def test_a_token_that_was_good_is_refused_once_its_key_is_gone(
    tokens: Tokens, tmp_path: Path
) -> None:
    token = tokens.sign(claims())
    assert is_valid(tokens, token)
    for path in (tmp_path / "keys").iterdir():
        path.unlink()
    other = Tokens(KeyDirectory(tmp_path / "keys"), NOW)
    tokens.learn_keys(NOW)
    assert not is_valid(tokens, token)
    assert is_valid(tokens, other.sign(claims()))


def test_a_token_beside_a_good_one_is_checked_for_itself(tokens: Tokens) -> None:
    token = tokens.sign(claims())
    assert is_valid(tokens, token)
    assert not is_valid(tokens, token[:-4] + "AAAA")


def test_what_is_remembered_has_a_bound_in_bytes_however_long_tokens_are(tokens: Tokens) -> None:
    rules = [
        Rule(id=f"{number:032}", service="s" * 255, method="GET", path=f"/{'p' * 127}")
        for number in range(ENTRIES_MAX)
    ]
    signed = tokens.sign(claims(access_rules=rules))
    more = 4 * VERIFIED_BYTES_MAX // len(signed)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(more):
            assert is_valid(tokens, tokens.sign(claims(user_id=str(number), access_rules=rules)))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 3 * VERIFIED_BYTES_MAX
