"""How the cloud's first host orders other machines to have a part of the control plane, while `cluster create`
runs there: what they say and are told, by order_channel.py.

The authorities' keys go this way, so only those machines that are meant are answered.
"""

from __future__ import annotations

import enum
import ssl
from collections.abc import Mapping

import msgspec

from kumoi.hosts.cluster import order_channel
from kumoi.hosts.cluster.order_channel import Order, OrderListener, Report


class ControlStep(enum.StrEnum):
    """How far a machine is, or is to go."""

    NONE = "none"  # It only runs servers.
    MEMBERS = "members"  # With members of the stores and of OVN's databases.
    ROLES = "roles"  # With APIs and workers too.


class ControlReport(Report, frozen=True, kw_only=True):
    reached: ControlStep


class ControlOrder(Order, frozen=True, kw_only=True):
    """`cloud` is the text of cloud.toml, `roles` are those beside the host's own, `files` lie below the state
    directory.
    """

    step: ControlStep = ControlStep.NONE
    cloud: str = ""
    roles: list[str] = msgspec.field(default_factory=list)
    files: Mapping[str, bytes] = msgspec.field(default_factory=dict)


class ControlListener(OrderListener[ControlReport, ControlOrder]):
    def __init__(self, cloud_name: str, keys: Mapping[str, str]) -> None:
        super().__init__(
            cloud_name,
            keys,
            reports=ControlReport,
            orders=ControlOrder,
            unmeant="is not to have the control plane",
        )


def ask(address: str, tls: ssl.SSLContext, report: ControlReport) -> ControlOrder:
    """Raises Transient when nobody orders anything there, and Conflict where this host is not meant."""
    what = "what this host is to have of the control plane"
    return order_channel.ask(address, tls, report, orders=ControlOrder, what=what)
