"""The host's own copy of what is wanted of it: a file per thing, `<kind>/<id>.json`.

Read when the agent starts, so that a host reboots into the right state with the control plane gone.
A thing stays byte for byte as it was received, and words of the file that this release does not know
stay too: an agent that goes back to an older release and forward again has lost nothing. A file that
cannot be read counts as not there: the control plane sends the thing again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from kumoi.base import files, log
from kumoi.base.files import Promise
from kumoi.cloud.agent.hearing import WantedThing
from kumoi.cloud.hostapi.things import Message, ThingKey, read_all

WANTED_DIR = "wanted"  # Below the agent's directory.


class ThingFiles:
    """Used by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self) -> dict[ThingKey, WantedThing]:
        things = {}
        for path in sorted(self._directory.glob("*/*.json")):
            try:
                wanted = _decode(path.read_bytes())
                things[wanted.key] = wanted
            except FileNotFoundError:
                continue  # Removed meanwhile, by the agent beside which `kumoi status` looks.
            except msgspec.DecodeError as error:
                log.failure("wanted.unreadable", error, file=f"{path.parent.name}/{path.name}")
        return things

    def save(self, wanted: WantedThing) -> None:
        """When this returns the new content is on disk; a crash before leaves the one before."""
        known = ThingFile(
            thing=msgspec.Raw(wanted.raw), fault=wanted.fault, unlisted=wanted.unlisted
        )
        content = msgspec.json.encode(dict(wanted.unknown) | msgspec.structs.asdict(known))
        path = self._path(wanted.key)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        files.replace(path, content, promise=Promise.OLD_OR_NEW)

    def forget(self, key: ThingKey) -> None:
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: ThingKey) -> Path:
        if not key.is_proper:
            raise ValueError(key)  # A name from outside never becomes a path.
        return self._directory / key.kind / f"{key.id}.json"


class ThingFile(Message, frozen=True, kw_only=True):
    """The words of a file that this release knows; a WantedThing's `unknown` are the others."""

    thing: msgspec.Raw
    fault: str = ""
    unlisted: bool = False


def _decode(content: bytes) -> WantedThing:
    """Raises DecodeError."""
    known = msgspec.json.decode(content, type=ThingFile)
    words = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    ((raw, thing),) = read_all([known.thing])
    if thing is None:
        raise msgspec.DecodeError("it does not say which thing it is about")
    return WantedThing(
        thing=thing,
        raw=raw,
        fault=known.fault,
        unlisted=known.unlisted,
        unknown={
            name: word for name, word in words.items() if name not in ThingFile.__struct_fields__
        },
    )
