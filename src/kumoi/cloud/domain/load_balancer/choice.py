"""Flavors and availability zones of load balancers: what is allowed. Administrators make them, and
whoever makes a balancer chooses: a flavor by its id, a zone by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import capability, choice_profile
from kumoi.cloud.domain.load_balancer.capability import ProfileData
from kumoi.cloud.domain.load_balancer.choice_profile import ChoiceProfileRules
from kumoi.cloud.domain.load_balancer.refusal import invalid, not_found
from kumoi.cloud.store.load_balancer import choice as store
from kumoi.cloud.store.load_balancer import load_balancer as balancer_store
from kumoi.cloud.store.load_balancer.choice import BalancerChoice
from kumoi.cloud.store.network.standard import NetworkQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRequest:
    name: str
    profile_id: str
    description: str = ""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ChoiceRules:
    """`key` is the column that the API knows it by, `column` that of a balancer that has it."""

    kind: str
    noun: str
    key: str
    column: str
    profiles: ChoiceProfileRules

    def create(
        self, connection: Connection, caller: Caller, wanted: ChoiceRequest, now: datetime
    ) -> BalancerChoice:
        """Raises Invalid for a profile that is not there, Conflict for a name that is taken."""
        self._require_free(connection, wanted.name)
        try:
            self.profiles.get(connection, caller, wanted.profile_id)
        except NotFound as cause:
            raise invalid(f"Invalid {self.kind}_profile_id.") from cause
        row = BalancerChoice(
            id=new_id(),
            kind=self.kind,
            name=wanted.name,
            description=wanted.description,
            enabled=wanted.enabled,
            profile_id=wanted.profile_id,
            created_at=now,
            updated_at=now,
        )
        store.insert(connection, row)
        return row

    def get(self, connection: Connection, _caller: Caller, key: str) -> BalancerChoice:
        """Raises NotFound."""
        found = store.find(connection, kind=self.kind, **{self.key: key})
        if not found:
            raise not_found(self.noun, key)
        return found[0]

    def page(
        self, connection: Connection, _caller: Caller, query: NetworkQuery
    ) -> list[BalancerChoice]:
        return store.page(connection, self.kind, query)

    def update(
        self,
        connection: Connection,
        caller: Caller,
        key: str,
        values: Mapping[str, Any],
        now: datetime,
    ) -> BalancerChoice:
        """Raises NotFound, Conflict."""
        row = self.get(connection, caller, key)
        if values.get("name", row.name) != row.name:
            self._require_free(connection, values["name"])
        store.update(connection, row.id, **values, updated_at=now)
        return self.get(connection, caller, key)

    def delete(self, connection: Connection, caller: Caller, key: str, now: datetime) -> None:  # noqa: ARG002 - as every noun's
        """Raises NotFound, Conflict while a balancer has it."""
        row = self.get(connection, caller, key)
        if balancer_store.has_any(connection, **{self.column: key}):
            raise Conflict(f"{self.noun} {key} is in use and cannot be modified.")
        store.delete(connection, row.id)

    def chosen(self, connection: Connection, caller: Caller, key: str) -> ProfileData:
        """What it means to choose that. Raises Invalid."""
        try:
            row = self.get(connection, caller, key)
        except NotFound as cause:
            raise invalid(f"Invalid {self.column}.", self.column) from cause
        if not row.enabled:
            raise invalid(
                f"The selected {self.column} is not allowed in this deployment: {key}", self.column
            )
        profile = self.profiles.get(connection, caller, row.profile_id)
        return capability.read(self.kind, profile.data)

    def _require_free(self, connection: Connection, name: str) -> None:
        if store.find(connection, kind=self.kind, name=name):
            raise Conflict(f"A {self.noun.lower()} of {name} already exists.")


FLAVORS = ChoiceRules(store.FLAVOR, "Flavor", "id", "flavor_id", choice_profile.FLAVORS)
ZONES = ChoiceRules(
    store.ZONE, "Availability Zone", "name", "availability_zone", choice_profile.ZONES
)
