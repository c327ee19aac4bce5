"""Reports of hosts on their things, whatever the kind. A report that is not understood, because of
its kind or of a word in it, is logged and dropped; the others are not harmed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.cloud.hostapi.things import NotUnderstood, ThingReport


def read_all(host_id: str, raws: Iterable[msgspec.Raw]) -> list[ThingReport]:
    """The reports that can be decoded."""
    reports = []
    for raw in raws:
        try:
            reports.append(msgspec.json.decode(raw, type=ThingReport))
        except msgspec.DecodeError as error:
            log.failure("report.not_understood", error, host=host_id)
    return reports


def take(
    connection: Connection, host_id: str, report: ThingReport, now: datetime, kinds: Kinds
) -> None:
    """Write what the report says to the thing's row."""
    kinds[report.kind].take(connection, host_id, report, now)


def says_news(connection: Connection, host_id: str, report: ThingReport, kinds: Kinds) -> bool:
    """Whether the report is understood, and `take` would change anything."""
    try:
        if report.kind not in kinds:
            raise NotUnderstood(f"there is no kind of thing called {report.kind}")
        return kinds[report.kind].says_news(connection, host_id, report)
    except NotUnderstood as error:
        log.failure("report.not_understood", error, host=host_id, thing=str(report.key))
        return False
