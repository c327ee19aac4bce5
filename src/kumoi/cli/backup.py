"""`kumoi backup FILE`: the control plane's state as it was at one moment, in one file.

Roles, pushes and uploads go on meanwhile. Both stores are read as of one moment, in which nobody
wrote; in the same moment every image's file gets a second name, under the lock by which images are
added and removed, so that every image that the store names is in the backup. Repositories are
copied after the stores: git may have more pushes than the store, which then begins their runs, but
not fewer. A host's own files (servers' disks) are not in the backup, nor is what can be made again
from the rest. docs/design/0013 says why.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from kumoi import __version__, config, members
from kumoi.base import trees
from kumoi.base.clock import Clock
from kumoi.base.errors import Permanent
from kumoi.cli import choice
from kumoi.cli.output import OperatorConsole, say_json
from kumoi.cli.progress import Progress
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.cloud.store import migrate as cloud_migrate
from kumoi.cloud.store.migrations import FOLDER as CLOUD_MIGRATIONS
from kumoi.cloud.store.tables import metadata as cloud_tables
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import copy
from kumoi.engine.copy import Store, StoreCopy
from kumoi.engine.db import Database
from kumoi.hosts import backup_file
from kumoi.hosts.backup_file import Manifest, StoreFacts
from kumoi.pipeline import git
from kumoi.pipeline.repositories import Repositories
from kumoi.pipeline.store import migrate as pipeline_migrate
from kumoi.pipeline.store.migrations import FOLDER as PIPELINE_MIGRATIONS
from kumoi.pipeline.store.tables import metadata as pipeline_tables

STAGING = ".backup"
DIRECTORIES = ("pki", "passwords")  # Copied file by file.
SETTINGS = (config.CLOUD_FILE, config.HOST_FILE)
STORES, IMAGES, REPOSITORIES = "stores", "images", "git"
SPARE_BYTES = 16 << 20


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument(
        "file", metavar="FILE", help="a new file; what is there is not written over"
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    cloud, host = choice.existing(args)
    target = Path(args.file).absolute()
    progress = Progress(OperatorConsole(stderr=True, quiet=True)) if args.json else Progress()
    with choice.alone(cloud, host):
        manifest = make(cloud, host, target, progress)
    if args.json:
        say_json(summary(target, manifest))
    else:
        progress.say(f"{len(manifest.parts)} parts, {manifest.bytes >> 20} MiB. To restore it:")
        progress.say(f"  sudo ./kumoi restore{choice.words(cloud, host)} {target}")
    return 0


def stores(cloud: CloudSettings, host: HostSettings) -> list[Store]:
    """The cloud's and the pipeline's, in this order."""
    return [
        Store(
            "cloud",
            members.cloud_database(cloud, host),
            cloud_tables,
            CLOUD_MIGRATIONS,
            cloud_migrate.upgrade,
        ),
        Store(
            "pipeline",
            members.pipeline_database(cloud, host),
            pipeline_tables,
            PIPELINE_MIGRATIONS,
            pipeline_migrate.upgrade,
        ),
    ]


def summary(file: Path, manifest: Manifest) -> dict[str, object]:
    return {
        "file": str(file),
        "cloud": manifest.cloud,
        "release": manifest.release,
        "made_at": manifest.made_at,
        "bytes": manifest.bytes,
        "parts": len(manifest.parts),
        "stores": {
            name: {"migration": store.migration, "epoch": store.epoch, "revision": store.revision}
            for name, store in manifest.stores.items()
        },
    }


def make(cloud: CloudSettings, host: HostSettings, target: Path, progress: Progress) -> Manifest:
    """Write the backup. Raises Conflict when the file is there, Permanent when there is no room."""
    _require_room(host, target)
    with staging(host.state / STAGING) as folder:
        with progress.stage("stores, image files"):
            made_at = Clock().now().isoformat(timespec="seconds")
            copies = _copy_stores_and_images(cloud, host, folder)
        with progress.stage("pushed repositories") as stage:
            stage.note(f"{_bundle_repositories(host, folder)} packed")
        parts = [*_files_below(folder), *_settings_and_secrets(host)]
        total = sum(path.stat().st_size for _, path in parts)
        with progress.stage(f"write {target.name}") as stage:
            counter = counted(total, stage.tell)
            with backup_file.written(target, counter) as writer:
                for name, path in parts:
                    writer.add(name, path)
                facts = {
                    name: StoreFacts(
                        migration=copied.migration, epoch=copied.epoch, revision=copied.revision
                    )
                    for name, copied in copies.items()
                }
                manifest = Manifest(
                    format=backup_file.FORMAT,
                    release=__version__,
                    cloud=cloud.name,
                    state_dir=host.state_dir,
                    made_at=made_at,
                    stores=facts,
                    parts=writer.parts,
                )
                writer.finish(manifest)
            stage.note(f"{total >> 20} MiB")
    return manifest


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A temporary directory at that path; one that a killed command left there is removed."""
    trees.remove(folder)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        trees.remove(folder)


def counted(total: int, tell: Callable[[str], None]) -> Callable[[int], None]:
    """A function that is called with each number of bytes written, and tells of their sum."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        tell(f"{done >> 20} of {total >> 20} MiB")

    return more


def _copy_stores_and_images(
    cloud: CloudSettings, host: HostSettings, folder: Path
) -> dict[str, StoreCopy]:
    """Copies of both stores, and second names of all images' files, of the same moment."""
    (folder / STORES).mkdir()
    (folder / IMAGES).mkdir()
    both = stores(cloud, host)
    with contextlib.ExitStack() as opened:
        databases = []
        for store in both:
            database = Database(store.url, wake_dir=host.wake_dir)
            opened.callback(database.close)
            databases.append(database)
        files = ImageFiles(host.image_dir)
        with contextlib.ExitStack() as images:
            images.enter_context(files.lock())

            def link_images() -> None:
                files.link_all(folder / IMAGES)
                images.close()

            with copy.frozen(databases, link_images) as connections:
                return {
                    store.name: copy.save(connection, store, folder / STORES / f"{store.name}.db")
                    for store, connection in zip(both, connections, strict=True)
                }


def _bundle_repositories(host: HostSettings, folder: Path) -> int:
    """How many were bundled. An empty repository is left out: its first push makes it again."""
    bundled = 0
    for path in Repositories(host).paths():
        into = folder / REPOSITORIES / path.parent.name / f"{path.stem}.bundle"
        into.parent.mkdir(parents=True, exist_ok=True)
        bundled += git.save(path, into)
    return bundled


def _settings_and_secrets(host: HostSettings) -> list[tuple[str, Path]]:
    """Settings, certificates, keys and passwords. Their writers replace each file as a whole, so
    they can be read at any time.
    """
    found = [(path.name, path) for path in (host.state / name for name in SETTINGS)]
    for name in DIRECTORIES:
        below = _files_below(host.state / name)
        found += [(f"{name}/{inner}", path) for inner, path in below]
    return found


def _files_below(top: Path) -> list[tuple[str, Path]]:
    """The files below a directory, by their relative path; drafts are left out."""
    return [
        (str(path.relative_to(top)), path)
        for path in sorted(top.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]


def _require_room(host: HostSettings, target: Path) -> None:
    """Raises Permanent when the file, or the copies made before it, would not fit on their disks."""
    copies = _size(host.state / REPOSITORIES)
    copies += sum(_size(path) for path in host.state.glob("*/*.db*"))
    whole = copies + _size(host.image_dir)
    if not target.parent.is_dir():
        raise Permanent(f"{target.parent} is no directory")
    same_disk = host.state.stat().st_dev == target.parent.stat().st_dev
    for folder, needed in ((target.parent, whole + copies * same_disk), (host.state, copies)):
        free = shutil.disk_usage(folder).free
        if free < needed + SPARE_BYTES:
            raise Permanent(
                f"{folder} has {free >> 20} MiB free, and the backup needs up to "
                f"{(needed + SPARE_BYTES) >> 20} MiB there"
            )


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
