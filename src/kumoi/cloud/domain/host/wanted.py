"""The wanted state of a host: its things as they should be, each complete in itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec
from sqlalchemy.engine import Connection

from kumoi.cloud.domain.host import prefetch, witness
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.cloud.hostapi.things import GENERATION_LAST, Thing, ThingKey, WantedThings, absent, raw
from kumoi.cloud.store.host import host as host_store
from kumoi.engine import feed
from kumoi.engine.position import Position


def since(connection: Connection, host_id: str, seen: Position, kinds: Kinds) -> WantedThings:
    """What changed after the position; or everything, where the position is not of this store's epoch.

    The images to prefetch are sent when no thing is, so that they delay none.
    """
    now = feed.position(connection)
    if not now.continues(seen):
        return WantedThings(
            epoch=now.epoch,
            revision=max(now.revision, 1),
            complete=True,
            things=[
                raw(thing) for kind in kinds.values() for thing in kind.on_host(connection, host_id)
            ],
            images=[raw(image) for image in prefetch.images(connection)],
            questions=_questions(connection, host_id),
        )
    changes = feed.changes(connection, host_store.topic(host_id), since=seen.revision)
    for_all = feed.changes(connection, host_store.EVERY_HOST, since=seen.revision)
    things = _changed(connection, host_id, changes.keys, kinds)
    images = [] if things and not for_all.keys else prefetch.images(connection)
    revision = changes.revision  # Where the host continues: after both, unless there is more.
    if len(changes.keys) < feed.CHANGES_MAX:
        revision = max(revision, for_all.revision)
    return WantedThings(
        epoch=now.epoch,
        revision=revision,
        complete=False,
        things=[raw(thing) for thing in things],
        images=[raw(image) for image in images],
        questions=_questions(connection, host_id),
    )


def _questions(connection: Connection, host_id: str) -> list[msgspec.Raw]:
    return [raw(question) for question in witness.questions(connection, host_id)]


def _changed(
    connection: Connection, host_id: str, keys: Iterable[str], kinds: Kinds
) -> list[Thing]:
    """The things with these keys as they should be; absent where they are not this host's any more."""
    ids: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        name, _, thing_id = key.partition("/")
        ids[name].append(thing_id)
    things = []
    for name, kind in kinds.items():
        present = kind.several(connection, host_id, ids[name]) if ids[name] else []
        missing = sorted(set(ids[name]) - {thing.id for thing in present})
        things += present
        things += [absent(ThingKey(name, thing_id), GENERATION_LAST) for thing_id in missing]
    return things
