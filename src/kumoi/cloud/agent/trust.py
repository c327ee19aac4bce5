"""Whether the control plane still knows what it had placed here.

One that lost its store, or was put back to an older copy of it, does not know things whose only
disks are on this host, and would have them removed with everything else that nobody wants. So the
host remembers what epoch of a store it listened to and how far. While it doubts, what is not known stays as
it is. That ends when the control plane knows it all again, or when an operator removes the file.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from kumoi.base import files, log
from kumoi.base.files import Promise
from kumoi.cloud.hostapi.things import Message, Wanted


class Trust(Message, frozen=True, kw_only=True):
    """The state of the store that was listened to, how far, and whether it is doubted."""

    epoch: str = ""
    revision: int = 0
    doubted: bool = False

    def after(self, wanted: Wanted, *, complete: bool, unknown: int) -> Trust:
        """`unknown` is how many things of this host a list does not name; it counts against the
        control plane when the list is complete.
        """
        went_back = wanted.complete and wanted.revision < self.revision
        doubted = self.doubted or self._is_other(wanted) or went_back
        if doubted and (unknown or not complete):
            return msgspec.structs.replace(self, doubted=True)
        return Trust(epoch=wanted.epoch, revision=wanted.revision)

    def why(self, wanted: Wanted) -> str:
        """In words for an operator."""
        what = "began anew" if self._is_other(wanted) else "went back to an earlier state"
        return f"its store {what}; things that it does not know stay until the file is removed"

    def _is_other(self, wanted: Wanted) -> bool:
        return bool(self.epoch) and wanted.epoch != self.epoch


class TrustFile:
    """Where it is kept."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> Trust:
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=Trust)
        except (FileNotFoundError, msgspec.DecodeError):
            return Trust()

    def write(self, trust: Trust) -> None:
        """A revision that is lost makes us doubt a little later."""
        try:
            files.replace(self.file, msgspec.json.encode(trust), promise=Promise.KILL)
        except OSError as error:
            log.failure("trust.not_kept", error)
