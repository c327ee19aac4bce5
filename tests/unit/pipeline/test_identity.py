"""What is kept of those who asked."""

from __future__ import annotations

from kumoi.base.clock import SetClock
from kumoi.base.secret import Secret
from kumoi.pipeline.identity import GitLogin, ProjectCaller, _Answers


def test_an_answer_is_kept_for_a_minute_and_not_under_the_secret_itself() -> None:
    clock = SetClock()
    answers = _Answers(clock)
    caller = ProjectCaller("u", "p", frozenset({"member"}), "demo")
    answers.keep("secret", caller)
    assert answers.get("secret") == caller
    assert answers.get("other") is None
    assert "secret" not in repr(answers._kept)
    clock.advance(61)
    assert answers.get("secret") is None


def test_a_login_does_not_print_its_secret() -> None:
    assert "hunter2" not in repr(GitLogin("me", Secret("hunter2")))


def test_an_application_credential_is_told_by_its_id() -> None:
    assert GitLogin("0123456789abcdef0123456789abcdef", Secret("x")).is_credential
    assert not GitLogin("demo", Secret("x")).is_credential
