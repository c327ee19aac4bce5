"""What is kept of authenticated callers, and logins."""

from __future__ import annotations

from kumoi.base.clock import SetClock
from kumoi.base.secret import Secret
from kumoi.pipeline.identity import GitLogin, ProjectCaller, _Kept


def test_a_caller_is_kept_for_a_while_and_not_under_the_secret_itself() -> None:
    clock = SetClock()
    cache = _Kept[ProjectCaller](clock, 60.0)
    caller = ProjectCaller("u", "p", frozenset({"member"}), "demo")
    cache.put("secret", caller)
    assert cache.get("secret") == caller
    assert cache.get("other") is None
    assert "secret" not in repr(cache._values)
    clock.advance(61)
    assert cache.get("secret") is None


def test_a_login_does_not_print_its_secret() -> None:
    assert "hunter2" not in repr(GitLogin("me", Secret("hunter2")))


def test_an_application_credential_is_recognized_by_its_id() -> None:
    assert GitLogin("0123456789abcdef0123456789abcdef", Secret("x")).is_credential
    assert not GitLogin("demo", Secret("x")).is_credential
