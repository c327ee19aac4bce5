"""Roles decide in one place; every row of the table is asked by somebody; every route obeys its row.

The last is asked of the real applications: each route is called as everybody.
"""

from __future__ import annotations

import ast
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kumoi.base.errors import Forbidden, Unauthenticated
from kumoi.cloud.api import serve as api_serve
from kumoi.cloud.api.host.routes import SERVICE as HOST
from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.domain.identity.token import Claims, Scope
from kumoi.engine import audit
from kumoi.engine.audit import Recorder
from kumoi.engine.http.app import App
from kumoi.engine.http.routing import KNOWN, OPEN, TOKEN, Route
from kumoi.engine.http.running import READING
from kumoi.engine.http.service import Service
from kumoi.pipeline.api.request import Pipeline
from kumoi.pipeline.api.routes import SERVICES as PIPELINE_SERVICES
from kumoi.pipeline.credentials import Credentials
from kumoi.pipeline.identity import Identity, ProjectCaller
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.repository_client import RepositoriesClient
from kumoi.pipeline.store.tables import metadata as pipeline_metadata
from kumoi.policy.caller import PolicySubject
from kumoi.policy.table import TABLE
from tests.asgi_client import AsgiClient
from tests.running_cloud import RunningCloud, running_cloud

ROOT = Path(__file__).parents[2]
COMPOSED = (  # Of an action and an attribute that somebody named.
    "create_network:",
    "update_network:",
    "create_port:",
    "update_port:",
    "create_router:",
    "update_router:",
    "create_subnetpool:",
    "update_subnetpool:",
)
PROJECT, USER = "projecta", "usera"
OWN_PROJECTS = ("/quotas/", "/os-quota-sets/", "/os-simple-tenant-usage/")
REFUSED = (401, 403)
DOMAIN, SYSTEM = "domaina", "system"  # What a role is on, where it is on no project.
ROLES = {
    "admin": ("admin", PROJECT),
    "manager": ("manager", PROJECT),
    "member": ("member", PROJECT),
    "reader": ("reader", PROJECT),
    "member of another project": ("member", "projectb"),
    "no role": ("", PROJECT),
    "admin of the system": ("admin", SYSTEM),
    "reader of the system": ("reader", SYSTEM),
    "admin of a domain": ("admin", DOMAIN),
    "manager of a domain": ("manager", DOMAIN),
    "reader of a domain": ("reader", DOMAIN),
}


def sources() -> Iterator[Path]:
    for path in sorted((ROOT / "src" / "kumoi").rglob("*.py")):
        if "policy" not in path.parts:
            yield path


def test_roles_decide_in_the_table_only() -> None:
    """Whoever looks into a caller's roles elsewhere decides beside the table."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr == "is_admin")
        or (isinstance(node, ast.Name) and node.id == "is_admin")
        or (isinstance(node, ast.Compare) and _asks_roles(node))
    ]
    assert found == []


def _asks_roles(node: ast.Compare) -> bool:
    asked = [ast.unparse(comparator) for comparator in node.comparators]
    return isinstance(node.ops[0], ast.In | ast.NotIn) and any(
        text.endswith("caller.roles") for text in asked
    )


def test_every_row_is_asked_by_somebody() -> None:
    routed = {route.policy for service in (*services(), HOST) for route in service.routes}
    text = "\n".join(path.read_text() for path in sources())
    unused = [
        name
        for name in TABLE
        if name not in routed and f'"{name}"' not in text and not name.startswith(COMPOSED)
    ]
    assert unused == []


def services() -> tuple[Service, ...]:
    return (*SERVICES, *PIPELINE_SERVICES)


def subject_of(who: str) -> PolicySubject:
    role, on = ROLES[who]
    return PolicySubject(
        USER,
        None if on in (DOMAIN, SYSTEM) else on,
        frozenset({role} if role else ()),
        domain_id=DOMAIN if on == DOMAIN else None,
        is_system=on == SYSTEM,
    )


@dataclass
class KnownTokens(Identity):
    """Knows who has which token, as the cloud's identity service would say it."""

    callers: dict[str, ProjectCaller | None]

    def validate(self, token: str) -> ProjectCaller:
        if token not in self.callers:
            raise Unauthenticated("the token is not valid")
        caller = self.callers[token]
        if caller is None:
            raise Forbidden("the token is not for a project")
        return caller


@dataclass
class Everybody:
    """Calls the real applications, as whoever is named."""

    cloud: RunningCloud
    openstack: AsgiClient
    pipeline: AsgiClient
    known: KnownTokens

    def call(self, service: Service, route: Route, who: str | None) -> int:
        headers = {} if who is None else {"X-Auth-Token": self.token(who)}
        if "/auth/tokens" in route.path and who is not None:
            headers["X-Subject-Token"] = self.token(who)
        if route.since is not None or route.until is not None:
            version = route.since or route.until or (0, 0)
            headers["OpenStack-API-Version"] = f"{service.type} {version[0]}.{version[1]}"
        app = self.pipeline if service in PIPELINE_SERVICES else self.openstack
        path = f"/{service.prefix}{_filled(route.path)}"
        return app.request(route.method, path, headers=headers).status_code

    def records(self) -> int:
        with self.cloud.database.read() as connection:
            return audit.newest(connection)

    def token(self, who: str) -> str:
        """A fresh one, since some are revoked on the way."""
        role, on = ROLES[who]
        subject = subject_of(who)
        now = int(self.cloud.services.clock.now().timestamp())
        claims = Claims(
            user_id=USER,
            user_name="somebody",
            user_domain_id="default",
            user_domain_name="Default",
            methods=["password"],
            audit_ids=[uuid.uuid4().hex],
            iat=now,
            exp=now + 600,
            issued_at_us=0,
            user_generation=0,
            project=Scope(id=on, name=on, domain_id="default", domain_name="Default")
            if subject.project_id
            else None,
            domain_id=subject.domain_id,
            system=subject.is_system,
            roles=[(role, role)] if role else [],
        )
        token = self.cloud.services.tokens.sign(claims)
        known = ProjectCaller(USER, on, subject.roles, on) if subject.project_id else None
        self.known.callers[token] = known
        return token


def _filled(path: str) -> str:
    """With an id of nothing, but for what belongs to the caller itself."""
    own = USER if "/users/{id}" in path else PROJECT
    if "/users/{id}" in path or any(word in f"{path}/" for word in OWN_PROJECTS):
        path = path.replace("{id}", own, 1)
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + str(uuid.uuid4()) + rest.partition("}")[2]
    return path


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everybody]:
    folder = tmp_path_factory.mktemp("roles")
    with running_cloud(folder, f"sqlite:///{folder / 'cloud.db'}") as cloud:
        pipeline_metadata.create_all(cloud.database.engine, checkfirst=True)
        known = KnownTokens({})
        pipeline = Pipeline(
            cloud.services.cloud,
            RepositoriesClient(cloud.here),
            cloud.database,
            cloud.services.clock,
            known,
            Credentials(cloud.database, known),
            alarm=None,  # type: ignore[arg-type] # Of pushes, which nobody makes here.
            heads=None,  # type: ignore[arg-type] # Likewise.
            copies=PushCopies(cloud.database, RepositoriesClient(cloud.here), cloud.here.name),
        )
        recorder = Recorder(cloud.database, cloud.services.clock)
        app = App(
            pipeline,
            PIPELINE_SERVICES,
            root="https://pipeline",
            body_max_bytes=1_000,
            recorder=recorder,
        )
        with AsgiClient(api_serve.app(cloud.services)) as openstack, AsgiClient(app) as asked:
            yield Everybody(cloud, openstack, asked, known)


@pytest.mark.parametrize("who", [*ROLES, None], ids=lambda who: who or "nobody")
def test_every_route_lets_in_whom_its_row_does(everybody: Everybody, who: str | None) -> None:
    wrong = [
        f"{route.method} /{service.prefix}{route.path}: {status}"
        for service in services()
        for route in service.routes
        if route.scheme == TOKEN and route.policy != OPEN
        for status in [everybody.call(service, route, who)]
        if not _is_as_the_row_says(route, who, status)
    ]
    assert wrong == [], "\n".join(wrong)


def test_every_route_that_changes_leaves_one_record(
    everybody: Everybody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes of it, and whoever asks."""
    monkeypatch.setattr(audit, "FAILURES_PER_MINUTE", 10_000)
    wrong = []
    for service in services():
        for route in service.routes:
            if route.scheme != TOKEN or route.method in READING or not route.audits:
                continue
            for who in ("admin", "reader", None):
                before = everybody.records()
                everybody.call(service, route, who)
                new = everybody.records() - before
                if new != 1:
                    wrong.append(f"{route.method} /{service.prefix}{route.path} {who}: {new}")
    assert wrong == []


def test_only_what_changes_nothing_of_anybodys_leaves_none() -> None:
    """Whoever adds one says here why: a login, the lines of a run's log, a runner's waiting for its
    next job, and what a git host tells, which is a row of its own and nobody's call.
    """
    silent = {
        f"{route.method} /{service.prefix}{route.path}"
        for service in services()
        for route in service.routes
        if not route.audits
    }
    logins = {"POST /identity/v3/auth/tokens", "POST /identity/v3/ec2tokens"}
    told = "POST /pipeline/v1/webhooks/{id}/deliver"
    assert silent == {*logins, told, "POST /runner/v1/log", "POST /runner/v1/next"}


def test_only_the_command_line_reads_the_audit() -> None:
    """No API shows it: whoever reads it has a shell on the machine."""
    reading = ("find", "newest", "events")
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in reading
        and ast.unparse(node.value) == "audit"
    }
    assert readers == {"src/kumoi/cli/audit.py"}
    tables = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if "kumoi.engine.schema import" in path.read_text() and "audit.c." in path.read_text()
    }
    assert tables == {"src/kumoi/engine/audit.py"}


def test_rows_of_the_host_api_allow_hosts_and_no_other_row_does() -> None:
    """tests/cluster calls its routes as hosts, and as others; this is what the table says of them."""
    host = PolicySubject("host1", None, frozenset(), is_host=True)
    users = [subject_of(who) for who in ROLES]
    for_hosts = {name for name, row in TABLE.items() if row.allows(host)}
    assert for_hosts == {route.policy for route in HOST.routes} - {
        OPEN
    }  # Who joins is no host yet.
    assert {route.scheme for route in HOST.routes} == set(HOST.schemes)
    assert not [name for name in for_hosts for user in users if TABLE[name].allows(user)]


def _is_as_the_row_says(route: Route, who: str | None, status: int) -> bool:
    if who is None:
        return status == 401
    if route.policy == KNOWN:
        return status not in REFUSED
    caller, row = subject_of(who), TABLE[route.policy]
    if not row.allows(caller):
        return status == 403
    if route.policy.startswith("identity:") and not row.covers(caller):
        return _is_own_or_refused(route, status)
    of_project = "{" in route.path and any(word in f"{route.path}/" for word in OWN_PROJECTS)
    owns = caller.project_id == PROJECT or not of_project
    return status not in REFUSED if owns else status == 403


def _is_own_or_refused(route: Route, status: int) -> bool:
    """What reaches the caller's own things only: another's are refused as Keystone does, whether they are
    there or not. A body is read before, and of the caller's own there are none.
    """
    if "{" not in route.path or "/users/{id}" in route.path:
        return status != 401
    if "OS-TRUST" in route.path:  # Of one that is not there, Keystone says so.
        return status in (403, 404)
    return status == 403 or (status == 400 and route.method in ("POST", "PUT", "PATCH"))
