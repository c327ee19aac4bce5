"""`kumoi token`: the keys that sign the cloud's tokens, and their rotation."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from rich.table import Table

from kumoi.base.clock import Clock
from kumoi.cli import choice, cloud_store
from kumoi.cli.output import console, say
from kumoi.cloud.api.serve import signing_keys
from kumoi.cloud.domain.identity import signing_key
from kumoi.cloud.domain.identity.signing_key import KeyLifetime
from kumoi.cloud.store.identity.signing_key import SigningKeys

ACTIONS = {
    "list": "the keys, what each does, and until when",
    "rotate": "publish a new key, which signs a minute later; nobody is logged out",
}


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, about in ACTIONS.items():
        example = f"example: sudo ./kumoi token {name}"
        action = actions.add_parser(name, help=about, description=about, epilog=example)
        choice.add_to(action)


def run(args: argparse.Namespace) -> int:
    cloud, host = choice.existing(args)
    with cloud_store.opened(cloud, host) as database:
        keys = signing_keys(cloud, host, database)
        return list_(keys) if args.action == "list" else rotate(keys)


def list_(keys: SigningKeys) -> int:
    table = Table("Key", "Made", "Does")
    now = Clock().now()
    for span in signing_key.spans(keys.load()):
        table.add_row(span.key.id, _time(span.key.made_at), does(span, now))
    console().print(table)
    return 0


def rotate(keys: SigningKeys) -> int:
    new = signing_key.rotate(keys, Clock().now())
    say(f"key {new.key.id} is published and signs from {_time(new.signs_from)} on")
    for span in signing_key.spans(keys.load())[:-1]:
        say(f"key {span.key.id} is accepted until {_time(span.accepted_until)}, then removed")
    return 0


def does(span: KeyLifetime, now: datetime) -> str:
    """What the key does now, in words."""
    if now < span.signs_from:
        return f"is accepted, and signs from {_time(span.signs_from)} on"
    if span.signs_until is None or now < span.signs_until:
        return "signs"
    if span.accepted_until is None or now < span.accepted_until:
        return f"is accepted until {_time(span.accepted_until)}"
    return "has expired"


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
