"""Configuration of domains: which options there are.

Keystone reads from it how a domain's users are looked up. Here all users are in the cloud's own store:
what is set is kept and shown, and has no effect. A password that is set is kept but never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden, Invalid, NotFound
from kumoi.cloud.domain.identity import domain
from kumoi.cloud.store.identity import domain_config as store

Config = Mapping[str, Mapping[str, Any]]

DEFAULTS: Config = {
    "identity": {"driver": "sql", "list_limit": None},
    "ldap": {
        "url": "ldap://localhost",
        "user": None,
        "suffix": "cn=example,cn=com",
        "query_scope": "one",
        "page_size": 0,
        "user_tree_dn": None,
        "user_filter": None,
        "user_objectclass": "inetOrgPerson",
        "user_id_attribute": "cn",
        "user_name_attribute": "sn",
        "user_mail_attribute": "mail",
        "user_pass_attribute": "userPassword",
        "user_enabled_attribute": "enabled",
        "group_tree_dn": None,
        "group_filter": None,
        "group_objectclass": "groupOfNames",
        "group_id_attribute": "cn",
        "group_name_attribute": "ou",
        "group_member_attribute": "member",
        "group_desc_attribute": "description",
        "tls_cacertfile": None,
        "use_tls": False,
        "tls_req_cert": "demand",
    },
}
HIDDEN = {"ldap": ("password",)}


def defaults(group: str | None = None, option: str | None = None) -> Mapping[str, Any]:
    """Raises NotFound for what is no option."""
    found = _part(DEFAULTS, group, option)
    if not found:
        raise NotFound("option of a domain", "/".join(filter(None, (group, option))))
    return found


def require_compliance(
    connection: Connection, domain_id: str, option: str | None, told: Mapping[str, Any]
) -> None:
    """Raises NotFound for the domain, Forbidden for an option that is not told."""
    domain.get(connection, domain_id)
    if option is not None and option not in told:
        raise Forbidden(f"The option {option} of security_compliance is not for everybody to read.")


def get(
    connection: Connection, domain_id: str, group: str | None = None, option: str | None = None
) -> Mapping[str, Any]:
    """Without what is hidden. Raises NotFound for what is not set, Forbidden for what is no option."""
    domain.get(connection, domain_id)
    _require_known(group, option)
    kept = _visible(store.get(connection, domain_id))
    found = _part(kept, group, option)
    if not found:
        raise NotFound("domain configuration", "/".join(filter(None, (domain_id, group, option))))
    return found


def put(connection: Connection, domain_id: str, given: Config) -> tuple[bool, Mapping[str, Any]]:
    """In place of what is set; whether it is new, and what is shown of it."""
    domain.get(connection, domain_id)
    _require_valid(given)
    is_new = not store.get(connection, domain_id)
    store.put(connection, domain_id, {group: dict(options) for group, options in given.items()})
    return is_new, _visible(given)


def update(
    connection: Connection,
    domain_id: str,
    given: Mapping[str, Any],
    group: str | None = None,
    option: str | None = None,
) -> Mapping[str, Any]:
    """What is named changes, the rest stays. Gives the whole. Raises NotFound where a group or an option is
    named that is not set.
    """
    domain.get(connection, domain_id)
    _require_known(group, option)
    if group is not None and option is not None and group not in given:
        given = {group: given}  # An option comes without its group.
    _require_valid(given)
    if group is not None and set(given) != {group}:
        raise Invalid(f"The body is to name the group {group} and no other", field="config")
    if option is not None and group is not None and set(given[group]) != {option}:
        raise Invalid(f"The body is to name the option {option} and no other", field="config")
    kept = {name: dict(options) for name, options in store.get(connection, domain_id).items()}
    if group is not None and not _part(kept, group, option):
        raise NotFound("domain configuration", f"{domain_id}/{group}")
    for name, options in given.items():
        kept.setdefault(name, {}).update(options)
    store.put(connection, domain_id, kept)
    return _visible(kept)


def delete(
    connection: Connection, domain_id: str, group: str | None = None, option: str | None = None
) -> None:
    """Raises NotFound for what is not set."""
    get(connection, domain_id, group, option)
    kept = {name: dict(options) for name, options in store.get(connection, domain_id).items()}
    if group is None:
        kept = {}
    elif option is None:
        del kept[group]
    else:
        del kept[group][option]
    store.put(connection, domain_id, {name: options for name, options in kept.items() if options})


def _part(config: Config, group: str | None, option: str | None) -> Mapping[str, Any]:
    """All of it, a group under its name, or an option under its own."""
    if group is None:
        return config
    options = config.get(group, {})
    if option is None:
        return {group: options} if options else {}
    return {option: options[option]} if option in options else {}


def _visible(config: Config) -> dict[str, dict[str, Any]]:
    return {
        group: {name: value for name, value in options.items() if name not in HIDDEN.get(group, ())}
        for group, options in config.items()
    }


def _require_valid(given: Mapping[str, Any]) -> None:
    if not given or not all(isinstance(options, dict) and options for options in given.values()):
        raise Invalid("A configuration has a group, and a group has options", field="config")
    for group, options in given.items():
        for option in options:
            _require_known(group, option)


def _require_known(group: str | None, option: str | None) -> None:
    if group is None:
        return
    known = (*DEFAULTS.get(group, ()), *HIDDEN.get(group, ()))
    if not known:
        raise Forbidden(f"Group {group} is not supported for domain specific configurations")
    if option is not None and option not in known:
        raise Forbidden(
            f"Option {option} in group {group} is not supported for domain specific configurations"
        )
