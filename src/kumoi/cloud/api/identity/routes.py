"""The identity API: every route with its policy."""

from __future__ import annotations

from kumoi.cloud.api.identity import catalog, token, version
from kumoi.cloud.api.policy import Rule, anybody
from kumoi.cloud.api.routing import OPEN, Route, Service

LOGIN_POOL = "login"

VERSIONS = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/v3", version.show, OPEN),
)

TOKENS = (
    Route("POST", "/v3/auth/tokens", token.create, OPEN, pool=LOGIN_POOL),
    Route("GET", "/v3/auth/tokens", token.show, "identity:token:show"),
    Route("HEAD", "/v3/auth/tokens", token.check, "identity:token:show"),
    Route("DELETE", "/v3/auth/tokens", token.delete, "identity:token:delete"),
    Route("GET", "/v3/auth/catalog", catalog.show, "identity:catalog:show"),
)

POLICIES: dict[str, Rule] = {
    "identity:token:show": anybody,  # One's own; another's for administrators and services.
    "identity:token:delete": anybody,
    "identity:catalog:show": anybody,
}

SERVICE = Service("identity", "identity", (*VERSIONS, *TOKENS), POLICIES)
