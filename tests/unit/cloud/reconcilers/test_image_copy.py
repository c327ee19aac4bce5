"""Copies of images, with the real store and real files; other hosts are played."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.image import files
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.cloud.reconcilers.image_copy import ImageCopies
from kumoi.cloud.store.image import image
from kumoi.cloud.store.image.image import Image
from kumoi.cloud.store.schema import metadata
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.hosts.cluster.copy_plan import CopyKind, CopyName, CopyState, Wanted
from kumoi.members import cloud_database

CONTENT = bytes(range(256)) * 4_000
SHA = hashlib.sha256(CONTENT).hexdigest()
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@dataclass
class Peer:
    """Another host, which sends so much at most in all and then is gone."""

    host: str
    content: bytes = CONTENT
    most: int = 1 << 40
    asked: list[int] = field(default_factory=list)

    def image(self, _sha256: str, begin: int) -> Iterator[bytes]:
        self.asked.append(begin)
        end = min(begin + self.most, len(self.content))
        for at in range(begin, end, 65_536):
            yield self.content[at : min(at + 65_536, end)]
        if end < len(self.content):
            raise Transient(f"{self.host} is gone")


@dataclass
class Place:
    directory: Path
    database: Database

    @property
    def copies(self) -> ImageCopies:
        return ImageCopies(self.database, ImageFiles(self.directory), 1 << 30)

    def take(self, *peers: Peer) -> CopyState:
        return self.copies.take(SHA, Wanted(), peers)  # type: ignore[arg-type]

    def left(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()} - {files.LOCK}

    def name(self, sha256: str) -> None:
        row = Image(
            id="i1", name="x", status="active", visibility="private", owner="p",
            container_format="bare", disk_format="raw", content_format="raw", min_disk=0, min_ram=0,
            size=1, virtual_size=1, checksum=None, sha512=None, sha256=sha256, protected=False,
            os_hidden=False, created_at=NOW, updated_at=NOW,
        )  # fmt: skip
        with self.database.write() as connection:
            image.insert(connection, row)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    host = HostSettings(state_dir=str(tmp_path))
    host.store_dir.mkdir()
    made = Database(cloud_database(CloudSettings(), host), wake_dir=host.wake_dir)
    metadata.create_all(made.engine)
    return Place(host.image_dir, made)


def test_an_image_is_wanted_while_a_row_names_it_and_here_when_it_is_whole(place: Place) -> None:
    place.name(SHA)
    assert set(place.copies.wanted()) == {CopyName(CopyKind.IMAGE, SHA)}
    assert not place.copies.here()
    place.take(Peer("two"))
    assert set(place.copies.here()) == {CopyName(CopyKind.IMAGE, SHA)}
    assert (place.directory / SHA).read_bytes() == CONTENT


def test_where_one_host_is_gone_another_goes_on_from_there(place: Place) -> None:
    place.name(SHA)
    two, three = Peer("two", most=500_000), Peer("three")
    place.take(two, three)
    assert (two.asked, three.asked) == ([0], [500_000])
    assert (place.directory / SHA).read_bytes() == CONTENT


def test_what_came_as_another_content_is_taken_from_each_alone(place: Place) -> None:
    place.name(SHA)
    broken = Peer("two", content=CONTENT[:-1] + b"!")
    place.take(broken, Peer("three"))
    assert (place.directory / SHA).read_bytes() == CONTENT
    assert place.left() == {SHA}


@pytest.mark.parametrize(
    "peers",
    [
        [Peer("two", most=9)],
        [Peer("two", content=b"other")],
        [Peer("two", most=9), Peer("three", most=9)],
        [],
    ],
)
def test_what_nobody_gives_whole_leaves_nothing(place: Place, peers: list[Peer]) -> None:
    place.name(SHA)
    with pytest.raises(Transient, match="nobody who answers has it whole"):
        place.take(*peers)
    assert place.left() == set()


def test_a_full_disk_is_said_and_leaves_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.name(SHA)
    monkeypatch.setattr(files, "leaves_reserve", lambda *_: False)
    with pytest.raises(Transient, match="not enough disk space"):
        place.take(Peer("two"))
    assert place.left() == set()


def test_an_image_that_was_deleted_meanwhile_is_not_kept(place: Place) -> None:
    place.take(Peer("two"))
    assert place.left() == set()


def test_a_file_goes_with_the_last_row_that_names_it_and_never_before(place: Place) -> None:
    place.name(SHA)
    place.take(Peer("two"))
    place.copies.remove(SHA, CopyState())
    assert place.left() == {SHA}
    with place.database.write() as connection:
        image.delete(connection, "i1")
    place.copies.remove(SHA, CopyState())
    assert place.left() == set()


def test_what_a_killed_unit_was_taking_goes_at_its_next_start(place: Place) -> None:
    place.name(SHA)
    place.directory.mkdir(exist_ok=True)
    (place.directory / f"{files.DRAFT}dead").write_bytes(CONTENT[:10])
    place.copies.prepare()
    assert place.left() == set()
