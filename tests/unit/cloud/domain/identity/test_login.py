from __future__ import annotations

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import RateLimited, Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity import credential_secret
from kumoi.cloud.domain.identity.login import Logins
from kumoi.cloud.domain.identity.password import hash_password, matches
from kumoi.engine.http import limits

RIGHT = Secret("right")
HASH = hash_password(RIGHT)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def logins(clock: SetClock) -> Logins:
    return Logins(clock, 3)


def fail(logins: Logins, source: str, times: int = 3) -> None:
    for _ in range(times):
        logins.failed(source)


def test_the_right_password_gets_in_however_often(logins: Logins) -> None:
    for _ in range(4):
        logins.verify("a", HASH, RIGHT)


def test_a_wrong_password_an_unknown_user_and_one_without_a_password_are_refused_alike(
    logins: Logins,
) -> None:
    said = set()
    for password_hash, secret in ((HASH, Secret("wrong")), (None, RIGHT), ("no hash", RIGHT)):
        with pytest.raises(Unauthenticated) as refused:
            logins.verify("a", password_hash, secret)
        said.add(refused.value.message)
    assert len(said) == 1
    with pytest.raises(RateLimited):
        logins.allow("a")


def test_after_too_many_failures_nothing_is_hashed_any_more(
    logins: Logins, clock: SetClock
) -> None:
    fail(logins, "a")
    with pytest.raises(RateLimited) as refused:
        logins.verify("a", HASH, RIGHT)
    assert refused.value.retry_after_s == pytest.approx(limits.WINDOW_S)
    clock.advance(limits.WINDOW_S)
    logins.verify("a", HASH, RIGHT)


def test_passwords_are_kept_with_salt(logins: Logins) -> None:
    assert hash_password(RIGHT) != HASH
    assert HASH.startswith("$argon2id$")
    assert matches(HASH, RIGHT)


def test_a_generated_secret_is_long_and_checked_without_argon() -> None:
    made, again = credential_secret.generate(), credential_secret.generate()
    assert made != again
    assert len(made.reveal()) >= 43
    hashed = credential_secret.hash_generated(made)
    assert credential_secret.is_generated(hashed)
    assert not credential_secret.is_generated(HASH)
    assert credential_secret.matches(hashed, made)
    assert not credential_secret.matches(hashed, again)
