"""The identity API: every route with its policy.

Managing anything is an administrator's; what anybody may do with what is their own, the domain asks.
"""

from __future__ import annotations

from kumoi.cloud.api import errors
from kumoi.cloud.api.identity import (
    access_rule,
    application_credential,
    assignment,
    catalog,
    credential,
    domain,
    domain_config,
    ec2_credential,
    endpoint,
    endpoint_group,
    group,
    implied_role,
    limit,
    policy,
    project,
    project_endpoint,
    region,
    registered_limit,
    role,
    service,
    token,
    trust,
    unoffered,
    user,
    version,
)
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.policy.table import TABLE

LOGIN_POOL = "login"  # Whatever hashes a password runs in these threads.

VERSIONS = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/v3", version.show, OPEN),
)

TOKENS = (
    Route("POST", "/v3/auth/tokens", token.create, OPEN, pool=LOGIN_POOL, audits=False, reads=True),
    Route("GET", "/v3/auth/tokens", token.show, "identity:validate_token"),
    Route("HEAD", "/v3/auth/tokens", token.check, "identity:check_token"),
    Route("DELETE", "/v3/auth/tokens", token.delete, "identity:revoke_token"),
    Route("GET", "/v3/auth/catalog", catalog.show, "identity:get_auth_catalog"),
    Route("GET", "/v3/auth/projects", catalog.projects, "identity:get_auth_projects"),
    Route("GET", "/v3/auth/domains", catalog.domains, "identity:get_auth_domains"),
    Route("GET", "/v3/auth/system", catalog.system, "identity:get_auth_system"),
)

DOMAINS = (
    Route("POST", "/v3/domains", domain.create, "identity:create_domain"),
    Route("GET", "/v3/domains", domain.index, "identity:list_domains"),
    Route("GET", "/v3/domains/{id}", domain.show, "identity:get_domain"),
    Route("PATCH", "/v3/domains/{id}", domain.update, "identity:update_domain"),
    Route("DELETE", "/v3/domains/{id}", domain.delete, "identity:delete_domain"),
)

# The configuration of a domain: all of it, a group of options, one option.
DOMAIN_CONFIGS = (
    Route("PUT", "/v3/domains/{id}/config", domain_config.create, "identity:create_domain_config"),
    *(
        Route(method, f"/v3/domains/{{id}}/config{part}", handler, policy)
        for part in ("", "/{group}", "/{group}/{option}")
        for method, handler, policy in (
            ("GET", domain_config.show, "identity:get_domain_config"),
            ("PATCH", domain_config.update, "identity:update_domain_config"),
            ("DELETE", domain_config.delete, "identity:delete_domain_config"),
        )
    ),
    *(
        Route(
            "GET",
            f"/v3/domains/config{part}/default",
            domain_config.defaults,
            "identity:get_domain_config_default",
        )
        for part in ("", "/{group}", "/{group}/{option}")
    ),
    *(
        Route(
            "GET",
            f"/v3/domains/{{id}}/config/security_compliance{part}",
            domain_config.show_compliance,
            "identity:get_security_compliance_domain_config",
        )
        for part in ("", "/{option}")
    ),
)

POLICIES = (
    Route("POST", "/v3/policies", policy.create, "identity:create_policy"),
    Route("GET", "/v3/policies", policy.index, "identity:list_policies"),
    Route("GET", "/v3/policies/{id}", policy.show, "identity:get_policy"),
    Route("PATCH", "/v3/policies/{id}", policy.update, "identity:update_policy"),
    Route("DELETE", "/v3/policies/{id}", policy.delete, "identity:delete_policy"),
)

CONSUMERS = "/v3/OS-OAUTH1/consumers"
FEDERATION = "/v3/OS-FEDERATION"
UNOFFERED = (
    Route("GET", CONSUMERS, unoffered.none_listed("consumers"), "identity:list_consumers"),
    Route("POST", CONSUMERS, unoffered.oauth1, "identity:create_consumer"),
    *(
        Route(
            "GET", f"{FEDERATION}/{name}", unoffered.none_listed(name), "identity:list_federation"
        )
        for name in ("identity_providers", "mappings", "service_providers", "projects", "domains")
    ),
    *(
        Route(
            "PUT", f"{FEDERATION}/{name}/{{id}}", unoffered.federation, "identity:create_federation"
        )
        for name in ("identity_providers", "mappings", "service_providers")
    ),
)

PROJECTS = (
    Route("POST", "/v3/projects", project.create, "identity:create_project"),
    Route("GET", "/v3/projects", project.index, "identity:list_projects"),
    Route("GET", "/v3/projects/{id}", project.show, "identity:get_project"),
    Route("PATCH", "/v3/projects/{id}", project.update, "identity:update_project"),
    Route("DELETE", "/v3/projects/{id}", project.delete, "identity:delete_project"),
    Route("GET", "/v3/projects/{id}/tags", project.tags, "identity:list_project_tags"),
    Route("PUT", "/v3/projects/{id}/tags", project.set_tags, "identity:update_project_tags"),
    Route("DELETE", "/v3/projects/{id}/tags", project.clear_tags, "identity:delete_project_tags"),
    Route("GET", "/v3/projects/{id}/tags/{tag}", project.has_tag, "identity:get_project_tag"),
    Route("PUT", "/v3/projects/{id}/tags/{tag}", project.add_tag, "identity:create_project_tag"),
    Route(
        "DELETE", "/v3/projects/{id}/tags/{tag}", project.remove_tag, "identity:delete_project_tag"
    ),
)

CREDENTIALS = "/v3/users/{id}/application_credentials"
CREDENTIAL = f"{CREDENTIALS}/{{credential_id}}"
ACCESS_RULES = "/v3/users/{id}/access_rules"
USERS = (
    Route("POST", "/v3/users", user.create, "identity:create_user", pool=LOGIN_POOL),
    Route("GET", "/v3/users", user.index, "identity:list_users"),
    Route("GET", "/v3/users/{id}", user.show, "identity:get_user"),
    Route("PATCH", "/v3/users/{id}", user.update, "identity:update_user", pool=LOGIN_POOL),
    Route("DELETE", "/v3/users/{id}", user.delete, "identity:delete_user"),
    Route(
        "POST",
        "/v3/users/{id}/password",
        user.change_password,
        OPEN,  # Whoever has an expired one gets no token.
        pool=LOGIN_POOL,
    ),
    Route("GET", "/v3/users/{id}/groups", group.of_user, "identity:list_groups_for_user"),
    Route("GET", "/v3/users/{id}/projects", user.list_projects, "identity:list_user_projects"),
    Route(
        "POST",
        CREDENTIALS,
        application_credential.create,
        "identity:create_application_credential",
        pool=LOGIN_POOL,
    ),
    Route(
        "GET", CREDENTIALS, application_credential.index, "identity:list_application_credentials"
    ),
    Route("GET", CREDENTIAL, application_credential.show, "identity:get_application_credential"),
    Route(
        "DELETE",
        CREDENTIAL,
        application_credential.delete,
        "identity:delete_application_credential",
    ),
    Route("GET", ACCESS_RULES, access_rule.index, "identity:list_access_rules"),
    Route("GET", f"{ACCESS_RULES}/{{rule_id}}", access_rule.show, "identity:get_access_rule"),
    Route(
        "DELETE", f"{ACCESS_RULES}/{{rule_id}}", access_rule.delete, "identity:delete_access_rule"
    ),
)

EC2 = "/v3/users/{id}/credentials/OS-EC2"
KEPT_CREDENTIALS = (
    Route("POST", "/v3/credentials", credential.create, "identity:create_credential"),
    Route("GET", "/v3/credentials", credential.index, "identity:list_credentials"),
    Route("GET", "/v3/credentials/{id}", credential.show, "identity:get_credential"),
    Route("PATCH", "/v3/credentials/{id}", credential.update, "identity:update_credential"),
    Route("DELETE", "/v3/credentials/{id}", credential.delete, "identity:delete_credential"),
    Route("POST", EC2, ec2_credential.create, "identity:ec2_create_credential"),
    Route("GET", EC2, ec2_credential.index, "identity:ec2_list_credentials"),
    Route("GET", f"{EC2}/{{access}}", ec2_credential.show, "identity:ec2_get_credential"),
    Route("DELETE", f"{EC2}/{{access}}", ec2_credential.delete, "identity:ec2_delete_credential"),
    Route(
        "POST",
        "/v3/ec2tokens",
        ec2_credential.log_in,
        "identity:ec2tokens_validate",
        audits=False,
    ),
)

TRUST = "/v3/OS-TRUST/trusts/{id}"
TRUSTS = (
    Route("POST", "/v3/OS-TRUST/trusts", trust.create, "identity:create_trust"),
    Route(
        "GET", "/v3/OS-TRUST/trusts", trust.index, "identity:list_trusts_for_trustor", slash=True
    ),
    Route("GET", TRUST, trust.show, "identity:get_trust"),
    Route("DELETE", TRUST, trust.delete, "identity:delete_trust"),
    Route("GET", f"{TRUST}/roles", trust.list_roles, "identity:list_roles_for_trust"),
    Route("GET", f"{TRUST}/roles/{{role_id}}", trust.show_role, "identity:get_role_for_trust"),
)

GROUPS = (
    Route("POST", "/v3/groups", group.create, "identity:create_group"),
    Route("GET", "/v3/groups", group.index, "identity:list_groups"),
    Route("GET", "/v3/groups/{id}", group.show, "identity:get_group"),
    Route("PATCH", "/v3/groups/{id}", group.update, "identity:update_group"),
    Route("DELETE", "/v3/groups/{id}", group.delete, "identity:delete_group"),
    Route("GET", "/v3/groups/{id}/users", group.list_users, "identity:list_users_in_group"),
    Route("PUT", "/v3/groups/{id}/users/{user_id}", group.add_user, "identity:add_user_to_group"),
    Route(
        "GET", "/v3/groups/{id}/users/{user_id}", group.check_user, "identity:check_user_in_group"
    ),
    Route(
        "DELETE",
        "/v3/groups/{id}/users/{user_id}",
        group.remove_user,
        "identity:remove_user_from_group",
    ),
)

ROLES = (
    Route("POST", "/v3/roles", role.create, "identity:create_role"),
    Route("GET", "/v3/roles", role.index, "identity:list_roles"),
    Route("GET", "/v3/roles/{id}", role.show, "identity:get_role"),
    Route("PATCH", "/v3/roles/{id}", role.update, "identity:update_role"),
    Route("DELETE", "/v3/roles/{id}", role.delete, "identity:delete_role"),
    Route("GET", "/v3/roles/{id}/implies", implied_role.of_role, "identity:list_implied_roles"),
    Route("GET", "/v3/role_inferences", implied_role.every, "identity:list_role_inference_rules"),
    Route("GET", "/v3/role_assignments", assignment.index, "identity:list_role_assignments"),
)

IMPLIED = tuple(
    Route(method, "/v3/roles/{id}/implies/{implied_id}", handler, policy)
    for method, handler, policy in (
        ("PUT", implied_role.create, "identity:create_implied_role"),
        ("GET", implied_role.show, "identity:get_implied_role"),
        ("HEAD", implied_role.check, "identity:check_implied_role"),
        ("DELETE", implied_role.delete, "identity:delete_implied_role"),
    )
)

# Roles of a user or a group on a project, a domain or the system, and what projects below inherit.
GRANTS = tuple(
    Route(
        method,
        f"/v3/{target}/{actor}/{{actor_id}}/roles{rest}{inherited}",
        handler,
        f"identity:{verb}_{'system_grant' if target == 'system' else noun}",
    )
    for target, inherited in (
        ("projects/{id}", ""),
        ("domains/{id}", ""),
        ("system", ""),
        ("OS-INHERIT/projects/{id}", "/inherited_to_projects"),
        ("OS-INHERIT/domains/{id}", "/inherited_to_projects"),
    )
    for actor in ("users", "groups")
    for method, rest, handler, verb, noun in (
        ("GET", "", assignment.granted, "list", "grants"),
        ("PUT", "/{role_id}", assignment.grant, "create", "grant"),
        ("GET", "/{role_id}", assignment.check, "check", "grant"),
        ("DELETE", "/{role_id}", assignment.revoke, "revoke", "grant"),
    )
)

CATALOG = (
    Route("POST", "/v3/services", service.create, "identity:create_service"),
    Route("GET", "/v3/services", service.index, "identity:list_services"),
    Route("GET", "/v3/services/{id}", service.show, "identity:get_service"),
    Route("PATCH", "/v3/services/{id}", service.update, "identity:update_service"),
    Route("DELETE", "/v3/services/{id}", service.delete, "identity:delete_service"),
    Route("POST", "/v3/endpoints", endpoint.create, "identity:create_endpoint"),
    Route("GET", "/v3/endpoints", endpoint.index, "identity:list_endpoints"),
    Route("GET", "/v3/endpoints/{id}", endpoint.show, "identity:get_endpoint"),
    Route("PATCH", "/v3/endpoints/{id}", endpoint.update, "identity:update_endpoint"),
    Route("DELETE", "/v3/endpoints/{id}", endpoint.delete, "identity:delete_endpoint"),
    Route("POST", "/v3/regions", region.create, "identity:create_region"),
    Route("GET", "/v3/regions", region.index, "identity:list_regions"),
    Route("GET", "/v3/regions/{id}", region.show, "identity:get_region"),
    Route("PUT", "/v3/regions/{id}", region.create, "identity:create_region"),
    Route("PATCH", "/v3/regions/{id}", region.update, "identity:update_region"),
    Route("DELETE", "/v3/regions/{id}", region.delete, "identity:delete_region"),
)

EP_FILTER = "/v3/OS-EP-FILTER"
EP_GROUPS = f"{EP_FILTER}/endpoint_groups"
EP_GROUP = f"{EP_GROUPS}/{{id}}"
ENDPOINT_GROUPS = (
    Route("POST", EP_GROUPS, endpoint_group.create, "identity:create_endpoint_group"),
    Route("GET", EP_GROUPS, endpoint_group.index, "identity:list_endpoint_groups"),
    Route("GET", EP_GROUP, endpoint_group.show, "identity:get_endpoint_group"),
    Route("PATCH", EP_GROUP, endpoint_group.update, "identity:update_endpoint_group"),
    Route("DELETE", EP_GROUP, endpoint_group.delete, "identity:delete_endpoint_group"),
    Route(
        "GET",
        f"{EP_GROUP}/endpoints",
        endpoint_group.list_endpoints,
        "identity:list_endpoints_associated_with_endpoint_group",
    ),
    Route(
        "GET",
        f"{EP_GROUP}/projects",
        project_endpoint.list_projects,
        "identity:list_projects_associated_with_endpoint_group",
    ),
    Route(
        "GET",
        f"{EP_FILTER}/endpoints/{{id}}/projects",
        project_endpoint.list_projects,
        "identity:list_projects_for_endpoint",
    ),
    Route(
        "GET",
        f"{EP_FILTER}/projects/{{id}}/endpoint_groups",
        project_endpoint.list_groups,
        "identity:list_endpoint_groups_for_project",
    ),
    Route(
        "GET",
        f"{EP_FILTER}/projects/{{id}}/endpoints",
        project_endpoint.list_endpoints,
        "identity:list_endpoints_for_project",
    ),
    *(
        Route(method, f"{EP_FILTER}/{path}", handler, f"identity:{verb}_{what}_project")
        for path, what in (
            ("projects/{id}/endpoints/{target_id}", "endpoint"),
            ("endpoint_groups/{id}/projects/{project_id}", "endpoint_group"),
        )
        for method, handler, verb in (
            ("PUT", project_endpoint.add, "add"),
            ("GET", project_endpoint.check, "check"),
            ("DELETE", project_endpoint.remove, "remove"),
        )
    ),
)

LIMITS = (
    Route("GET", "/v3/limits/model", limit.model, "identity:get_limit_model"),
    Route(
        "POST",
        "/v3/registered_limits",
        registered_limit.create,
        "identity:create_registered_limits",
    ),
    Route(
        "GET", "/v3/registered_limits", registered_limit.index, "identity:list_registered_limits"
    ),
    Route(
        "GET", "/v3/registered_limits/{id}", registered_limit.show, "identity:get_registered_limit"
    ),
    Route(
        "PATCH",
        "/v3/registered_limits/{id}",
        registered_limit.update,
        "identity:update_registered_limit",
    ),
    Route(
        "DELETE",
        "/v3/registered_limits/{id}",
        registered_limit.delete,
        "identity:delete_registered_limit",
    ),
    Route("POST", "/v3/limits", limit.create, "identity:create_limits"),
    Route("GET", "/v3/limits", limit.index, "identity:list_limits"),
    Route("GET", "/v3/limits/{id}", limit.show, "identity:get_limit"),
    Route("PATCH", "/v3/limits/{id}", limit.update, "identity:update_limit"),
    Route("DELETE", "/v3/limits/{id}", limit.delete, "identity:delete_limit"),
)

SERVICE = Service(
    type="identity",
    prefix="identity",
    routes=(
        *VERSIONS,
        *TOKENS,
        *DOMAINS,
        *DOMAIN_CONFIGS,
        *POLICIES,
        *UNOFFERED,
        *PROJECTS,
        *USERS,
        *KEPT_CREDENTIALS,
        *TRUSTS,
        *GROUPS,
        *ROLES,
        *IMPLIED,
        *GRANTS,
        *CATALOG,
        *ENDPOINT_GROUPS,
        *LIMITS,
    ),
    policies=TABLE,
    schemes=SCHEMES,
    challenge=errors.CHALLENGE,
    headers={"Vary": "X-Auth-Token"},
)
