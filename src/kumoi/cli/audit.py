"""`kumoi audit`: who changed what, in the cloud and in the pipeline. No API shows it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kumoi import members
from kumoi.base.errors import Invalid
from kumoi.cli import choice
from kumoi.cli.output import one_line, say, say_json
from kumoi.engine import audit
from kumoi.engine.db import Database

LINES = 50
LOOK_EVERY_S = 0.5
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
FILTERS = {
    "user": "initiator_id",
    "project": "initiator_project_id",
    "action": "action",
    "request": "request_id",
    "target": "target_id",
    "outcome": "outcome",
}


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    for name in FILTERS:
        parser.add_argument(f"--{name}", help=f"only of this {name}")
    parser.add_argument(
        "--since", help="only what is newer: 90s, 15m, 2h, 7d, or a time of ISO 8601"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is added")
    parser.add_argument("-n", "--lines", type=int, default=LINES, help=f"default: {LINES}")
    parser.add_argument("--json", action="store_true", help="a CADF event a line")


def run(args: argparse.Namespace) -> int:
    """With --follow it ends by Ctrl-C only."""
    cloud, host = choice.existing(args)
    urls = (members.cloud_database(cloud, host), members.pipeline_database(cloud, host))
    databases = [Database(url, wake_dir=host.wake_dir) for url in urls]
    filters = {column: getattr(args, name) for name, column in FILTERS.items()}
    wanted = {column: value for column, value in filters.items() if value is not None}
    trail = Trail(databases, wanted, _since(args.since, datetime.now(UTC)))
    for event in trail.last(args.lines):
        _print(event, as_json=args.json)
    while args.follow:
        time.sleep(LOOK_EVERY_S)
        for event in trail.newer():
            _print(event, as_json=args.json)
    return 0


class Trail:
    """The records of several stores with these values of columns, in the order of time."""

    def __init__(
        self, databases: Sequence[Database], columns: Mapping[str, str], since: datetime | None
    ) -> None:
        self._databases = databases
        self._columns = columns
        self._since = since
        self._seen = [0] * len(databases)  # The newest sequence number read from each.

    def last(self, count: int) -> list[dict[str, Any]]:
        """The newest records, oldest first."""
        found = self._read(count)
        return found[-count:] if count > 0 else []

    def newer(self) -> list[dict[str, Any]]:
        """The records that were added since the last call."""
        return self._read(None)

    def _read(self, count: int | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for number, database in enumerate(self._databases):
            with database.read() as connection:
                after = self._seen[number]
                newest = audit.newest(connection)
                rows = audit.find(
                    connection, self._columns, since=self._since, after=after, last=count
                )
                self._seen[number] = rows[-1]["sequence"] if count is None and rows else newest
            found += audit.events(rows)
        return sorted(found, key=lambda event: str(event["eventTime"]))


def _since(text: str | None, now: datetime) -> datetime | None:
    """The time that --since names. Raises Invalid."""
    if text is None:
        return None
    try:
        if text[:-1].isdecimal() and text[-1] in UNITS:
            return now - timedelta(seconds=int(text[:-1]) * UNITS[text[-1]])
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as cause:
        raise Invalid(f"--since takes 90s, 15m, 2h, 7d or a time, not {text}") from cause


def _print(event: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json(msgspec.to_builtins(event), indent=None)
        return
    who, target, reason = event["initiator"], event["target"], event["reason"]
    words = (
        event["eventTime"],
        f"{event['outcome']}{f' {code}' if (code := reason['reasonCode']) else ''}",
        event["action"],
        f"{target['typeURI']} {target['id']}".strip(),
        f"by {who['id'] or 'nobody known'}",
        f"in {who['project_id']}" if who["project_id"] else "",
        f"from {who['host']['address']}",
        event["request_id"],
        f"and {event['repeated']} more like it" if event["repeated"] else "",
    )
    say(one_line("  ".join(word for word in words if word)))
