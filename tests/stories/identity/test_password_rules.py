"""Rules about passwords that an operator has switched on, told over the same store by an API with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from kumoi.base.clock import SetClock
from kumoi.base.ids import new_hex_id
from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.domain.identity.login import Logins
from tests.asgi_client import AsgiClient
from tests.running_cloud import ADMIN_PASSWORD

if TYPE_CHECKING:
    from tests.running_cloud import RunningCloud

DAY_S = 86_400
FIRST = "first secret"


@dataclass
class Strict:
    """The cloud's APIs with other settings, and a clock that stands."""

    api: AsgiClient
    clock: SetClock
    user: dict[str, Any] = field(default_factory=dict)

    def log_in(self, password: str, user: dict[str, Any] | None = None) -> httpx.Response:
        named = {**(user or {"id": self.user["id"]}), "password": password}
        identity = {"methods": ["password"], "password": {"user": named}}
        return self.api.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity}})

    def admin(self, method: str, path: str, **body: Any) -> httpx.Response:
        admin = {"name": "admin", "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        identity = {
            "methods": ["password"],
            "password": {"user": {**admin, "password": ADMIN_PASSWORD}},
        }
        login = {"auth": {"identity": identity, "scope": scope}}
        token = self.api.post("/identity/v3/auth/tokens", json=login).headers["X-Subject-Token"]
        headers = {"X-Auth-Token": token}
        return self.api.request(method, f"/identity/v3{path}", headers=headers, json=body)

    def make_user(self, password: str = FIRST, **given: Any) -> httpx.Response:
        body = {"name": f"u-{new_hex_id()[:8]}", "domain_id": "default", "password": password}
        answer = self.admin("POST", "/users", user={**body, **given})
        self.user = answer.json().get("user", {})
        return answer

    def set_user(self, **values: Any) -> dict[str, Any]:
        answer = self.admin("PATCH", f"/users/{self.user['id']}", user=values)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()["user"]
        return shown

    def change(self, old: str, new: str) -> int:
        """Without a token."""
        path = f"/identity/v3/users/{self.user['id']}/password"
        body = {"user": {"original_password": old, "password": new}}
        return self.api.post(path, json=body).status_code


@pytest.fixture
def strict(cloud: RunningCloud) -> Iterator[Callable[..., Strict]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Strict:
            changed = replace(cloud.config, **settings)
            clock = SetClock(at=cloud.services.clock.now())
            services = replace(
                cloud.services, cloud=changed, clock=clock, logins=Logins(clock, 1_000)
            )
            return Strict(stack.enter_context(AsgiClient(api_serve.app(services))), clock)

        yield make


def test_wrong_passwords_lock_an_account_for_a_time(strict: Callable[..., Strict]) -> None:
    asked = strict(lockout_failure_attempts=3, lockout_duration_s=60)
    asked.make_user()
    assert [asked.log_in("wrong").status_code for _ in range(2)] == [401, 401]
    assert asked.log_in(FIRST).status_code == 201
    wrong = [asked.log_in("wrong") for _ in range(3)]
    locked = asked.log_in(FIRST)
    assert locked.status_code == 401
    assert locked.json()["error"]["message"] == wrong[0].json()["error"]["message"]
    asked.clock.advance(61)
    assert asked.log_in("wrong").status_code == 401
    assert asked.log_in(FIRST).status_code == 201


def test_who_is_locked_for_good_gets_in_when_enabled_again(strict: Callable[..., Strict]) -> None:
    asked = strict(lockout_failure_attempts=1, lockout_duration_s=0)
    asked.make_user()
    asked.log_in("wrong")
    asked.clock.advance(90 * DAY_S)
    assert asked.log_in(FIRST).status_code == 401
    asked.set_user(enabled=True)
    assert asked.log_in(FIRST).status_code == 201
    asked.set_user(options={"ignore_lockout_failure_attempts": True})
    asked.log_in("wrong")
    assert asked.log_in(FIRST).status_code == 201


def test_a_password_expires_and_is_changed_without_a_token(strict: Callable[..., Strict]) -> None:
    asked = strict(password_expires_days=7)
    until = asked.make_user().json()["user"]["password_expires_at"]
    assert asked.log_in(FIRST).json()["token"]["user"]["password_expires_at"] == until
    asked.clock.advance(7 * DAY_S)
    expired = asked.log_in(FIRST)
    assert expired.status_code == 401
    assert "The password is expired and needs to be changed" in expired.json()["error"]["message"]
    assert "expired" not in asked.log_in("wrong").json()["error"]["message"]
    assert asked.change("wrong", "second secret") == 401
    assert asked.change(FIRST, "second secret") == 204
    assert asked.log_in("second secret").status_code == 201
    asked.clock.advance(7 * DAY_S)
    assert asked.set_user(options={"ignore_password_expiry": True})["password_expires_at"] is None
    assert asked.log_in("second secret").status_code == 201


def test_a_password_that_another_has_set_is_changed_first(strict: Callable[..., Strict]) -> None:
    asked = strict(change_password_upon_first_use=True)
    asked.make_user()
    assert asked.log_in(FIRST).status_code == 401
    assert asked.change(FIRST, "own secret") == 204
    assert asked.log_in("own secret").status_code == 201
    asked.set_user(password="reset")
    assert asked.log_in("reset").status_code == 401
    asked.set_user(options={"ignore_change_password_upon_first_use": True}, password="again")
    assert asked.log_in("again").status_code == 201


def test_the_last_passwords_are_not_used_again(strict: Callable[..., Strict]) -> None:
    asked = strict(unique_last_password_count=3)
    asked.make_user("one")
    assert asked.change("one", "one") == 400
    assert asked.change("one", "two") == 204
    asked.clock.advance(1)
    assert asked.change("two", "one") == 400
    assert asked.change("two", "three") == 204
    assert asked.change("three", "one") == 204


def test_a_user_keeps_a_new_password_for_a_while(strict: Callable[..., Strict]) -> None:
    asked = strict(minimum_password_age_days=2)
    asked.make_user()
    assert asked.change(FIRST, "second") == 204
    assert asked.change("second", "third") == 400
    asked.set_user(password="reset")
    assert asked.change("reset", "third") == 204
    asked.clock.advance(2 * DAY_S)
    assert asked.change("third", "fourth") == 204


def test_a_password_is_as_the_operator_asks(strict: Callable[..., Strict]) -> None:
    told = "seven letters and digits, at least one of each"
    asked = strict(password_regex=r"^(?=.*\d)(?=.*[a-zA-Z]).{7,}$", password_regex_description=told)
    refused = asked.make_user("letters")
    assert refused.status_code == 400
    assert told in refused.json()["error"]["message"]
    assert "letters" not in refused.json()["error"]["message"].replace(told, "")
    assert asked.make_user("letters1").status_code == 201
    assert asked.change("letters1", "short1") == 400
    path = f"/users/{asked.user['id']}"
    assert asked.admin("PATCH", path, user={"password": "letters"}).status_code == 400
    shown = asked.admin("GET", "/domains/default/config/security_compliance").json()["config"]
    assert shown["security_compliance"]["password_regex_description"] == told
    option = "/domains/default/config/security_compliance/password_regex"
    assert set(asked.admin("GET", option).json()["config"]) == {"password_regex"}
    other = "/domains/default/config/security_compliance/lockout_duration"
    assert asked.admin("GET", other).status_code == 403


def test_who_stays_away_is_disabled(strict: Callable[..., Strict]) -> None:
    asked = strict(disable_user_account_days_inactive=30)
    asked.make_user()
    path = f"/users/{asked.user['id']}"
    for _ in range(2):
        asked.clock.advance(29 * DAY_S)
        assert asked.log_in(FIRST).status_code == 201
        assert asked.admin("GET", path).json()["user"]["enabled"] is True
    asked.clock.advance(15 * DAY_S)
    asked.admin("GET", path)  # The administrator does not stay away.
    asked.clock.advance(15 * DAY_S)
    assert asked.log_in(FIRST).status_code == 401
    assert asked.admin("GET", path).json()["user"]["enabled"] is False
    asked.set_user(enabled=True)
    assert asked.log_in(FIRST).status_code == 201
    asked.set_user(options={"ignore_user_inactivity": True})
    asked.clock.advance(300 * DAY_S)
    assert asked.log_in(FIRST).status_code == 201


def test_none_of_it_binds_anybody_by_default(strict: Callable[..., Strict]) -> None:
    asked = strict()
    assert asked.make_user("x").json()["user"]["password_expires_at"] is None
    for _ in range(12):
        asked.log_in("wrong")
    asked.clock.advance(1_000 * DAY_S)
    assert asked.log_in("x").status_code == 201
    assert [asked.change("x", "x"), asked.change("x", "x")] == [204, 204]
