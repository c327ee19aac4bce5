"""The identity API: every route with its policy.

Managing anything is an administrator's; what anybody may do with what is their own, the domain asks.
"""

from __future__ import annotations

from kumoi.cloud.api import errors
from kumoi.cloud.api.identity import (
    application_credential,
    assignment,
    catalog,
    domain,
    endpoint,
    group,
    project,
    region,
    role,
    service,
    token,
    user,
    version,
)
from kumoi.cloud.api.policy import Rule, admin, anybody
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service

LOGIN_POOL = "login"  # Whatever hashes a password runs in these threads.

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
    Route("GET", "/v3/auth/projects", catalog.projects, "identity:catalog:show"),
    Route("GET", "/v3/auth/domains", catalog.domains, "identity:catalog:show"),
    Route("GET", "/v3/auth/system", catalog.system, "identity:catalog:show"),
)

DOMAINS = (
    Route("POST", "/v3/domains", domain.create, "identity:domain:create"),
    Route("GET", "/v3/domains", domain.index, "identity:domain:list"),
    Route("GET", "/v3/domains/{id}", domain.show, "identity:domain:show"),
    Route("PATCH", "/v3/domains/{id}", domain.update, "identity:domain:update"),
    Route("DELETE", "/v3/domains/{id}", domain.delete, "identity:domain:delete"),
)

PROJECTS = (
    Route("POST", "/v3/projects", project.create, "identity:project:create"),
    Route("GET", "/v3/projects", project.index, "identity:project:list"),
    Route("GET", "/v3/projects/{id}", project.show, "identity:project:show"),
    Route("PATCH", "/v3/projects/{id}", project.update, "identity:project:update"),
    Route("DELETE", "/v3/projects/{id}", project.delete, "identity:project:delete"),
    Route("GET", "/v3/projects/{id}/tags", project.tags, "identity:project:show"),
    Route("PUT", "/v3/projects/{id}/tags", project.set_tags, "identity:project:update"),
    Route("DELETE", "/v3/projects/{id}/tags", project.clear_tags, "identity:project:update"),
    Route("GET", "/v3/projects/{id}/tags/{tag}", project.has_tag, "identity:project:show"),
    Route("PUT", "/v3/projects/{id}/tags/{tag}", project.add_tag, "identity:project:update"),
    Route("DELETE", "/v3/projects/{id}/tags/{tag}", project.remove_tag, "identity:project:update"),
)

CREDENTIALS = "/v3/users/{id}/application_credentials"
CREDENTIAL = f"{CREDENTIALS}/{{credential_id}}"
USERS = (
    Route("POST", "/v3/users", user.create, "identity:user:create", pool=LOGIN_POOL),
    Route("GET", "/v3/users", user.index, "identity:user:list"),
    Route("GET", "/v3/users/{id}", user.show, "identity:user:show"),
    Route("PATCH", "/v3/users/{id}", user.update, "identity:user:update", pool=LOGIN_POOL),
    Route("DELETE", "/v3/users/{id}", user.delete, "identity:user:delete"),
    Route(
        "POST",
        "/v3/users/{id}/password",
        user.change_password,
        "identity:user:change_password",
        pool=LOGIN_POOL,
    ),
    Route("GET", "/v3/users/{id}/groups", user.list_groups, "identity:user:show"),
    Route("GET", "/v3/users/{id}/projects", user.list_projects, "identity:user:show"),
    Route(
        "POST",
        CREDENTIALS,
        application_credential.create,
        "identity:application_credential:create",
        pool=LOGIN_POOL,
    ),
    Route("GET", CREDENTIALS, application_credential.index, "identity:application_credential:list"),
    Route("GET", CREDENTIAL, application_credential.show, "identity:application_credential:show"),
    Route(
        "DELETE",
        CREDENTIAL,
        application_credential.delete,
        "identity:application_credential:delete",
    ),
    Route(
        "GET",
        "/v3/users/{id}/access_rules",
        application_credential.access_rules,
        "identity:application_credential:list",
    ),
)

GROUPS = (
    Route("POST", "/v3/groups", group.create, "identity:group:create"),
    Route("GET", "/v3/groups", group.index, "identity:group:list"),
    Route("GET", "/v3/groups/{id}", group.show, "identity:group:show"),
    Route("PATCH", "/v3/groups/{id}", group.update, "identity:group:update"),
    Route("DELETE", "/v3/groups/{id}", group.delete, "identity:group:delete"),
    Route("GET", "/v3/groups/{id}/users", group.list_users, "identity:group:show"),
    Route("PUT", "/v3/groups/{id}/users/{user_id}", group.add_user, "identity:group:update"),
    Route("GET", "/v3/groups/{id}/users/{user_id}", group.check_user, "identity:group:show"),
    Route("DELETE", "/v3/groups/{id}/users/{user_id}", group.remove_user, "identity:group:update"),
)

ROLES = (
    Route("POST", "/v3/roles", role.create, "identity:role:create"),
    Route("GET", "/v3/roles", role.index, "identity:role:list"),
    Route("GET", "/v3/roles/{id}", role.show, "identity:role:show"),
    Route("PATCH", "/v3/roles/{id}", role.update, "identity:role:update"),
    Route("DELETE", "/v3/roles/{id}", role.delete, "identity:role:delete"),
    Route("GET", "/v3/roles/{id}/implies", role.implied, "identity:role:show"),
    Route("GET", "/v3/role_inferences", role.inferences, "identity:role:list"),
    Route("GET", "/v3/role_assignments", assignment.index, "identity:assignment:list"),
)

# Roles of a user or a group on a project, a domain or the system.
GRANTS = tuple(
    Route(method, f"/v3/{target}/{actor}/{{actor_id}}/roles{rest}", handler, policy)
    for target in ("projects/{id}", "domains/{id}", "system")
    for actor in ("users", "groups")
    for method, rest, handler, policy in (
        ("GET", "", assignment.granted, "identity:assignment:list"),
        ("PUT", "/{role_id}", assignment.grant, "identity:assignment:create"),
        ("GET", "/{role_id}", assignment.check, "identity:assignment:list"),
        ("DELETE", "/{role_id}", assignment.revoke, "identity:assignment:delete"),
    )
)

CATALOG = (
    Route("POST", "/v3/services", service.create, "identity:service:create"),
    Route("GET", "/v3/services", service.index, "identity:service:list"),
    Route("GET", "/v3/services/{id}", service.show, "identity:service:show"),
    Route("PATCH", "/v3/services/{id}", service.update, "identity:service:update"),
    Route("DELETE", "/v3/services/{id}", service.delete, "identity:service:delete"),
    Route("POST", "/v3/endpoints", endpoint.create, "identity:endpoint:create"),
    Route("GET", "/v3/endpoints", endpoint.index, "identity:endpoint:list"),
    Route("GET", "/v3/endpoints/{id}", endpoint.show, "identity:endpoint:show"),
    Route("PATCH", "/v3/endpoints/{id}", endpoint.update, "identity:endpoint:update"),
    Route("DELETE", "/v3/endpoints/{id}", endpoint.delete, "identity:endpoint:delete"),
    Route("POST", "/v3/regions", region.create, "identity:region:create"),
    Route("GET", "/v3/regions", region.index, "identity:region:list"),
    Route("GET", "/v3/regions/{id}", region.show, "identity:region:show"),
    Route("PUT", "/v3/regions/{id}", region.create, "identity:region:create"),
    Route("PATCH", "/v3/regions/{id}", region.update, "identity:region:update"),
    Route("DELETE", "/v3/regions/{id}", region.delete, "identity:region:delete"),
)

POLICIES: dict[str, Rule] = {
    "identity:token:show": anybody,  # One's own; another's for administrators and services.
    "identity:token:delete": anybody,
    "identity:catalog:show": anybody,
    "identity:domain:create": admin,
    "identity:domain:list": admin,
    "identity:domain:show": anybody,  # Those that the token names.
    "identity:domain:update": admin,
    "identity:domain:delete": admin,
    "identity:project:create": admin,
    "identity:project:list": admin,
    "identity:project:show": anybody,  # Those that the user has a role on.
    "identity:project:update": admin,
    "identity:project:delete": admin,
    "identity:user:create": admin,
    "identity:user:list": admin,
    "identity:user:show": anybody,  # Oneself.
    "identity:user:update": admin,
    "identity:user:change_password": anybody,  # One's own.
    "identity:user:delete": admin,
    "identity:application_credential:create": anybody,  # One's own, all four.
    "identity:application_credential:list": anybody,
    "identity:application_credential:show": anybody,
    "identity:application_credential:delete": anybody,
    "identity:group:create": admin,
    "identity:group:list": admin,
    "identity:group:show": admin,
    "identity:group:update": admin,
    "identity:group:delete": admin,
    "identity:role:create": admin,
    "identity:role:list": admin,
    "identity:role:show": admin,
    "identity:role:update": admin,
    "identity:role:delete": admin,
    "identity:assignment:create": admin,
    "identity:assignment:list": admin,
    "identity:assignment:delete": admin,
    "identity:service:create": admin,
    "identity:service:list": admin,
    "identity:service:show": admin,
    "identity:service:update": admin,
    "identity:service:delete": admin,
    "identity:endpoint:create": admin,
    "identity:endpoint:list": admin,
    "identity:endpoint:show": admin,
    "identity:endpoint:update": admin,
    "identity:endpoint:delete": admin,
    "identity:region:create": admin,
    "identity:region:list": anybody,
    "identity:region:show": anybody,
    "identity:region:update": admin,
    "identity:region:delete": admin,
}

SERVICE = Service(
    type="identity",
    prefix="identity",
    routes=(*VERSIONS, *TOKENS, *DOMAINS, *PROJECTS, *USERS, *GROUPS, *ROLES, *GRANTS, *CATALOG),
    policies=POLICIES,
    schemes=SCHEMES,
    challenge=errors.CHALLENGE,
    headers={"Vary": "X-Auth-Token"},
)
