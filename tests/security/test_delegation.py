"""Who was given a part of somebody's rights, by an application credential or a trust, makes no way of it to the
rest.
"""

from __future__ import annotations

import base64
import itertools
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from tests.security.in_process import ADMIN_PASSWORD, DEMO_PASSWORD, InProcessCloud

IDENTITY = "/identity/v3"
SEED = b"twenty bytes of seed"
BLOB = base64.b32encode(SEED).decode()
NAMES = itertools.count()


class Delegated:
    """A token with some of demo's rights, and what its bearer asks for."""

    def __init__(self, cloud: InProcessCloud, kind: str) -> None:
        self.cloud = cloud
        self.own, self.project_id = cloud.log_in("demo", DEMO_PASSWORD, "demo")
        shown = cloud.ask("GET", f"{IDENTITY}/auth/tokens", **self._about(self.own)).json()
        self.user_id = shown["token"]["user"]["id"]
        self.token = self._of_trust() if kind == "trust" else self._of_credential(kind)

    def ask(self, method: str, path: str, body: Any = None, *, own: bool = False) -> httpx.Response:
        token = self.own if own else self.token
        return self.cloud.ask(method, f"{IDENTITY}{path}", body, token=token)

    def keep(self, type: str, blob: str, *, own: bool = False) -> httpx.Response:
        kept = {"type": type, "blob": blob, "user_id": self.user_id, "project_id": self.project_id}
        return self.ask("POST", "/credentials", {"credential": kept}, own=own)

    def log_in_by_passcode(self) -> int:
        at = int(self.cloud.services.clock.now().timestamp())
        passcode = TOTP(SEED, 6, SHA1(), 30).generate(at).decode()
        user = {"id": self.user_id, "passcode": passcode}
        identity = {"methods": ["totp"], "totp": {"user": user}}
        return self._log_in({"identity": identity}).status_code

    def _of_credential(self, kind: str) -> str:
        new = {
            "name": f"c{next(NAMES)}",
            "roles": [{"name": "reader"}],
            "unrestricted": kind == "unrestricted",
        }
        path = f"/users/{self.user_id}/application_credentials"
        made = self.ask("POST", path, {"application_credential": new}, own=True)
        credential = made.json()["application_credential"]
        by = {"id": credential["id"], "secret": credential["secret"]}
        identity = {"methods": ["application_credential"], "application_credential": by}
        return str(self._log_in({"identity": identity}).headers["X-Subject-Token"])

    def _of_trust(self) -> str:
        admin, _ = self.cloud.log_in("admin", ADMIN_PASSWORD, "admin")
        trustee = self.cloud.ask("GET", f"{IDENTITY}/auth/tokens", **self._about(admin)).json()
        trust = {
            "trustor_user_id": self.user_id,
            "trustee_user_id": trustee["token"]["user"]["id"],
            "project_id": self.project_id,
            "impersonation": True,
            "roles": [{"name": "reader"}],
        }
        made = self.ask("POST", "/OS-TRUST/trusts", {"trust": trust}, own=True).json()["trust"]
        user = {"name": "admin", "password": ADMIN_PASSWORD, "domain": {"id": "default"}}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"OS-TRUST:trust": {"id": made["id"]}}
        answer = self._log_in({"identity": identity, "scope": scope})
        return str(answer.headers["X-Subject-Token"])

    def _log_in(self, auth: Any) -> httpx.Response:
        return self.cloud.client.request("POST", f"{IDENTITY}/auth/tokens", json={"auth": auth})

    def _about(self, token: str) -> dict[str, str]:
        return {"X-Subject-Token": token}


@pytest.fixture(params=["restricted", "unrestricted", "trust"])
def delegated(request: pytest.FixtureRequest, inside: InProcessCloud) -> Delegated:
    return Delegated(inside, request.param)


def test_a_delegation_plants_no_seed_by_which_its_bearer_would_be_the_user(
    delegated: Delegated,
) -> None:
    """With role reader in one project he would get a token with all roles in all of the user's."""
    assert delegated.keep("totp", BLOB).status_code == 403
    assert delegated.log_in_by_passcode() == 401


def test_nor_changes_the_users_own(delegated: Delegated) -> None:
    made = delegated.keep("totp", base64.b32encode(b"of the user himself.").decode(), own=True)
    path = f"/credentials/{made.json()['credential']['id']}"
    assert delegated.ask("PATCH", path, {"credential": {"blob": BLOB}}).status_code == 403
    assert delegated.log_in_by_passcode() == 401
    assert delegated.ask("DELETE", path).status_code == 403
    assert delegated.ask("GET", path, own=True).status_code == 200


def test_nor_reads_the_secrets_with_which_the_user_logs_in(delegated: Delegated) -> None:
    """A pair of keys for EC2's API signs with all the roles that the user has in the project."""
    pairs = f"/users/{delegated.user_id}/credentials/OS-EC2"
    made = delegated.ask("POST", pairs, {"tenant_id": delegated.project_id}, own=True)
    access = made.json()["credential"]["access"]
    seed = delegated.keep("totp", BLOB, own=True).json()["credential"]["id"]
    plain = delegated.keep("certificate", "words", own=True).json()["credential"]["id"]
    assert delegated.ask("GET", f"{pairs}/{access}").status_code == 403
    assert delegated.ask("GET", f"/credentials/{seed}").status_code == 403
    assert delegated.ask("DELETE", f"{pairs}/{access}").status_code == 403
    assert delegated.ask("GET", pairs).json()["credentials"] == []
    listed = delegated.ask("GET", "/credentials").json()["credentials"]
    assert [each["id"] for each in listed] == [plain]
