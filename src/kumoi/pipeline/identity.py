"""Authentication of the pipeline's callers at the cloud's identity service, and delegation.

The pipeline has no rights of its own. A pusher's password or application credential is checked by
logging in with it, scoped to the project of the URL. The first push makes an application credential
with which the pipeline works for that repository. Called by the API.

Who a token is for is kept for half a second, so that a revoked one is soon refused. The token of a login
is kept for longer, and asked about each time: a password is costly to check, and a token is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from kumoi.base.clock import Clock
from kumoi.base.errors import Forbidden, RateLimited, Transient, Unauthenticated
from kumoi.base.ids import is_uuid
from kumoi.base.secret import Secret
from kumoi.config import CloudSettings, HostSettings
from kumoi.pipeline.cloud_errors import cloud_errors
from kumoi.pipeline.openstack_cloud import OpenStack
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.own_credential import OwnCredential
from kumoi.policy import caller

if TYPE_CHECKING:
    from keystoneauth1.session import Session

CALLER_TTL_S = 0.5
LOGIN_TTL_S = 60.0
KEPT_MAX = 1_000
OPEN_MAX = 64
REACHED = {
    "compute": ("GET", "POST", "PUT", "DELETE"),
    "network": ("GET", "POST", "PUT", "DELETE"),
    "load-balancer": ("GET", "POST", "PUT", "DELETE"),
    "image": ("GET",),
}
"""What an environment is made of, by the services' types."""
TIMEOUT_S = 30
NEWEST = {"Cache-Control": "no-cache"}
"""What is read is acted by: a cloud that has only what may be old is to say so."""
WAIT, WAIT_S = "too many failed logins: wait a minute and try again", 60.0
SILENT = "the identity service did not answer"
LIMITED = "this application credential has access rules, which let it make other requests only"
DELEGATED_ROLES = ("member", "admin")  # The first of them that the pusher has.
DEFAULT_DOMAIN, BY_ID = "Default", "id:"
SYSTEM_CA = "system"
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ProjectCaller(caller.PolicySubject):
    """The authenticated user, in the one project that the token or the login is for."""

    project_id: str
    project_name: str


@dataclass(frozen=True, slots=True)
class GitLogin:
    """What a git client sends: a user's name and password, or an application credential."""

    name: str
    secret: Secret

    @property
    def is_credential(self) -> bool:
        return is_uuid(self.name)


class Identity:
    """One cloud's identity service, at `<url>/v3`."""

    def __init__(
        self,
        url: str,
        ca: Path | None,
        clock: Clock,
        *,
        user_domain: str = DEFAULT_DOMAIN,
        project_domain: str = DEFAULT_DOMAIN,
    ) -> None:
        """Without `ca` the machine's own authorities count. A domain is its name, or "id:" and its id."""
        self._url = f"{url}/v3"
        self._verify: str | bool = True if ca is None else str(ca)
        self._user_domain, self._project_domain = user_domain, project_domain
        self._callers = _Kept[ProjectCaller](clock, CALLER_TTL_S)
        self._tokens = _Kept[str](clock, LOGIN_TTL_S)

    @classmethod
    def of(cls, cloud: CloudSettings, host: HostSettings, clock: Clock) -> Identity:
        """Of the cloud that the pipeline builds in."""
        own = host.pki_dir / "ca.crt"
        found = {"": own, SYSTEM_CA: None}.get(cloud.identity_ca, Path(cloud.identity_ca))
        return cls(
            cloud.keystone_url,
            found,
            clock,
            user_domain=cloud.identity_user_domain,
            project_domain=cloud.identity_project_domain,
        )

    def login(self, login: GitLogin, project: str, source: str) -> ProjectCaller:
        """Raises Unauthenticated, Forbidden (no role there, or access rules, none of which can name git),
        or RateLimited: the identity service counts failed logins, of git's callers by their own addresses.
        """
        key = f"{login.name}\0{login.secret.reveal()}\0{project}"
        kept = self._tokens.get(key)
        if kept is not None:
            with contextlib.suppress(Unauthenticated):  # Revoked: the login may still be right.
                return self.validate(kept)
        caller, token = self._log_in_to_project(login, project, source)
        self._tokens.put(key, token)
        return caller

    def validate(self, token: str) -> ProjectCaller:
        """The token's caller. Raises Unauthenticated, Forbidden when it names no project, or Transient."""
        kept = self._callers.get(token)
        if kept is not None:
            return kept
        if not (token.isascii() and token.isprintable()):  # No token is, and no header can have it.
            raise Unauthenticated("the token is not valid")
        answer = self._ask_about(token)
        if answer.status_code != 200:  # noqa: PLR2004 - OK
            raise Unauthenticated("the token is not valid")
        body = answer.json()["token"]
        if "project" not in body:
            raise Forbidden("the token is not for a project")
        caller = ProjectCaller(
            body["user"]["id"],
            body["project"]["id"],
            frozenset(role["name"] for role in body.get("roles", [])),
            body["project"]["name"],
            token_id=next(iter(body.get("audit_ids", ())), ""),
        )
        self._callers.put(token, caller)
        return caller

    def _ask_about(self, token: str) -> Any:
        """The identity service's answer. Raises Transient."""
        from keystoneauth1 import exceptions  # noqa: PLC0415 - see cloud_errors.py

        try:
            answer = self._session(None).get(
                f"{self._url}/auth/tokens",
                headers={"X-Auth-Token": token, "X-Subject-Token": token},
                raise_exc=False,
                authenticated=False,
            )
        except exceptions.ClientException as cause:
            raise Transient(SILENT) from cause
        if answer.status_code >= 500:  # noqa: PLR2004 - it cannot say
            raise Transient("ask the identity service whose token it is")
        return answer

    def delegate(self, login: GitLogin, caller: ProjectCaller, new: OwnCredential) -> str:
        """Make an application credential for the environments of one push, as the pusher and with the
        pusher's rights there; its id. It reaches what an environment is made of, and can end itself.
        """
        session = self._session(self._password(login, caller.project_name))
        where, body = self._new_credential(caller, new, "Made by a git push")
        with cloud_errors("make an application credential"):
            answer = session.post(where, json=body)
        return _id(answer)

    def delegate_by_token(self, token: str, caller: ProjectCaller, new: OwnCredential) -> str:
        """As `delegate`, for what a git host will tell of, by the token of whoever registers it. Raises
        Permanent where the token is of an application credential, which may make no other.
        """
        where, body = self._new_credential(caller, new, "Made for a webhook")
        with cloud_errors("make an application credential"):
            answer = self._session(None).post(
                where, json=body, headers={"X-Auth-Token": token}, authenticated=False
            )
        return _id(answer)

    def _new_credential(
        self, caller: ProjectCaller, new: OwnCredential, made_by: str
    ) -> tuple[str, dict[str, Any]]:
        """Where to post what."""
        where = self._credentials_of(new.user_id)
        role = min(caller.roles.intersection(DELEGATED_ROLES), key=DELEGATED_ROLES.index)
        own = f"/v3/users/{new.user_id}/application_credentials/*"
        whole = f"{urlsplit(where).path}/*"  # As Keystone sees it where it is below another path.
        rules = [
            {"service": service, "method": method, "path": "/**"}
            for service, methods in REACHED.items()
            for method in methods
        ]
        body = {
            "name": new.name,
            "secret": new.secret.reveal(),
            "roles": [{"name": role}],
            "description": f"{made_by}, for its environments",
            "unrestricted": True,  # To end itself; its rules let it do nothing else to credentials.
            "access_rules": [
                *rules,
                *(
                    {"service": "identity", "method": "DELETE", "path": path}
                    for path in sorted({own, whole})
                ),
            ],
        }
        return where, {"application_credential": body}

    def end(self, delegation: Delegation) -> None:
        """Remove a credential that `delegate` made. Nothing where the cloud has removed it already."""
        self._end(self._credential(delegation.credential_id, delegation.secret))

    def end_named(self, found: OwnCredential) -> None:
        """As `end`, where the answer with the id may not have been heard."""
        from keystoneauth1.identity import v3  # noqa: PLC0415 - see cloud_errors.py

        self._end(
            v3.ApplicationCredential(
                self._url,
                application_credential_name=found.name,
                application_credential_secret=found.secret.reveal(),
                user_id=found.user_id,
            )
        )

    def _end(self, auth: Any) -> None:
        """The credential that this is the login of, by itself."""
        from keystoneauth1 import exceptions  # noqa: PLC0415 - see cloud_errors.py

        with cloud_errors("remove an application credential"):
            session = self._session(auth)
            with contextlib.suppress(exceptions.Unauthorized, exceptions.NotFound):
                access = auth.get_access(session)
                of_user = self._credentials_of(access.user_id)
                session.delete(f"{of_user}/{access.application_credential_id}")

    def _credentials_of(self, user_id: str) -> str:
        return f"{self._url}/users/{user_id}/application_credentials"

    def is_valid(self, delegation: Delegation) -> bool:
        """Whether the cloud still accepts the credential."""
        try:
            self._log_in(self._credential(delegation.credential_id, delegation.secret))
        except Unauthenticated:
            return False
        return True

    def cloud(self, delegation: Delegation, region: str) -> OpenStack:
        """The cloud, logged in with the delegated credential."""
        from openstack.connection import Connection  # noqa: PLC0415 - see cloud_errors.py

        session = self._session(self._credential(delegation.credential_id, delegation.secret))
        with cloud_errors("log in"):
            session.get_token()
            return OpenStack(Connection(session=session, region_name=region), region)

    def _log_in_to_project(
        self, login: GitLogin, project: str, source: str
    ) -> tuple[ProjectCaller, str]:
        if login.is_credential:
            access = self._log_in(self._credential(login.name, login.secret), source)
            if access.application_credential_access_rules is not None:
                raise Forbidden(LIMITED)
        else:
            try:
                access = self._log_in(self._password(login, project), source)
            except Unauthenticated:
                self._log_in(
                    self._password(login, None), source
                )  # Raises if the password is wrong.
                raise Forbidden(f"{login.name} has no role in project {project}") from None
        caller = ProjectCaller(
            access.user_id or "",
            access.project_id or "",
            frozenset(access.role_names or ()),
            access.project_name or "",
            token_id=access.audit_id or "",
        )
        if project not in (caller.project_name, caller.project_id):
            raise Forbidden(f"this credential is for another project than {project}")
        return caller, access.auth_token

    def _log_in(self, auth: Any, source: str = "") -> Any:
        """What keystoneauth has of the new token. Raises Unauthenticated, RateLimited or Transient."""
        from keystoneauth1 import exceptions  # noqa: PLC0415 - see cloud_errors.py

        try:
            return auth.get_access(self._session(auth, source))
        except (exceptions.Unauthorized, exceptions.BadRequest) as cause:
            # A name or secret that no user could have is as wrong as another's.
            raise Unauthenticated("the name or the secret is wrong") from cause
        except exceptions.TooManyRequests as cause:
            raise RateLimited(WAIT, retry_after_s=WAIT_S) from cause
        except exceptions.ClientException as cause:
            raise Transient(SILENT) from cause

    def _password(self, login: GitLogin, project: str | None) -> Any:
        from keystoneauth1.identity import v3  # noqa: PLC0415 - see cloud_errors.py

        scope = {}
        if project:
            scope = {"project_name": project, **_domain("project", self._project_domain)}
        return v3.Password(
            self._url,
            username=login.name,
            password=login.secret.reveal(),
            **_domain("user", self._user_domain),
            **scope,
        )

    def _credential(self, id: str, secret: Secret) -> Any:
        from keystoneauth1.identity import v3  # noqa: PLC0415 - see cloud_errors.py

        return v3.ApplicationCredential(
            self._url,
            application_credential_id=id,
            application_credential_secret=secret.reveal(),
        )

    def _session(self, auth: Any, source: str = "") -> Session:
        from keystoneauth1.session import Session  # noqa: PLC0415 - see cloud_errors.py

        return Session(
            auth=auth,
            verify=self._verify,
            timeout=TIMEOUT_S,
            original_ip=source or None,
            additional_headers=dict(NEWEST),
        )


def _domain(of: str, said: str) -> dict[str, str]:
    """As keystoneauth is told it."""
    if said.startswith(BY_ID):
        return {f"{of}_domain_id": said.removeprefix(BY_ID)}
    return {f"{of}_domain_name": said}


def _id(answer: Any) -> str:
    """Of the credential that the identity service made."""
    return str(answer.json()["application_credential"]["id"])


class _Kept(Generic[Value]):
    """What a secret stands for, by a keyed hash of it, for a while."""

    def __init__(self, clock: Clock, ttl_s: float) -> None:
        self._clock = clock
        self._ttl_s = ttl_s
        self._key = secrets.token_bytes(32)
        self._values: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, secret: str) -> Value | None:
        with self._lock:
            kept = self._values.get(self._hash(secret))
        return kept[1] if kept is not None and kept[0] > self._clock.monotonic() else None

    def put(self, secret: str, value: Value) -> None:
        with self._lock:
            self._values[self._hash(secret)] = (self._clock.monotonic() + self._ttl_s, value)
            while len(self._values) > KEPT_MAX:
                self._values.popitem(last=False)

    def _hash(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), hashlib.sha256)


class Clouds:
    """A session with the cloud per credential, the ones used last."""

    def __init__(self, connect: Callable[[Delegation], OpenStack]) -> None:
        self._connect = connect
        self._open: OrderedDict[str, OpenStack] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, delegation: Delegation) -> OpenStack:
        with self._lock:
            cloud = self._open.get(delegation.credential_id)
        if cloud is None:
            cloud = self._connect(delegation)
        with self._lock:
            self._open[delegation.credential_id] = cloud
            self._open.move_to_end(delegation.credential_id)
            while len(self._open) > OPEN_MAX:
                self._open.popitem(last=False)
        return cloud
