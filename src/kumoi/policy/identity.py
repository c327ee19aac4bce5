"""What is allowed at the identity service, by Keystone's names and with the scopes that it has them for.

Where Keystone lets role admin on a domain do anything, the rows here let it do what role manager on that
domain may: see design note 0018.
"""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.row import ANY_SCOPE, PROJECT, SYSTEM_OR_PROJECT, Reach, Row

ADMIN = Row(admin=Reach.ANY, scopes=SYSTEM_OR_PROJECT)
SYSTEM_READER = Row(admin=Reach.ANY, system_reader=Reach.ANY, scopes=SYSTEM_OR_PROJECT)
DOMAIN_MANAGER = Row(admin=Reach.ANY, domain_manager=Reach.OWN, scopes=ANY_SCOPE)
DOMAIN_READER = Row(
    admin=Reach.ANY, system_reader=Reach.ANY, domain_reader=Reach.OWN, scopes=ANY_SCOPE
)
DOMAIN_READER_OR_OWNER = Row(
    admin=Reach.ANY,
    system_reader=Reach.ANY,
    domain_reader=Reach.OWN,
    owner=Reach.OWN,
    scopes=ANY_SCOPE,
)
ROLE_READER = Row(
    admin=Reach.ANY, system_reader=Reach.ANY, domain_manager=Reach.ANY, scopes=ANY_SCOPE
)
ROLE_MANAGER = Row(  # To a domain's manager belong the roles to give there.
    admin=Reach.ANY, system_reader=Reach.ANY, domain_manager=Reach.OWN, scopes=ANY_SCOPE
)
ADMIN_OR_OWNER = Row(admin=Reach.ANY, owner=Reach.OWN, scopes=ANY_SCOPE)
SYSTEM_READER_OR_OWNER = Row(
    admin=Reach.ANY, system_reader=Reach.ANY, owner=Reach.OWN, scopes=ANY_SCOPE
)
# Of these, Keystone takes no token that is for a domain.
DELEGATION_ADMIN = Row(admin=Reach.ANY, owner=Reach.OWN, scopes=SYSTEM_OR_PROJECT)
DELEGATION_READER = Row(
    admin=Reach.ANY, system_reader=Reach.ANY, owner=Reach.OWN, scopes=SYSTEM_OR_PROJECT
)
DELEGATION_OWNER = Row(owner=Reach.OWN, scopes=PROJECT)
EC2_MEMBER = Row(admin=Reach.ANY, member=Reach.OWN, scopes=SYSTEM_OR_PROJECT)
ACCESS_RULE_READER = Row(system_reader=Reach.ANY, owner=Reach.OWN, scopes=SYSTEM_OR_PROJECT)
ACCESS_RULE_ADMIN = Row(system_admin=Reach.ANY, owner=Reach.OWN, scopes=SYSTEM_OR_PROJECT)
ADMIN_OR_SERVICE = Row(admin=Reach.ANY, service=Reach.ANY, scopes=ANY_SCOPE)
TOKEN_READER = Row(
    admin=Reach.ANY,
    system_reader=Reach.ANY,
    owner=Reach.OWN,
    service=Reach.ANY,
    scopes=ANY_SCOPE,
)
ANYBODY = Row(owner=Reach.ANY, scopes=ANY_SCOPE)

IDENTITY: Mapping[str, Row] = {
    "identity:validate_token": TOKEN_READER,
    "identity:check_token": TOKEN_READER,
    "identity:revoke_token": ADMIN_OR_OWNER,
    "identity:get_auth_catalog": ANYBODY,
    "identity:get_auth_projects": ANYBODY,
    "identity:get_auth_domains": ANYBODY,
    "identity:get_auth_system": ANYBODY,
    "identity:create_domain": ADMIN,
    "identity:list_domains": DOMAIN_READER,
    "identity:get_domain": DOMAIN_READER_OR_OWNER,  # Also those that the token names.
    "identity:update_domain": ADMIN,
    "identity:delete_domain": ADMIN,
    "identity:create_project": DOMAIN_MANAGER,
    "identity:list_projects": DOMAIN_READER,
    "identity:get_project": DOMAIN_READER_OR_OWNER,  # Also those that the user has a role on.
    "identity:update_project": DOMAIN_MANAGER,
    "identity:delete_project": DOMAIN_MANAGER,
    "identity:list_project_tags": DOMAIN_READER_OR_OWNER,
    "identity:get_project_tag": DOMAIN_READER_OR_OWNER,
    "identity:update_project_tags": DOMAIN_MANAGER,
    "identity:create_project_tag": DOMAIN_MANAGER,
    "identity:delete_project_tags": DOMAIN_MANAGER,
    "identity:delete_project_tag": DOMAIN_MANAGER,
    "identity:create_user": DOMAIN_MANAGER,
    "identity:list_users": DOMAIN_READER,
    "identity:get_user": DOMAIN_READER_OR_OWNER,
    "identity:update_user": DOMAIN_MANAGER,
    "identity:delete_user": DOMAIN_MANAGER,
    "identity:list_groups_for_user": DOMAIN_READER_OR_OWNER,
    "identity:list_user_projects": DOMAIN_READER_OR_OWNER,
    "identity:create_application_credential": DELEGATION_OWNER,
    "identity:list_application_credentials": DELEGATION_READER,
    "identity:get_application_credential": DELEGATION_READER,
    "identity:delete_application_credential": DELEGATION_ADMIN,
    "identity:list_access_rules": ACCESS_RULE_READER,
    "identity:get_access_rule": ACCESS_RULE_READER,
    "identity:delete_access_rule": ACCESS_RULE_ADMIN,
    "identity:create_credential": ADMIN_OR_OWNER,
    "identity:list_credentials": SYSTEM_READER_OR_OWNER,
    "identity:get_credential": SYSTEM_READER_OR_OWNER,
    "identity:update_credential": ADMIN_OR_OWNER,
    "identity:delete_credential": ADMIN_OR_OWNER,
    "identity:ec2_create_credential": EC2_MEMBER,
    "identity:ec2_list_credentials": DELEGATION_READER,
    "identity:ec2_get_credential": DELEGATION_READER,
    "identity:ec2_delete_credential": EC2_MEMBER,
    "identity:ec2tokens_validate": ADMIN_OR_SERVICE,
    "identity:create_trust": DELEGATION_OWNER,
    "identity:list_trusts": SYSTEM_READER,
    "identity:list_trusts_for_trustor": DELEGATION_READER,
    "identity:list_trusts_for_trustee": DELEGATION_READER,
    "identity:get_trust": DELEGATION_READER,
    "identity:delete_trust": DELEGATION_ADMIN,
    "identity:list_roles_for_trust": DELEGATION_READER,
    "identity:get_role_for_trust": DELEGATION_READER,
    "identity:create_domain_config": ADMIN,
    "identity:get_domain_config": SYSTEM_READER,
    "identity:get_security_compliance_domain_config": ANYBODY,
    "identity:update_domain_config": ADMIN,
    "identity:delete_domain_config": ADMIN,
    "identity:get_domain_config_default": SYSTEM_READER,
    "identity:create_policy": ADMIN,
    "identity:list_policies": SYSTEM_READER,
    "identity:get_policy": SYSTEM_READER,
    "identity:update_policy": ADMIN,
    "identity:delete_policy": ADMIN,
    "identity:list_consumers": SYSTEM_READER,
    "identity:create_consumer": ADMIN,
    "identity:list_federation": ANYBODY,
    "identity:create_federation": ADMIN,
    "identity:create_group": DOMAIN_MANAGER,
    "identity:list_groups": DOMAIN_READER,
    "identity:get_group": DOMAIN_READER,
    "identity:update_group": DOMAIN_MANAGER,
    "identity:delete_group": DOMAIN_MANAGER,
    "identity:list_users_in_group": DOMAIN_READER,
    "identity:add_user_to_group": DOMAIN_MANAGER,
    "identity:check_user_in_group": DOMAIN_READER,
    "identity:remove_user_from_group": DOMAIN_MANAGER,
    "identity:create_role": ADMIN,
    "identity:list_roles": ROLE_READER,
    "identity:get_role": ROLE_MANAGER,
    "identity:list_domain_roles": SYSTEM_READER,
    "identity:update_role": ADMIN,
    "identity:delete_role": ADMIN,
    "identity:list_implied_roles": SYSTEM_READER,
    "identity:create_implied_role": ADMIN,
    "identity:get_implied_role": SYSTEM_READER,
    "identity:check_implied_role": SYSTEM_READER,
    "identity:delete_implied_role": ADMIN,
    "identity:list_role_inference_rules": SYSTEM_READER,
    "identity:list_role_assignments": DOMAIN_READER,
    "identity:list_role_assignments_for_tree": DOMAIN_READER,
    "identity:list_grants": DOMAIN_READER,
    "identity:check_grant": DOMAIN_READER,
    "identity:create_grant": DOMAIN_MANAGER,
    "identity:revoke_grant": DOMAIN_MANAGER,
    "identity:list_system_grant": SYSTEM_READER,
    "identity:check_system_grant": SYSTEM_READER,
    "identity:create_system_grant": ADMIN,
    "identity:revoke_system_grant": ADMIN,
    "identity:create_service": ADMIN,
    "identity:list_services": SYSTEM_READER,
    "identity:get_service": SYSTEM_READER,
    "identity:update_service": ADMIN,
    "identity:delete_service": ADMIN,
    "identity:create_endpoint": ADMIN,
    "identity:list_endpoints": SYSTEM_READER,
    "identity:get_endpoint": SYSTEM_READER,
    "identity:update_endpoint": ADMIN,
    "identity:delete_endpoint": ADMIN,
    "identity:create_endpoint_group": ADMIN,
    "identity:list_endpoint_groups": SYSTEM_READER,
    "identity:get_endpoint_group": SYSTEM_READER,
    "identity:update_endpoint_group": ADMIN,
    "identity:delete_endpoint_group": ADMIN,
    "identity:list_endpoints_associated_with_endpoint_group": SYSTEM_READER,
    "identity:list_projects_associated_with_endpoint_group": SYSTEM_READER,
    "identity:list_projects_for_endpoint": SYSTEM_READER,
    "identity:list_endpoint_groups_for_project": SYSTEM_READER,
    "identity:list_endpoints_for_project": SYSTEM_READER,
    "identity:add_endpoint_project": ADMIN,
    "identity:check_endpoint_project": SYSTEM_READER,
    "identity:remove_endpoint_project": ADMIN,
    "identity:add_endpoint_group_project": ADMIN,
    "identity:check_endpoint_group_project": SYSTEM_READER,
    "identity:remove_endpoint_group_project": ADMIN,
    "identity:get_limit_model": ANYBODY,
    "identity:create_registered_limits": ADMIN,
    "identity:list_registered_limits": ANYBODY,
    "identity:get_registered_limit": ANYBODY,
    "identity:update_registered_limit": ADMIN,
    "identity:delete_registered_limit": ADMIN,
    "identity:create_limits": ADMIN,
    "identity:list_limits": DOMAIN_READER_OR_OWNER,
    "identity:get_limit": DOMAIN_READER_OR_OWNER,
    "identity:update_limit": ADMIN,
    "identity:delete_limit": ADMIN,
    "identity:create_region": ADMIN,
    "identity:list_regions": ANYBODY,
    "identity:get_region": ANYBODY,
    "identity:update_region": ADMIN,
    "identity:delete_region": ADMIN,
}
