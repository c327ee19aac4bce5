"""The route table of the key manager, and the rules that its policies name."""

from __future__ import annotations

from kumoi.cloud.api import errors
from kumoi.cloud.api.key_manager import container, secret, version
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.policy.table import TABLE

SECRETS, CONTAINERS = "/v1/secrets", "/v1/containers"

ROUTES = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/v1", version.show, OPEN),
    Route("POST", SECRETS, secret.create, "secrets:post", slash=True),
    Route("GET", SECRETS, secret.index, "secrets:get", slash=True),
    Route("GET", f"{SECRETS}/{{id}}", secret.show, "secret:get"),
    Route("GET", f"{SECRETS}/{{id}}/payload", secret.payload, "secret:decrypt"),
    Route("PUT", f"{SECRETS}/{{id}}", secret.update, "secret:put"),
    Route("DELETE", f"{SECRETS}/{{id}}", secret.delete, "secret:delete"),
    Route("GET", f"{SECRETS}/{{id}}/acl", secret.show_acl, "secret:get_acl"),
    Route("PUT", f"{SECRETS}/{{id}}/acl", secret.update_acl, "secret:put_acl"),
    Route("PATCH", f"{SECRETS}/{{id}}/acl", secret.update_acl, "secret:put_acl"),
    Route("DELETE", f"{SECRETS}/{{id}}/acl", secret.delete_acl, "secret:put_acl"),
    Route("POST", CONTAINERS, container.create, "containers:post", slash=True),
    Route("GET", CONTAINERS, container.index, "containers:get", slash=True),
    Route("GET", f"{CONTAINERS}/{{id}}", container.show, "container:get"),
    Route("DELETE", f"{CONTAINERS}/{{id}}", container.delete, "container:delete"),
    Route("GET", f"{CONTAINERS}/{{id}}/acl", container.show_acl, "container:get_acl"),
    Route("PUT", f"{CONTAINERS}/{{id}}/acl", container.update_acl, "container:put_acl"),
    Route("PATCH", f"{CONTAINERS}/{{id}}/acl", container.update_acl, "container:put_acl"),
    Route("DELETE", f"{CONTAINERS}/{{id}}/acl", container.delete_acl, "container:put_acl"),
)

SERVICE = Service(
    type="key-manager",
    prefix="key-manager",
    routes=ROUTES,
    policies=TABLE,
    schemes=SCHEMES,
    envelope=errors.key_manager,
    challenge=errors.CHALLENGE,
)
