"""Keys for EC2's API: pairs of keys of a user, and tokens for who has signed with one."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound, Unauthenticated
from kumoi.cloud.api.identity import rendering, token
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import credential as domain
from kumoi.cloud.domain.identity import ec2_login, project
from kumoi.cloud.domain.identity.credential import EC2
from kumoi.cloud.domain.identity.ec2_signature import SignedRequest
from kumoi.cloud.store.identity import credential as store
from kumoi.cloud.store.identity.credential import Credential
from kumoi.cloud.store.listing import Listing
from kumoi.engine import audit
from kumoi.engine.http.bounds import Object, Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset


class Ec2CredentialNew(Body):
    tenant_id: rendering.Key


class Signed(Body):
    access: Text
    signature: Text
    host: Text = ""
    verb: Text = "GET"
    path: rendering.Text = "/"
    params: Object[rendering.Text] = {}  # noqa: RUF012 - msgspec copies it.
    headers: Object[rendering.Text] = {}  # noqa: RUF012
    body_hash: Text = ""


class Ec2Login(Body):
    """By any of the names that Keystone takes it under."""

    credentials: Signed | Unset = UNSET
    credential: Signed | Unset = UNSET
    ec2Credentials: Signed | Unset = UNSET  # noqa: N815 - Keystone's word.
    auth: Any | Unset = UNSET


def create(request: Request) -> Reply:
    wanted = request.parse(Ec2CredentialNew)
    user_id = request.path["id"]
    with request.write() as connection:
        request.caller.check("identity:ec2_create_credential", user_id=user_id)
        project.get(connection, wanted.tenant_id)
        pair = domain.generated(user_id, wanted.tenant_id)
        seal = request.services.seal
        made = domain.create(connection, request.caller, request.claims, pair, seal)
        audit.about(made.id)
    return Reply(201, {"credential": render(request, made)})


def index(request: Request) -> Reply:
    user_id = request.path["id"]
    request.caller.check("identity:ec2_list_credentials", user_id=user_id)
    pairs = Listing(filters={"type": [EC2]})
    with request.read() as connection:
        found = domain.page(connection, request.claims, pairs, user_id)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "credentials", shown))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = _found(request, connection, "identity:ec2_get_credential")
    return Reply(200, {"credential": render(request, found)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        row = _found(request, connection, "identity:ec2_delete_credential")
        store.delete(connection, row.id)
    return Reply(204)


def log_in(request: Request) -> Reply:
    """A token for who has signed. The service that got the signed request asks for it."""
    body = request.parse(Ec2Login)
    given = body.credentials or body.credential or body.ec2Credentials
    if not isinstance(given, Signed):
        raise Unauthenticated("EC2 signature not supplied.")
    signed = SignedRequest(
        verb=given.verb,
        host=given.host,
        path=given.path,
        params=given.params,
        headers=given.headers,
        body_hash=given.body_hash,
    )
    now = request.services.clock.now()
    with request.read() as connection:
        login, scope = ec2_login.prove(
            connection,
            given.access,
            given.signature,
            signed,
            seal=request.services.seal,
            now=now,
        )
        return token.issue(request, connection, login, scope, status=200)


def _found(request: Request, connection: Connection, rule: str) -> Credential:
    """Whose it is decides, whichever user the path names, as at Keystone. Raises NotFound, and as `domain.get`
    does.
    """
    access = request.path["access"]
    key = domain.key_of(access)
    row = store.get(connection, key)
    if row is None or row.type != EC2:
        raise NotFound("EC2 access key", access)
    return domain.get(connection, request.caller, request.claims, rule, key)


def render(request: Request, row: Credential) -> dict[str, Any]:
    access, secret = domain.keys(row, request.services.seal)
    return {
        "access": access,
        "secret": secret,
        "user_id": row.user_id,
        "tenant_id": row.project_id,
        "trust_id": row.trust_id,
        "links": rendering.link(request, "users", row.user_id, "credentials", "OS-EC2", access),
    }
