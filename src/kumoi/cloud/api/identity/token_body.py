"""The body of a login, and the parts of it that the domain takes."""

from __future__ import annotations

from typing import Annotated

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.identity.rendering import Password
from kumoi.cloud.domain.identity.authentication import NameRef, ScopeRequest
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.request import UNSET, Body, Unset


class DomainRef(Body):
    id: Text | Unset = UNSET
    name: Text | Unset = UNSET


class Ref(Body):
    """A reference by id, or by name and domain."""

    id: Text | Unset = UNSET
    name: Text | Unset = UNSET
    domain: DomainRef | Unset = UNSET

    def reference(self, field: str) -> NameRef:
        """Raises Invalid unless it has an id, or a name with a domain."""
        if self.id is not UNSET:
            return NameRef(id=self.id)
        if self.name is UNSET:
            raise Invalid(f"Expecting to find id or name in {field}.", field=field)
        if self.domain is UNSET:
            raise Invalid(f"Expecting to find domain in {field}.", field=f"{field}.domain")
        domain = _domain(self.domain, f"{field}.domain")
        return NameRef(name=self.name, domain_id=domain.id, domain_name=domain.name)


class PasswordUser(Body):
    password: Password
    id: Text | Unset = UNSET
    name: Text | Unset = UNSET
    domain: DomainRef | Unset = UNSET

    def reference(self) -> NameRef:
        return Ref(id=self.id, name=self.name, domain=self.domain).reference("user")


class PasswordMethod(Body):
    user: PasswordUser


class TokenMethod(Body):
    id: Annotated[str, msgspec.Meta(max_length=65_535)]  # Longer the more roles it says.


class TotpUser(Body):
    passcode: Annotated[str, msgspec.Meta(max_length=64)]
    id: Text | Unset = UNSET
    name: Text | Unset = UNSET
    domain: DomainRef | Unset = UNSET

    def reference(self) -> NameRef:
        return Ref(id=self.id, name=self.name, domain=self.domain).reference("user")


class TotpMethod(Body):
    user: TotpUser


class CredentialMethod(Body):
    secret: Password
    id: Text | Unset = UNSET
    name: Text | Unset = UNSET
    user: Ref | Unset = UNSET

    def reference(self) -> NameRef:
        if self.id is not UNSET:
            return NameRef(id=self.id)
        if self.name is UNSET:
            raise Invalid(
                "Expecting to find id or name in application_credential.",
                field="application_credential",
            )
        return NameRef(name=self.name)

    def owner(self) -> NameRef | None:
        return None if self.user is UNSET else self.user.reference("application_credential.user")


class AuthIdentity(Body):
    methods: Entries[Text]
    password: PasswordMethod | Unset = UNSET
    token: TokenMethod | Unset = UNSET
    application_credential: CredentialMethod | Unset = UNSET
    totp: TotpMethod | Unset = UNSET


class System(Body):
    all: bool


class Empty(Body):
    pass


class TrustRef(Body):
    id: Text


class AuthScope(Body, rename={"trust": "OS-TRUST:trust"}):
    project: Ref | Unset = UNSET
    domain: DomainRef | Unset = UNSET
    system: System | Unset = UNSET
    unscoped: Empty | Unset = UNSET
    trust: TrustRef | Unset = UNSET


class AuthBody(Body):
    identity: AuthIdentity
    scope: AuthScope | Text | Unset = UNSET


class Auth(Body):
    auth: AuthBody


def wanted_scope(scope: AuthScope | str | msgspec.UnsetType) -> ScopeRequest | None:
    """The scope asked for. Raises Invalid for an object that is no scope."""
    if isinstance(scope, msgspec.UnsetType):
        return None
    if isinstance(scope, str):
        if scope != "unscoped":
            raise Invalid(f"'{scope}' is not a scope", field="auth.scope")
        return ScopeRequest(unscoped=True)
    if scope.system is not UNSET:
        if not scope.system.all:
            raise Invalid("The system is one: all must be true", field="auth.scope.system.all")
        return ScopeRequest(system=True)
    named = [scope.project, scope.domain, scope.trust]
    if sum(one is not UNSET for one in named) > 1:
        raise Invalid("Only one of project, domain and trust can be the scope", field="auth.scope")
    return ScopeRequest(
        project=None if scope.project is UNSET else scope.project.reference("project"),
        domain=None if scope.domain is UNSET else _domain(scope.domain, "domain"),
        trust_id=None if scope.trust is UNSET else scope.trust.id,
        unscoped=all(one is UNSET for one in named),
    )


def _domain(domain: DomainRef, field: str) -> NameRef:
    if domain.id is not UNSET:
        return NameRef(id=domain.id)
    if domain.name is not UNSET:
        return NameRef(name=domain.name)
    raise Invalid(f"Expecting to find id or name in {field}.", field=field)
