"""Whether the control plane still knows the things that it had placed on this host.

A control plane that lost its store, or whose store was restored from an older copy, does not know
things whose only disks are on this host, and would have the host remove them. So the host remembers
the epoch of the store and the last revision that it received. While it doubts the store, things that
the control plane does not name stay as they are. The doubt ends when the control plane names them
all again, or when an operator removes the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from kumoi.base import files, log
from kumoi.base.files import Promise
from kumoi.cloud.hostapi.things import Message, WantedThings

TRUST_FILE = "control-plane.json"  # In the agent's directory.


class TrustRecord(Message, frozen=True, kw_only=True):
    """The words of the file that this release knows: the epoch and the revision of the store that
    were received last, and whether the store is doubted.
    """

    epoch: str = ""
    revision: int = 0
    doubted: bool = False


class Trust(TrustRecord, frozen=True, kw_only=True):
    """With `unknown`, the words of the file that this release does not know: they are kept."""

    unknown: Mapping[str, msgspec.Raw] = msgspec.field(default_factory=dict)

    def after(self, wanted: WantedThings, *, complete: bool, unnamed: int) -> Trust:
        """The trust once `wanted` was received. `unnamed` is how many things of this host it does not
        name, which counts when it is `complete`.
        """
        went_back = wanted.complete and wanted.revision < self.revision
        doubted = self.doubted or self._is_other(wanted) or went_back
        if doubted and (unnamed or not complete):
            return msgspec.structs.replace(self, doubted=True)
        return Trust(epoch=wanted.epoch, revision=wanted.revision, unknown=self.unknown)

    def why(self, wanted: WantedThings) -> str:
        """Why the store is doubted, for an operator."""
        what = "began anew" if self._is_other(wanted) else "went back to an earlier state"
        return f"its store {what}; things that it does not know stay until the file is removed"

    def _is_other(self, wanted: WantedThings) -> bool:
        return bool(self.epoch) and wanted.epoch != self.epoch


class TrustFile:
    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> Trust:
        """An unreadable file is as good as none: nothing is doubted yet."""
        try:
            content = self.file.read_bytes()
            known = msgspec.json.decode(content, type=TrustRecord)
            words = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        except (FileNotFoundError, msgspec.DecodeError):
            return Trust()
        names = TrustRecord.__struct_fields__
        unknown = {name: word for name, word in words.items() if name not in names}
        return Trust(**msgspec.structs.asdict(known), unknown=unknown)

    def write(self, trust: Trust) -> None:
        """A revision that could not be written makes the host doubt a little later."""
        known = {name: getattr(trust, name) for name in TrustRecord.__struct_fields__}
        content = msgspec.json.encode(dict(trust.unknown) | known)
        try:
            files.replace(self.file, content, promise=Promise.KILL)
        except OSError as error:
            log.failure("trust.not_kept", error)
