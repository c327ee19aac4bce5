"""Who pushes and who asks, by asking the cloud's identity service; and what a pusher lets us do.

The pipeline has no rights of its own. A pusher's password or application credential is checked by
logging in with it, scoped to the project of the URL. At the first push it makes the pipeline an
application credential for that repository. Called by the API; nothing here is kept but answers,
for CACHE_TTL_S, under a keyed hash of the secret.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kumoi.base.clock import Clock
from kumoi.base.errors import Forbidden, Transient, Unauthenticated
from kumoi.base.ids import is_uuid
from kumoi.base.secret import Secret
from kumoi.engine.http.limits import Attempts
from kumoi.pipeline.cloud import OpenStack, asked
from kumoi.pipeline.store.repository import Delegation, Repository
from kumoi.policy import caller

if TYPE_CHECKING:
    from keystoneauth1.session import Session

CACHE_TTL_S = 60.0
CACHE_MAX = 1_000
TIMEOUT_S = 30
DELEGATED_ROLES = ("member", "admin")  # The first of them that the pusher has.
DEFAULT_DOMAIN = "Default"


@dataclass(frozen=True, slots=True)
class ProjectCaller(caller.PolicySubject):
    """In the one project that a token or a login is for."""

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

    def __init__(self, url: str, ca: Path, clock: Clock, *, attempts_per_minute: int) -> None:
        self._url = f"{url}/v3"
        self._ca = str(ca)
        self._clock = clock
        self._limit = Attempts(clock, attempts_per_minute)
        self._answers = _Answers(clock)

    def login(self, login: GitLogin, project: str, source: str) -> ProjectCaller:
        """Raises Unauthenticated, Forbidden (no role there), or RateLimited per source address."""
        key = f"{login.name}\0{login.secret.reveal()}\0{project}"
        known = self._answers.get(key)
        if known is not None:
            return known
        self._limit.allow(source)
        try:
            caller = self._scoped(login, project)
        except Unauthenticated:
            self._limit.failed(source)
            raise
        self._answers.keep(key, caller)
        return caller

    def validate(self, token: str) -> ProjectCaller:
        """Whose token it is. Raises Unauthenticated, or Forbidden when it names no project."""
        known = self._answers.get(token)
        if known is not None:
            return known
        answer = self._session(None).get(
            f"{self._url}/auth/tokens",
            headers={"X-Auth-Token": token, "X-Subject-Token": token},
            raise_exc=False,
            authenticated=False,
        )
        if answer.status_code != 200:  # noqa: PLR2004 - OK
            raise Unauthenticated("the token is not valid")
        body = answer.json()["token"]
        if "project" not in body:
            raise Forbidden("the token is not for a project")
        found = ProjectCaller(
            body["user"]["id"],
            body["project"]["id"],
            frozenset(role["name"] for role in body.get("roles", [])),
            body["project"]["name"],
            token_id=next(iter(body.get("audit_ids", ())), ""),
        )
        self._answers.keep(token, found)
        return found

    def delegate(self, login: GitLogin, caller: ProjectCaller, repository: str) -> Delegation:
        """Let the pusher give the pipeline a credential for this repository. One of that name is
        replaced. An application credential cannot make another: then it is itself what is given.
        """
        if login.is_credential:
            return Delegation(login.name, login.secret)
        name = f"kumoi-pipeline-{repository}-{caller.project_id[:8]}"
        where = f"{self._url}/users/{caller.user_id}/application_credentials"
        wanted = min(caller.roles.intersection(DELEGATED_ROLES), key=DELEGATED_ROLES.index)
        body = {"name": name, "roles": [{"name": wanted}], "description": "Made by a git push"}
        with asked("make an application credential"):
            session = self._session(self._password(login, caller.project_name))
            listed = session.get(where, params={"name": name}).json()["application_credentials"]
            for found in listed:
                if found["name"] == name:
                    session.delete(f"{where}/{found['id']}")
            made = session.post(where, json={"application_credential": body})
        given = made.json()["application_credential"]
        return Delegation(given["id"], Secret(given["secret"]))

    def works(self, given: Delegation) -> bool:
        """Whether the cloud still takes it."""
        try:
            self._access(self._credential(given.credential_id, given.secret))
        except Unauthenticated:
            return False
        return True

    def cloud(self, given: Delegation, region: str) -> OpenStack:
        """The cloud, as what was delegated."""
        from openstack.connection import Connection  # noqa: PLC0415 - see cloud.asked

        session = self._session(self._credential(given.credential_id, given.secret))
        with asked("log in"):
            session.get_token()
            return OpenStack(Connection(session=session, region_name=region))

    def _scoped(self, login: GitLogin, project: str) -> ProjectCaller:
        if login.is_credential:
            caller = self._access(self._credential(login.name, login.secret))
        else:
            try:
                caller = self._access(self._password(login, project))
            except Unauthenticated:
                self._access(self._password(login, None))  # Raises if the password is wrong.
                raise Forbidden(f"{login.name} has no role in project {project}") from None
        if project not in (caller.project_name, caller.project_id):
            raise Forbidden(f"this credential is for another project than {project}")
        return caller

    def _access(self, auth: Any) -> ProjectCaller:
        """Log in. Raises Unauthenticated or Transient."""
        from keystoneauth1 import exceptions  # noqa: PLC0415 - see cloud.asked

        try:
            access = auth.get_access(self._session(auth))
        except exceptions.Unauthorized as cause:
            raise Unauthenticated("the name or the secret is wrong") from cause
        except exceptions.ClientException as cause:
            raise Transient("the identity service did not answer") from cause
        return ProjectCaller(
            access.user_id or "",
            access.project_id or "",
            frozenset(access.role_names or ()),
            access.project_name or "",
            token_id=access.audit_id or "",
        )

    def _password(self, login: GitLogin, project: str | None) -> Any:
        from keystoneauth1.identity import v3  # noqa: PLC0415 - see cloud.asked

        scope = {"project_name": project, "project_domain_name": DEFAULT_DOMAIN} if project else {}
        return v3.Password(
            self._url,
            username=login.name,
            password=login.secret.reveal(),
            user_domain_name=DEFAULT_DOMAIN,
            **scope,
        )

    def _credential(self, id: str, secret: Secret) -> Any:
        from keystoneauth1.identity import v3  # noqa: PLC0415 - see cloud.asked

        return v3.ApplicationCredential(
            self._url,
            application_credential_id=id,
            application_credential_secret=secret.reveal(),
        )

    def _session(self, auth: Any) -> Session:
        from keystoneauth1.session import Session  # noqa: PLC0415 - see cloud.asked

        return Session(auth=auth, verify=self._ca, timeout=TIMEOUT_S)


class _Answers:
    """Callers by a keyed hash of what they proved themselves with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, tuple[float, ProjectCaller]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, proof: str) -> ProjectCaller | None:
        with self._lock:
            until_s, caller = self._kept.get(self._hash(proof), (0.0, None))
        return caller if until_s > self._clock.monotonic() else None

    def keep(self, proof: str, caller: ProjectCaller) -> None:
        with self._lock:
            self._kept[self._hash(proof)] = (self._clock.monotonic() + CACHE_TTL_S, caller)
            while len(self._kept) > CACHE_MAX:
                self._kept.popitem(last=False)

    def _hash(self, proof: str) -> bytes:
        return hmac.digest(self._key, proof.encode(), hashlib.sha256)


class Clouds:
    """The cloud as each repository's delegation lets us see it; sessions are kept while alike."""

    def __init__(self, connect: Callable[[Delegation], OpenStack]) -> None:
        self._connect = connect
        self._open: dict[str, tuple[Delegation, OpenStack]] = {}
        self._lock = threading.Lock()

    def of(self, repository: Repository, given: Delegation) -> OpenStack:
        with self._lock:
            known, cloud = self._open.get(repository.id, (None, None))
        if cloud is not None and known == given:
            return cloud
        cloud = self._connect(given)
        with self._lock:
            self._open[repository.id] = (given, cloud)
        return cloud
