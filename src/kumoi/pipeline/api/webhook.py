"""Webhooks: git hosts that feed a repository. A project sees its own.

`deliver` is what the host calls. It authenticates by the webhook's secret, writes down what there is to
look at, and answers; fetch.py does the rest.
"""

from __future__ import annotations

import functools
import secrets
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound, Transient, Unauthenticated
from kumoi.base.ids import new_hex_id, new_id
from kumoi.base.secret import Secret
from kumoi.engine import audit
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import Body, Reply
from kumoi.pipeline import commit_status, guarded_http, limits
from kumoi.pipeline import webhook as git_hosts
from kumoi.pipeline.api.request import Request
from kumoi.pipeline.identity import GitLogin
from kumoi.pipeline.repositories import check_name
from kumoi.pipeline.store import delegation, repository, webhook
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.store.webhook import Delivery, Webhook
from kumoi.pipeline.webhook import GitHost

SECRET_MIN, SECRET_MAX = 16, 200
SECRET_BYTES = 24
PER_PROJECT_MAX = 100
NO_SUCH = "there is no such webhook, or the secret is wrong"
A_SECRET = Secret(secrets.token_hex(SECRET_BYTES))
"""Checked where there is no webhook, so that both take as long."""


class GivenCredential(Body):
    """An application credential of the caller's, for who logs in by one."""

    id: Text
    secret: Text


class WebhookNew(Body):
    repository: Text
    host: GitHost
    url: Annotated[str, msgspec.Meta(max_length=guarded_http.URL_MAX)]
    secret: Annotated[str, msgspec.Meta(min_length=SECRET_MIN, max_length=SECRET_MAX)] = ""
    token: Text = ""
    api_url: Annotated[str, msgspec.Meta(max_length=guarded_http.URL_MAX)] = ""
    credential: GivenCredential | None = None


def create(request: Request) -> Reply:
    """Register one. The secret is made where none is given, and shown this once."""
    new, caller = request.parse(WebhookNew), request.caller
    request.caller.check("kumoi:webhook:create", caller.project_id)
    check_name(new.repository)
    guarded_http.require_header(new.token)
    _check_urls(request, new)
    with request.read() as connection:
        there = repository.find(connection, caller.project_id, new.repository)
    if there is not None:
        request.services.copies.require_here(there)
    repositories = request.services.repositories
    if repositories.list_heads(caller.project_id, new.repository):
        raise Conflict(
            f"repository {new.repository} was pushed to: choose another name for this one"
        )
    with request.read() as connection:
        _require_room(connection, request, new.repository)
    acting = _delegated(request, new)
    try:
        return _register(request, new, acting)
    except BaseException:
        if acting.is_own:
            request.services.credentials.end(acting)
        raise


def _register(request: Request, new: WebhookNew, acting: Delegation) -> Reply:
    caller, now = request.caller, request.services.clock.now()
    secret = new.secret or secrets.token_hex(SECRET_BYTES)
    wanted = Repository(new_id(), caller.project_id, caller.project_name, new.repository, now)
    with request.write() as connection:
        _require_room(connection, request, new.repository)
        owner = repository.ensure(connection, wanted)
        made = Webhook(
            id=new_hex_id()[:12],
            repository_id=owner.id,
            project_id=caller.project_id,
            host=new.host,
            url=new.url,
            api_url=new.api_url or commit_status.api_url(new.host, new.url),
            secret=Secret(secret),
            token=Secret(new.token),
            acting=acting,
            user_name=caller.user_id,
            created_at=now,
            refused={},
            looked_at=now,  # There is nothing to look for before the first delivery.
        )
        webhook.add(connection, made)
        audit.about(made.id)
        return Reply(201, {"webhook": {**_render(connection, request, made), "secret": secret}})


def _require_room(connection: Connection, request: Request, name: str) -> None:
    """Raises Conflict where the repository has a webhook, or the project too many."""
    project_id = request.caller.project_id
    found = repository.find(connection, project_id, name)
    if found is not None and webhook.get_of_repository(connection, found.id) is not None:
        raise Conflict(f"repository {name} has a webhook")
    if found is None:
        limits.require_repository(connection, request.services.cloud, project_id)
    if len(webhook.list_of_project(connection, project_id)) >= PER_PROJECT_MAX:
        raise Conflict(f"a project has {PER_PROJECT_MAX} webhooks at most")


def list_(request: Request) -> Reply:
    """Oldest first."""
    with request.read() as connection:
        found = webhook.list_of_project(connection, request.caller.project_id)
        return Reply(200, {"webhooks": [_render(connection, request, each) for each in found]})


def show(request: Request) -> Reply:
    """With its newest deliveries and what became of each."""
    with request.read() as connection:
        found = _find(connection, request)
        rendered = _render(connection, request, found)
        told = webhook.deliveries(connection, found.id)
    rendered["deliveries"] = [
        {
            "id": each.delivery_id,
            "branch": each.branch,
            "commit": each.commit,
            "received_at": each.received_at,
            "done_at": each.done_at,
            "outcome": each.outcome,
        }
        for each in told
    ]
    return Reply(200, {"webhook": rendered})


def delete(request: Request) -> Reply:
    """What was fetched stays, and its environments live until their time is over."""
    with request.read() as connection:
        found = _find(connection, request)
    request.caller.check("kumoi:webhook:delete", found.project_id)
    with request.write() as connection:
        webhook.remove(connection, found.id)
        is_used = delegation.is_used(connection, found.acting.credential_id)
        if is_used and found.acting.is_own:  # The last of its environments ends it.
            delegation.give_away(connection, found.acting.credential_id)
        audit.about(found.id)
    if found.acting.is_own and not is_used:
        request.services.credentials.end(found.acting)
    return Reply(204)


def deliver(request: Request) -> Reply:
    """A delivery of the host's. One that was received before changes nothing."""
    headers, body = request.http.headers, request.raw
    with request.read() as connection:
        found = webhook.get(connection, request.path["id"])
    host, secret = (GitHost(found.host), found.secret) if found else (GitHost.GITHUB, A_SECRET)
    is_genuine = git_hosts.is_genuine(host, secret, headers, body)
    if found is None or not is_genuine:
        raise Unauthenticated(NO_SUCH)
    told = git_hosts.read(host, headers, body)
    if told is None:
        return Reply(200, {"message": "only pushes to branches are looked at"})
    now = request.services.clock.now()
    new = Delivery(found.id, told.delivery_id, told.branch, told.commit, now)
    with request.write() as connection:
        is_new = webhook.receive(connection, new)
    message = "it will be fetched" if is_new else "this delivery was received before"
    return Reply(202 if is_new else 200, {"message": message})


def _check_urls(request: Request, new: WebhookNew) -> None:
    """Raises Invalid where one leads to what is internal, as far as that is soon known: each time that one is
    asked, it is looked at.
    """
    for name in ("url", "api_url"):
        url = getattr(new, name)
        if not url:
            continue
        try:
            at = guarded_http.place(url)
            looked = functools.partial(request.services.guard.addresses, at)
            request.services.look_ups.look(request.caller.project_id, looked)
        except Invalid as error:
            raise Invalid(error.message, field=name) from error
        except Transient as error:
            raise Invalid(error.message, field=name) from error


def _delegated(request: Request, new: WebhookNew) -> Delegation:
    """The credential by which its runs will act. Raises Invalid, Forbidden."""
    identity, caller = request.services.identity, request.caller
    if new.credential is None:
        token = request.http.headers.get("X-Auth-Token", "")
        return request.services.credentials.of_webhook(token, caller, new.repository)
    given = GitLogin(new.credential.id, Secret(new.credential.secret))
    if not given.is_credential:
        raise Invalid("this is no application credential's id", field="credential.id")
    theirs = identity.login(given, caller.project_id, request.source)
    if theirs.user_id != caller.user_id:
        raise Forbidden("the credential is another user's")
    return Delegation(given.name, given.secret)


def _find(connection: Connection, request: Request) -> Webhook:
    key = request.path["id"]
    found = webhook.get(connection, key)
    if found is None:
        raise NotFound("webhook", key)
    request.caller.require("kumoi:webhook:show", "webhook", key, found.project_id)
    return found


def _render(connection: Connection, request: Request, found: Webhook) -> dict[str, Any]:
    owner = repository.get(connection, found.repository_id)
    return {
        "id": found.id,
        "repository": owner.name if owner else "",
        "host": found.host,
        "url": found.url,
        "api_url": found.api_url,
        "deliver_url": f"{request.services.cloud.pipeline_url}/pipeline/v1/webhooks/{found.id}/deliver",
        "has_token": bool(found.token.reveal()),
        "created_at": found.created_at,
        "looked_at": found.looked_at,
    }
