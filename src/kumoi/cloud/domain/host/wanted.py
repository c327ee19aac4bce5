"""What a host is told: its things as they are wanted, each complete in itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.host import prefetch
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.cloud.hostapi.things import GENERATION_LAST, Thing, ThingKey, WantedThings, absent, raw
from kumoi.cloud.store.host import host as host_store
from kumoi.engine import feed
from kumoi.engine.position import Position


def since(connection: Connection, host_id: str, seen: Position, kinds: Kinds) -> WantedThings:
    """What changed after the position; everything where the store does not continue it.

    Images to prefetch are told when there is nothing more urgent.
    """
    now = feed.position(connection)
    if not now.continues(seen):
        return WantedThings(
            epoch=now.epoch,
            revision=max(now.revision, 1),
            complete=True,
            things=[
                raw(one) for kind in kinds.values() for one in kind.on_host(connection, host_id)
            ],
            images=[raw(image) for image in prefetch.images(connection)],
        )
    changes = feed.changes(connection, host_store.topic(host_id), since=seen.revision)
    for_all = feed.changes(connection, host_store.EVERY_HOST, since=seen.revision)
    things = _changed(connection, host_id, changes.keys, kinds)
    images = [] if things and not for_all.keys else prefetch.images(connection)
    return WantedThings(
        epoch=now.epoch,
        revision=_next(changes, for_all),
        complete=False,
        things=[raw(one) for one in things],
        images=[raw(image) for image in images],
    )


def _changed(
    connection: Connection, host_id: str, keys: Iterable[str], kinds: Kinds
) -> list[Thing]:
    """As they are now; those that are not this host's any more are absent."""
    ids: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        name, _, thing_id = key.partition("/")
        ids[name].append(thing_id)
    things = []
    for name, kind in kinds.items():
        mine = kind.several(connection, host_id, ids[name]) if ids[name] else []
        gone = sorted(set(ids[name]) - {one.id for one in mine})
        things += [*mine, *(absent(ThingKey(name, one), GENERATION_LAST) for one in gone)]
    return things


def _next(changes: feed.Changes, for_all: feed.Changes) -> int:
    """Where to go on from: behind both, unless there is more of the first."""
    if len(changes.keys) >= feed.CHANGES_MAX:
        return changes.revision
    return max(changes.revision, for_all.revision)
