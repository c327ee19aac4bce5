"""How the cloud's first host tells other machines whose turn it is to go to another release, while `upgrade run` or
`upgrade rollback` runs there: what they say and are told, by order_channel.py.
"""

from __future__ import annotations

import enum
import ssl
from collections.abc import Mapping

import msgspec

from kumoi.hosts.cluster import order_channel
from kumoi.hosts.cluster.order_channel import Order, OrderListener, Report


class UpgradeAction(enum.StrEnum):
    """The command that is called on every machine."""

    RUN = "run"
    ROLLBACK = "rollback"


class UpgradeReport(Report, frozen=True, kw_only=True):
    """`release` is the id of what the machine's host goes to when it is its turn, "" while it does not know; `runs`
    are those that its processes are of.
    """

    action: UpgradeAction
    release: str = ""
    runs: list[str] = msgspec.field(default_factory=list)


class UpgradeOrder(Order, frozen=True, kw_only=True):
    """`release` is the id of what the cloud goes to, `turn` the host whose turn it is; `is_over` when all have had
    theirs.
    """

    release: str = ""
    turn: str = ""
    is_over: bool = False


class UpgradeListener(OrderListener[UpgradeReport, UpgradeOrder]):
    def __init__(self, cloud_name: str, keys: Mapping[str, str], action: UpgradeAction) -> None:
        super().__init__(
            cloud_name,
            keys,
            reports=UpgradeReport,
            orders=UpgradeOrder,
            unmeant="is on no other machine of the cloud that is up",
        )
        self._action = action

    def refusal(self, report: UpgradeReport) -> str:
        if report.action is self._action:
            return ""
        return f"the first host is at `upgrade {self._action}`: call that here"


def ask(address: str, tls: ssl.SSLContext, report: UpgradeReport) -> UpgradeOrder:
    """Raises Transient when nobody orders anything there, and Conflict where this host is not meant."""
    what = "whether it is this host's turn"
    return order_channel.ask(address, tls, report, orders=UpgradeOrder, what=what)
