"""Failed logins are counted per source, before anything is asked."""

from __future__ import annotations

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import RateLimited
from kumoi.base.secret import Secret
from kumoi.pipeline.identity import Attempts, Caller, Login, _Answers


def test_too_many_failures_from_one_source_must_wait_and_others_need_not() -> None:
    clock = SetClock()
    attempts = Attempts(clock, 3)
    for _ in range(3):
        attempts.check("10.0.0.1")
        attempts.failed("10.0.0.1")
        clock.advance(10)
    with pytest.raises(RateLimited) as refused:
        attempts.check("10.0.0.1")
    assert refused.value.retry_after_s == 30
    attempts.check("10.0.0.2")
    clock.advance(31)
    attempts.check("10.0.0.1")


def test_an_answer_is_kept_for_a_minute_and_not_under_the_secret_itself() -> None:
    clock = SetClock()
    answers = _Answers(clock)
    caller = Caller("u", "p", "demo", frozenset({"member"}))
    answers.keep("secret", caller)
    assert answers.get("secret") == caller
    assert answers.get("other") is None
    assert "secret" not in repr(answers._kept)
    clock.advance(61)
    assert answers.get("secret") is None


def test_a_login_does_not_print_its_secret() -> None:
    assert "hunter2" not in repr(Login("me", Secret("hunter2")))


def test_an_application_credential_is_told_by_its_id() -> None:
    assert Login("0123456789abcdef0123456789abcdef", Secret("x")).is_credential
    assert not Login("demo", Secret("x")).is_credential
