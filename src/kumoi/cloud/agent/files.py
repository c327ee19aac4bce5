"""The host's own copy of what is wanted of it: a file per thing, `<kind>/<id>.json`.

Read when the agent starts, so that a host reboots into the right state with the control plane gone.
A thing stays byte for byte as it was told, and words of the file that this release does not know
stay too: an agent that goes back to an older release and forward again has lost nothing. A file that
cannot be read counts as not there: the control plane tells again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from kumoi.base import files, log
from kumoi.base.files import Promise
from kumoi.cloud.agent.hearing import WantedThing
from kumoi.cloud.hostapi.things import Message, ThingKey, read_all


class ThingFiles:
    """Used by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self) -> dict[ThingKey, WantedThing]:
        return {one.key: one for one in self._read_all()}

    def save(self, wanted: WantedThing) -> None:
        """On disk when this returns, all of it or the one before."""
        path = self._path(wanted.key)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        files.replace(path, _encode(wanted), promise=Promise.OLD_OR_NEW)

    def forget(self, key: ThingKey) -> None:
        self._path(key).unlink(missing_ok=True)

    def _read_all(self) -> Iterator[WantedThing]:
        for path in sorted(self._directory.glob("*/*.json")):
            try:
                yield _decode(path.read_bytes())
            except FileNotFoundError:
                continue  # Forgotten meanwhile, by an agent beside whom somebody only looks.
            except msgspec.DecodeError as error:
                log.failure("wanted.unreadable", error, file=f"{path.parent.name}/{path.name}")

    def _path(self, key: ThingKey) -> Path:
        if not key.is_proper:
            raise ValueError(key)  # Never a path of somebody else's making.
        return self._directory / key.kind / f"{key.id}.json"


class ThingFile(Message, frozen=True, kw_only=True):
    """Of a file; `rest` of a WantedThing are all others."""

    thing: msgspec.Raw
    fault: str = ""
    unlisted: bool = False


def _encode(wanted: WantedThing) -> bytes:
    words = msgspec.json.decode(
        msgspec.json.encode(
            ThingFile(thing=msgspec.Raw(wanted.raw), fault=wanted.fault, unlisted=wanted.unlisted)
        ),
        type=dict[str, msgspec.Raw],
    )
    return msgspec.json.encode(dict(wanted.rest) | words)


def _decode(content: bytes) -> WantedThing:
    """Raises DecodeError."""
    words = msgspec.json.decode(content, type=ThingFile)
    every = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    ((raw, told),) = read_all([words.thing])
    if told is None:
        raise msgspec.DecodeError("it does not say which thing it is about")
    return WantedThing(
        told=told,
        raw=raw,
        fault=words.fault,
        unlisted=words.unlisted,
        rest={name: raw for name, raw in every.items() if name not in ThingFile.__struct_fields__},
    )
