"""Rules of policies of quality of service: what is accepted and what is shown. Paths:
/v2.0/qos/policies/{id}/bandwidth_limit_rules and …/dscp_marking_rules. And what kinds of rules there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from kumoi.base.errors import NotFound
from kumoi.cloud.api.network import body, query, rendering, shapes
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.network import qos_rule as domain
from kumoi.cloud.domain.network.qos_rule import EGRESS, QosRuleRequest
from kumoi.cloud.store.network.qos_rule import QosKind, QosRule
from kumoi.engine import audit
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

DIRECTIONS = (EGRESS, "ingress")
NO_MARKS = frozenset({2, 4, 6, 42, 44, 50, 52, 54})
"""Even numbers up to 56 that are of no class of service."""
Kbps = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
FIELDS = {
    QosKind.BANDWIDTH_LIMIT: ("max_kbps", "max_burst_kbps", "direction"),
    QosKind.DSCP_MARKING: ("dscp_mark",),
}
ALL_RULES = frozenset({"all_rules", "all_supported"})


class BandwidthLimitChanges(Body):
    max_kbps: Kbps | Unset = UNSET
    max_burst_kbps: Kbps | Unset = UNSET
    direction: Text | Unset = UNSET


class BandwidthLimitNew(BandwidthLimitChanges, kw_only=True):
    max_kbps: Kbps
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET


class DscpMarkingChanges(Body):
    dscp_mark: int | Unset = UNSET


class DscpMarkingNew(DscpMarkingChanges, kw_only=True):
    dscp_mark: int
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET


SHAPES: dict[QosKind, tuple[type[Body], type[Body]]] = {
    QosKind.BANDWIDTH_LIMIT: (BandwidthLimitNew, BandwidthLimitChanges),
    QosKind.DSCP_MARKING: (DscpMarkingNew, DscpMarkingChanges),
}


@dataclass(frozen=True, slots=True)
class RuleHandlers:
    """The five handlers of the rules of one kind."""

    kind: QosKind

    @property
    def word(self) -> str:
        return f"{self.kind}_rule"

    def create(self, request: Request) -> Reply:
        values = _values(fields_set(body.one(request, self.word, SHAPES[self.kind][0])))
        for name in ("project_id", "tenant_id"):
            values.pop(name, None)  # It is its policy's.
        if self.kind is QosKind.BANDWIDTH_LIMIT:
            values = {"direction": EGRESS, "max_burst_kbps": 0, **values}
        wanted, now = QosRuleRequest(kind=self.kind, **values), request.services.clock.now()
        with request.write() as connection:
            row = domain.create(connection, request.caller, request.path["id"], wanted, now)
            audit.about(row.id)
        return Reply(201, {self.word: _render(row)})

    def index(self, request: Request) -> Reply:
        query.require_known(request, ("id", *FIELDS[self.kind]))
        with request.read() as connection:
            rows = domain.of_policy(connection, request.caller, request.path["id"], self.kind)
        wanted = {name: request.query_all(name) for name in ("id", *FIELDS[self.kind])}
        shown = [
            rendering.only(request, _render(row))
            for row in rows
            if all(not some or str(getattr(row, name)) in some for name, some in wanted.items())
        ]
        return Reply(200, {f"{self.word}s": shown})

    def show(self, request: Request) -> Reply:
        with request.read() as connection:
            row = domain.get(
                connection, request.caller, request.path["id"], self.kind, request.path["key"]
            )
        return Reply(200, {self.word: rendering.only(request, _render(row))})

    def update(self, request: Request) -> Reply:
        values = _values(fields_set(body.one(request, self.word, SHAPES[self.kind][1])))
        key, now = request.path["key"], request.services.clock.now()
        with request.write() as connection:
            before = domain.get(connection, request.caller, request.path["id"], self.kind, key)
            row = domain.update(connection, request.caller, before, values, now)
            audit.about(row.id)
        return Reply(200, {self.word: _render(row)})

    def delete(self, request: Request) -> Reply:
        key, now = request.path["key"], request.services.clock.now()
        with request.write() as connection:
            row = domain.get(connection, request.caller, request.path["id"], self.kind, key)
            domain.delete(connection, request.caller, row, now)
            audit.about(key)
        return Reply(204)


def types(request: Request) -> Reply:
    """The kinds of rules that there are; all are carried out, whatever is asked."""
    query.require_known(request, ("type", *ALL_RULES))
    wanted = request.query_all("type")
    shown = [{"type": kind.value} for kind in QosKind if not wanted or kind in wanted]
    return Reply(200, {"rule_types": shown})


def show_type(request: Request) -> Reply:
    key = request.path["id"]
    if key not in set(QosKind):
        raise NotFound(
            "QoS rule type",
            key,
            kind="QosRuleTypeNotFound",
            message=f"QoS rule type {key} could not be found.",
        )
    return Reply(200, {"rule_type": {"type": key, "drivers": [_driver(QosKind(key))]}})


def within(row: QosRule) -> Shown:
    """As its policy shows it."""
    return {**_render(row), "qos_policy_id": row.qos_policy_id, "type": row.kind}


def _driver(kind: QosKind) -> Shown:
    """As Neutron tells of a driver, by each attribute of a rule and what it may be."""
    numbers = {"parameter_type": "range", "parameter_values": {"start": 0, "end": 2**31 - 1}}
    told: dict[str, Shown] = {
        "max_kbps": numbers,
        "max_burst_kbps": numbers,
        "direction": {"parameter_type": "choices", "parameter_values": list(DIRECTIONS)},
        "dscp_mark": {"parameter_type": "choices", "parameter_values": _marks()},
    }
    parameters = [{"parameter_name": name, **told[name]} for name in FIELDS[kind]]
    return {"name": "ovn", "supported_parameters": parameters}


def _values(values: dict[str, Any]) -> dict[str, Any]:
    body.convert(values, "direction", lambda name, text: shapes.one_of(name, text, DIRECTIONS))
    if "dscp_mark" in values and values["dscp_mark"] not in _marks():
        raise shapes.invalid("dscp_mark", f"'{values['dscp_mark']}' is not in {_marks()}")
    return values


def _marks() -> list[int]:
    return [mark for mark in range(0, 57, 2) if mark not in NO_MARKS]


def _render(row: QosRule) -> Shown:
    return {"id": row.id, **{name: getattr(row, name) for name in FIELDS[QosKind(row.kind)]}}
