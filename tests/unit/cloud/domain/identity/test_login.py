from __future__ import annotations

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import RateLimited, Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity import credential_secret, login
from kumoi.cloud.domain.identity.login import Logins
from kumoi.cloud.domain.identity.password import hash_password, matches

RIGHT = Secret("right")
HASH = hash_password(RIGHT)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def logins(clock: SetClock) -> Logins:
    return Logins(clock, 12)  # Of which an account has two from one address.


def fail(logins: Logins, source: str, account: str, times: int = 1) -> None:
    for _ in range(times):
        logins.failed(source, account)


def waits(logins: Logins, source: str, account: str) -> bool:
    try:
        logins.allow(source, account)
    except RateLimited:
        return True
    return False


def test_the_right_password_gets_in_however_often(logins: Logins) -> None:
    for _ in range(40):
        logins.verify("a", "ann", HASH, RIGHT)


def test_a_wrong_password_an_unknown_user_and_one_without_a_password_are_refused_alike(
    logins: Logins,
) -> None:
    said = set()
    cases = ((HASH, Secret("wrong")), (None, RIGHT), ("no hash", RIGHT))
    for number, (password_hash, secret) in enumerate(cases):
        with pytest.raises(Unauthenticated) as refused:
            logins.verify("a", f"user{number}", password_hash, secret)
        said.add(refused.value.message)
    assert len(said) == 1


def test_after_too_many_failures_nothing_is_hashed_any_more(
    logins: Logins, clock: SetClock
) -> None:
    fail(logins, "a", "ann", 2)
    with pytest.raises(RateLimited) as refused:
        logins.verify("a", "ann", HASH, RIGHT)
    assert refused.value.retry_after_s == pytest.approx(login.WINDOW_S)
    clock.advance(login.WINDOW_S)
    logins.verify("a", "ann", HASH, RIGHT)


def test_who_fails_at_an_address_locks_out_nobody_else_there(logins: Logins) -> None:
    for number in range(40):
        fail(logins, "a", f"guessed{number}")
    assert waits(logins, "a", "guessed39")
    assert not waits(logins, "b", "guessed39")
    logins.verify("a", "ann", HASH, RIGHT)


def test_an_address_without_failures_left_has_one_guess_at_each_account(logins: Logins) -> None:
    fail(logins, "a", "guessed", 12)
    assert not waits(logins, "a", "ann")
    fail(logins, "a", "ann")
    assert waits(logins, "a", "ann")


def test_guesses_from_everywhere_lock_an_account_but_where_its_owner_is(logins: Logins) -> None:
    logins.verify("home", "ann", HASH, RIGHT)
    for number in range(12):
        fail(logins, f"robot{number}", "ann")
    assert waits(logins, "robot99", "ann")
    assert not waits(logins, "home", "ann")
    assert not waits(logins, "robot99", "bob")


def test_addresses_of_one_ipv6_network_are_one(logins: Logins) -> None:
    fail(logins, "fd00::1", "ann", 2)
    assert waits(logins, "fd00::2", "ann")
    assert not waits(logins, "fd00:0:0:1::2", "ann")


def test_what_is_remembered_has_a_bound(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "REMEMBERED_MAX", 30)
    fail(logins, "a", "ann", 2)
    for number in range(20):
        fail(logins, f"b{number}", f"user{number}")
        logins.succeeded(f"b{number}", f"user{number}")
    assert not waits(logins, "a", "ann")


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
