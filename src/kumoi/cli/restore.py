"""`kumoi restore FILE`: brings a cloud's state back from a backup.

The whole file is checked and made ready beside the present state, so that a backup which cannot be
restored changes nothing. Then the present state is moved aside, where it stays until somebody
removes it; a command that is killed in between leaves a note, by which `up` refuses to start half a
cloud. Servers are not touched: those that run go on, and a host keeps those that the store does not
know.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from kumoi import __version__, config
from kumoi.base import files, trees
from kumoi.base.clock import Clock
from kumoi.base.errors import Conflict, Invalid, Permanent, UserError
from kumoi.base.release import numbers
from kumoi.cli import choice
from kumoi.cli.backup import (
    DIRECTORIES,
    IMAGES,
    REPOSITORIES,
    SETTINGS,
    SPARE_BYTES,
    STORES,
    counted,
    staging,
    stores,
    summary,
)
from kumoi.cli.output import OperatorConsole, say_json
from kumoi.cli.progress import Progress
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import copy
from kumoi.engine.copy import Store
from kumoi.hosts import backup_file
from kumoi.hosts.backup_file import Manifest
from kumoi.hosts.install import packages
from kumoi.hosts.units import keeper, running, table
from kumoi.pipeline import git
from kumoi.pipeline.repositories import Repositories

STAGING = ".restore"
ASIDE = "before-restore-"


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument("file", metavar="FILE", help="what `kumoi backup` wrote")
    parser.add_argument("--yes", action="store_true", help="stop the cloud's roles, if they run")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    path = Path(args.file).absolute()
    manifest = backup_file.read_manifest(path)
    cloud, host = choice.chosen(args)
    _require_ours(manifest, cloud)
    choice.require_ours(cloud, host)
    _require_stopped(cloud, host, may_stop=args.yes)
    packages.ensure(("git",))
    progress = Progress(OperatorConsole(stderr=True, quiet=True)) if args.json else Progress()
    with _state_directory(host), choice.alone(cloud, host):
        aside = restore(path, manifest, cloud, host, progress)
    if args.json:
        say_json({**summary(path, manifest), "aside": str(aside or "")})
        return 0
    progress.say(f"The cloud {cloud.name} is as it was at {manifest.made_at}.")
    progress.say(f"Start it: sudo ./kumoi up{choice.words(cloud, host)}")
    if aside:
        progress.say(f"What was there before is in {aside}; remove it when all is well.")
    return 0


def restore(
    path: Path, manifest: Manifest, cloud: CloudSettings, host: HostSettings, progress: Progress
) -> Path | None:
    """The directory to which the former state was moved; None when there was none."""
    _require_room(manifest, host)
    with staging(host.state / STAGING) as folder:
        with progress.stage("check and unpack") as stage:
            tell = counted(manifest.bytes, stage.tell)
            backup_file.unpack(path, manifest, folder / "parts", tell)
            stage.note(f"{len(manifest.parts)} parts, {manifest.bytes >> 20} MiB")
        with progress.stage("stores, repositories, settings"):
            restored, fresh = _make_ready(folder, host)
        with progress.stage("stop roles"):
            keeper.stop_roles(cloud, host)
        with progress.stage("put it in place"):
            return _exchange(host, restored, fresh, folder / "parts" / STORES)


def _require_ours(manifest: Manifest, cloud: CloudSettings) -> None:
    if numbers(manifest.release) > numbers(__version__):
        raise Invalid(
            f"the backup is of release {manifest.release}, newer than {__version__}: "
            "restore it with that one"
        )
    if manifest.cloud != cloud.name:
        raise Invalid(f"this is a backup of the cloud {manifest.cloud}: --name {manifest.cloud}")


def _require_stopped(cloud: CloudSettings, host: HostSettings, *, may_stop: bool) -> None:
    """Raises Conflict while roles run that may not be stopped. Engines go on: they follow the
    store.
    """
    engines = {unit.name for unit in table.engines(cloud, host)}
    found = running.found(host.state_dir)
    roles = [process.name for process in found if process.name not in engines]
    if roles and not may_stop:
        raise Conflict(
            f"the cloud {cloud.name} runs ({', '.join(sorted(roles))}): "
            "`restore --yes` stops these first, and servers go on"
        )


def _require_room(manifest: Manifest, host: HostSettings) -> None:
    """Raises Permanent. Repositories need their size twice: as bundles and as what they unpack to."""
    bundles = sum(part.size for part in manifest.parts if part.name.startswith(f"{REPOSITORIES}/"))
    needed = manifest.bytes + bundles + SPARE_BYTES
    free = shutil.disk_usage(host.state).free
    if free < needed:
        raise Permanent(
            f"{host.state} has {free >> 20} MiB free, and restoring needs {needed >> 20} MiB: "
            "what is there stays beside it"
        )


@contextlib.contextmanager
def _state_directory(host: HostSettings) -> Iterator[None]:
    """Makes the state directory; an error inside removes it again, where it was not there before."""
    made = not host.state.exists()
    host.state.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if made:
            trees.remove(host.state)
        raise


def _make_ready(folder: Path, host: HostSettings) -> tuple[list[Store], Path]:
    """The stores of the restored cloud, and a directory with the restored content of its state
    directory. Raises Invalid when a part is missing or not what it should be.
    """
    parts, fresh = folder / "parts", folder / "fresh"
    fresh.mkdir(mode=0o700)
    for name in (*SETTINGS, *DIRECTORIES, IMAGES):
        if (parts / name).exists():
            (parts / name).rename(fresh / name)
    cloud = config.read(CloudSettings, fresh).settings
    saved_host = config.read(HostSettings, fresh).settings
    restored_host = config.changed(saved_host, state_dir=host.state_dir)
    config.write(restored_host, fresh)
    restored = stores(cloud, restored_host)
    for store in restored:
        copied = parts / STORES / f"{store.name}.db"
        if not copied.exists():
            raise Invalid(f"the backup has no {store.name} store in it")
        copy.make_ready(copied, store)
        if store.url.startswith("sqlite"):
            (fresh / store.name).mkdir()
            copied.rename(fresh / store.name / copied.name)
    for bundle in sorted((parts / REPOSITORIES).glob("*/*.bundle")):
        into = fresh / REPOSITORIES / bundle.parent.name / f"{bundle.stem}.git"
        Repositories(restored_host).ensure_bare(into)
        git.load(into, bundle)
    return restored, fresh


def _exchange(host: HostSettings, restored: list[Store], fresh: Path, copies: Path) -> Path | None:
    """Move the former state aside and the restored one in its place, then load stores in
    PostgreSQL. An error undoes it.
    """
    stamp = Clock().now().strftime("%Y%m%dT%H%M%S")
    aside = host.state / f"{ASIDE}{stamp}"
    aside.mkdir(mode=0o700)
    note = choice.unfinished_restore(host)
    files.replace(note, f"what was there is in {aside}", promise=files.Promise.NEW)
    moves: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        source.rename(target)
        moves.append((source, target))

    try:
        for old in _replaced(host.state):
            move(old, aside / old.name)
        for new in sorted(fresh.iterdir()):
            move(new, host.state / new.name)
        files.sync(host.state)
        for store in restored:
            if not store.url.startswith("sqlite"):
                copy.load(copies / f"{store.name}.db", store)
    except BaseException as cause:
        for source, target in reversed(moves):
            target.rename(source)
        aside.rmdir()
        note.unlink()
        if isinstance(cause, Exception) and not isinstance(cause, UserError | Permanent):
            raise Permanent("the backup could not be put in place; nothing is changed") from cause
        raise
    note.unlink()
    if any(aside.iterdir()):
        return aside
    aside.rmdir()
    return None


def _replaced(state: Path) -> list[Path]:
    """All that a backup has. Of the stores it is the whole directory: a journal that SQLite left
    beside the old store would be played back into the new one.
    """
    names = [*SETTINGS, *DIRECTORIES, IMAGES, REPOSITORIES, "cloud", "pipeline"]
    return [state / name for name in names if (state / name).exists()]
