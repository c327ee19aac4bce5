"""Whether the control plane still knows what it had placed here.

One that lost its store, or was put back to an older copy of it, does not know servers whose only
disks are on this host, and would have them removed with everything else that nobody wants. So the
host remembers which store it listened to and how far. While it doubts, what is not known stays as
it is. That ends when the control plane knows it all again, or when an operator removes the file.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from kumoi.base import log
from kumoi.cloud.hostapi.messages import Message, Wanted


class Known(Message, frozen=True, kw_only=True):
    store: str = ""
    revision: int = 0
    doubted: bool = False


class Trust:
    """Used inside the event loop only."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = _read(file)

    @property
    def doubted(self) -> bool:
        return self._known.doubted

    def hear(self, wanted: Wanted, *, unknown: int) -> None:
        """`unknown` is how many servers of this host a complete list does not name."""
        known = self._known
        is_other = bool(known.store) and wanted.store != known.store
        went_back = wanted.complete and wanted.revision < known.revision
        doubted = known.doubted or is_other or went_back
        if wanted.complete and not unknown:
            doubted = False
        if doubted and (wanted.complete or not known.doubted):
            log.warning("control_plane.doubted", why=_why(is_other), kept=unknown, file=self._file)
        if doubted:
            heard = msgspec.structs.replace(known, doubted=True)
        else:
            heard = Known(store=wanted.store or known.store, revision=wanted.revision)
        if heard != known:
            self._known = heard
            self._write()

    def _write(self) -> None:
        """A revision that is lost makes us doubt a little later."""
        part = self._file.with_suffix(".part")
        try:
            part.write_bytes(msgspec.json.encode(self._known))
            part.replace(self._file)
        except OSError as error:
            log.failure("trust.not_kept", error)


def _why(is_other: bool) -> str:
    what = "is another one" if is_other else "went back to an earlier state"
    return f"its store {what}; servers that it does not know stay until the file is removed"


def _read(file: Path) -> Known:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Known)
    except (FileNotFoundError, msgspec.DecodeError):
        return Known()
