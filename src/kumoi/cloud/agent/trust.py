"""Whether the control plane still knows what it had placed here.

One that lost its store, or was put back to an older copy of it, does not know things whose only
disks are on this host, and would have them removed with everything else that nobody wants. So the
host remembers what epoch of a store it listened to and how far. While it doubts, what is not known stays as
it is. That ends when the control plane knows it all again, or when an operator removes the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from kumoi.base import files, log
from kumoi.base.files import Promise
from kumoi.cloud.hostapi.things import Message, WantedThings


class _TrustWords(Message, frozen=True, kw_only=True):
    """Of the file; `rest` of a Trust are all others."""

    epoch: str = ""
    revision: int = 0
    doubted: bool = False


class Trust(_TrustWords, frozen=True, kw_only=True):
    """The state of the store that was listened to, how far, and whether it is doubted. `rest` are
    words of its file that we do not know.
    """

    rest: Mapping[str, msgspec.Raw] = msgspec.field(default_factory=dict)

    def after(self, wanted: WantedThings, *, complete: bool, unknown: int) -> Trust:
        """`unknown` is how many things of this host a list does not name; it counts against the
        control plane when the list is complete.
        """
        went_back = wanted.complete and wanted.revision < self.revision
        doubted = self.doubted or self._is_other(wanted) or went_back
        if doubted and (unknown or not complete):
            return msgspec.structs.replace(self, doubted=True)
        return Trust(epoch=wanted.epoch, revision=wanted.revision, rest=self.rest)

    def why(self, wanted: WantedThings) -> str:
        """In words for an operator."""
        what = "began anew" if self._is_other(wanted) else "went back to an earlier state"
        return f"its store {what}; things that it does not know stay until the file is removed"

    def _is_other(self, wanted: WantedThings) -> bool:
        return bool(self.epoch) and wanted.epoch != self.epoch


class TrustFile:
    """Where it is kept."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> Trust:
        try:
            return _decode(self.file.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return Trust()

    def write(self, trust: Trust) -> None:
        """A revision that is lost makes us doubt a little later."""
        try:
            files.replace(self.file, _encode(trust), promise=Promise.KILL)
        except OSError as error:
            log.failure("trust.not_kept", error)


def _encode(trust: Trust) -> bytes:
    words = {name: getattr(trust, name) for name in _TrustWords.__struct_fields__}
    return msgspec.json.encode(dict(trust.rest) | words)


def _decode(content: bytes) -> Trust:
    """Raises DecodeError."""
    words = msgspec.json.decode(content, type=_TrustWords)
    every = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    rest = {name: raw for name, raw in every.items() if name not in _TrustWords.__struct_fields__}
    return Trust(epoch=words.epoch, revision=words.revision, doubted=words.doubted, rest=rest)
