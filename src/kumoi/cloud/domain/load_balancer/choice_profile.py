"""Profiles of flavors and availability zones: what is allowed. Administrators make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import capability
from kumoi.cloud.domain.load_balancer.refusal import not_found
from kumoi.cloud.store.load_balancer import choice as choice_store
from kumoi.cloud.store.load_balancer import choice_profile as store
from kumoi.cloud.store.load_balancer.choice_profile import ChoiceProfile
from kumoi.cloud.store.network.standard import NetworkQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceProfileRequest:
    name: str
    provider_name: str
    data: str


@dataclass(frozen=True, slots=True)
class ChoiceProfileRules:
    """`noun` is the one in refusals."""

    kind: str
    noun: str

    def create(
        self, connection: Connection, _caller: Caller, wanted: ChoiceProfileRequest, now: datetime
    ) -> ChoiceProfile:
        """Raises Invalid, Unsupported."""
        capability.require_provider(wanted.provider_name)
        capability.read(self.kind, wanted.data)
        row = ChoiceProfile(
            id=new_id(),
            kind=self.kind,
            name=wanted.name,
            provider_name=wanted.provider_name,
            data=wanted.data,
            created_at=now,
            updated_at=now,
        )
        store.insert(connection, row)
        return row

    def get(self, connection: Connection, _caller: Caller, key: str) -> ChoiceProfile:
        """Raises NotFound."""
        row = store.get(connection, key)
        if row is None or row.kind != self.kind:
            raise not_found(self.noun, key)
        return row

    def page(
        self, connection: Connection, _caller: Caller, query: NetworkQuery
    ) -> list[ChoiceProfile]:
        return store.page(connection, self.kind, query)

    def update(
        self,
        connection: Connection,
        caller: Caller,
        key: str,
        values: Mapping[str, Any],
        now: datetime,
    ) -> ChoiceProfile:
        """What it says stays while something is chosen by it. Raises NotFound, Conflict, Invalid."""
        self.get(connection, caller, key)
        if values.keys() & {"provider_name", "data"}:
            self._require_unused(connection, key)
        if "provider_name" in values:
            capability.require_provider(values["provider_name"])
        if "data" in values:
            capability.read(self.kind, values["data"])
        store.update(connection, key, **values, updated_at=now)
        return self.get(connection, caller, key)

    def delete(self, connection: Connection, caller: Caller, key: str, now: datetime) -> None:  # noqa: ARG002 - as every noun's
        self.get(connection, caller, key)
        self._require_unused(connection, key)
        store.delete(connection, key)

    def _require_unused(self, connection: Connection, key: str) -> None:
        if choice_store.find(connection, profile_id=key):
            raise Conflict(f"{self.noun} {key} is in use and cannot be modified.")


FLAVORS = ChoiceProfileRules(choice_store.FLAVOR, "Flavor Profile")
ZONES = ChoiceProfileRules(choice_store.ZONE, "Availability Zone Profile")
