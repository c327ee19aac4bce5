"""A second kind of thing, for tests: a note that is to lie on a host as a file. Both sides of it, each
one file's worth, as a real kind would be: rows and reports here, files there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Permanent
from kumoi.cloud.domain.host.thing import ThingKind, not_here
from kumoi.cloud.hostapi.messages import Strict
from kumoi.cloud.hostapi.things import Message, NotUnderstood, Thing, ThingReport, raw
from kumoi.cloud.store.host import host as host_store

NOTE = "note"
TOO_LONG = 100


class NoteSpec(Strict, frozen=True, kw_only=True):
    text: str


class NoteStatus(Message, frozen=True, kw_only=True):
    length: int


# The control plane's side.

note = sa.Table(
    "note",
    sa.MetaData(),
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("host_id", sa.String(64)),
    sa.Column("generation", sa.Integer),
    sa.Column("text", sa.String(200)),
    sa.Column("absent", sa.Boolean),
    sa.Column("length", sa.Integer),
    sa.Column("fault", sa.String(300)),
)


def want(connection: Connection, host_id: str, note_id: str, text: str | None) -> None:
    """A text, or None for no note."""
    mine = note.c.id == note_id
    known = connection.execute(sa.select(note.c.generation).where(mine)).scalar()
    values = {"generation": (known or 0) + 1, "text": text or "", "absent": text is None}
    if known is None:
        connection.execute(sa.insert(note).values(id=note_id, host_id=host_id, **values))
    else:
        connection.execute(sa.update(note).where(mine).values(**values))
    host_store.touch_thing(connection, host_id, NOTE, note_id)


def row(connection: Connection, note_id: str) -> Any:
    return connection.execute(sa.select(note).where(note.c.id == note_id)).first()


def _things(connection: Connection, *where: Any) -> list[Thing]:
    return [
        Thing(
            kind=NOTE,
            id=item.id,
            generation=item.generation,
            absent=item.absent,
            spec=raw(NoteSpec(text=item.text)),
        )
        for item in connection.execute(sa.select(note).where(*where))
    ]


def _on_host(connection: Connection, host_id: str) -> list[Thing]:
    return _things(connection, note.c.host_id == host_id)


def _several(connection: Connection, host_id: str, ids: Sequence[str]) -> list[Thing]:
    return _things(connection, note.c.host_id == host_id, note.c.id.in_(ids))


def _says_news(_connection: Connection, _host_id: str, report: ThingReport) -> bool:
    if not report.absent and not report.fault:
        _length(report)
    return True


def _take(connection: Connection, host_id: str, report: ThingReport, _now: datetime) -> None:
    known = row(connection, report.id)
    mine = note.c.id == report.id
    if known is None or known.host_id != host_id:
        not_here(connection, host_id, report)
    elif report.generation != known.generation:
        return
    elif report.absent:
        connection.execute(sa.delete(note).where(mine))
    elif report.fault:
        connection.execute(sa.update(note).where(mine).values(fault=report.fault))
    else:
        connection.execute(sa.update(note).where(mine).values(length=_length(report), fault=""))


def _length(report: ThingReport) -> int:
    try:
        return msgspec.json.decode(report.status, type=NoteStatus).length
    except msgspec.DecodeError as error:
        raise NotUnderstood(str(error)) from error


CONTROL_KIND = ThingKind(NOTE, _on_host, _several, _says_news, _take)


# The host's side.


class NoteKind:
    name = NOTE

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)

    def read(self, thing: Thing) -> tuple[str, str]:
        try:
            return thing.id, msgspec.json.decode(thing.spec, type=NoteSpec).text
        except msgspec.DecodeError as error:
            raise NotUnderstood(str(error)) from error

    def announce(self, spec: tuple[str, str]) -> None:
        """Nothing can start early."""

    def list_all(self) -> Mapping[str, str]:
        return {path.name: path.read_text() for path in self.directory.iterdir()}

    def observe(self, thing_id: str, spec: tuple[str, str] | None) -> str | None:  # noqa: ARG002 - the contract's
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / thing_id).read_text()
        return None

    def plan(self, spec: tuple[str, str], seen: str | None) -> Sequence[str]:
        return () if seen == spec[1] else (f"write {spec[1]}",)

    def is_prepared(self, spec: tuple[str, str], actions: Sequence[str]) -> bool:  # noqa: ARG002 - the contract's
        return True

    async def prepare(self, spec: tuple[str, str], actions: Sequence[str]) -> None:
        """Nothing is needed."""

    def apply(self, spec: tuple[str, str], actions: Sequence[str]) -> None:  # noqa: ARG002 - likewise
        if len(spec[1]) > TOO_LONG:
            raise Permanent("the note is too long")
        (self.directory / spec[0]).write_text(spec[1])

    def delete(self, thing_id: str) -> None:
        (self.directory / thing_id).unlink()

    def take_back(
        self,
        spec: tuple[str, str],
        seen: str | None,
        actions: Sequence[str],  # noqa: ARG002 - likewise
    ) -> None:
        if seen is None:
            (self.directory / spec[0]).unlink(missing_ok=True)

    def status(self, seen: str | None) -> NoteStatus:
        return NoteStatus(length=len(seen or ""))

    def watched_pid(self, seen: str) -> int:  # noqa: ARG002 - likewise
        return 0

    async def tidy(
        self,
        wanted: Callable[[], Collection[tuple[str, str]]],
        seen: Mapping[str, str],
    ) -> None:
        """Nothing lies beside the notes."""

    def tasks(self, wake: Callable[[str], None]) -> Sequence[Coroutine[Any, Any, None]]:  # noqa: ARG002 - likewise
        return ()
