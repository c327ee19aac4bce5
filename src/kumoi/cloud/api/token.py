"""Who calls the cloud's APIs: the owner of the token in X-Auth-Token."""

from __future__ import annotations

from collections.abc import Sequence

from kumoi.base.errors import Unauthenticated
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import access_rule
from kumoi.cloud.domain.identity.token import Rule
from kumoi.engine.http.routing import TOKEN
from kumoi.engine.http.service import Scheme


def identify(request: Request) -> Caller:
    """By the token's signature alone. Raises Unauthenticated."""
    token = request.http.headers.get("X-Auth-Token")
    if not token:
        raise Unauthenticated("The request you have made requires authentication.")
    claims = request.services.tokens.check(token, now=request.services.clock.now())
    if claims.access_rules is not None and not _allows(request, claims.access_rules):
        raise Unauthenticated("No access rule of the application credential allows this request.")
    request.claims = claims
    return Caller(
        user_id=claims.user_id,
        project_id=claims.project_id,
        roles=frozenset(name for _, name in claims.roles),
        request_id=request.request_id,
        token_id=claims.audit_ids[0],
        domain_id=claims.domain_id,
        is_system=claims.system,
    )


def _allows(request: Request, rules: Sequence[Rule]) -> bool:
    """A service's paths stand after its prefix, which is its type."""
    service, _, path = request.url_path.removeprefix("/").partition("/")
    method = request.http.method
    return access_rule.allows(rules, service=service, method=method, path=f"/{path}")


SCHEMES = {TOKEN: Scheme(identify)}
