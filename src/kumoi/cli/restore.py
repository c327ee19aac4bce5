"""`kumoi restore FILE`: a cloud as a backup has it.

The whole file is checked and all of it made ready beside what is there, so that what cannot be
restored changes nothing. Then what is there is moved aside, and stays until somebody removes it; a
command that is killed in between leaves a note, by which `up` refuses to start half a cloud.
Servers are not touched: those that run go on, and their host keeps what the store does not know.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from kumoi import __version__, config
from kumoi.base import files
from kumoi.base.clock import Clock
from kumoi.base.errors import Conflict, Invalid, KumoiError, Permanent
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
from kumoi.cli.progress import Progress
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import copy
from kumoi.engine.copy import Store
from kumoi.hosts import backup_file
from kumoi.hosts.backup_file import Manifest
from kumoi.hosts.install import packages, trees
from kumoi.hosts.units import control, running, table
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
    progress = Progress(Console(stderr=True, quiet=True)) if args.json else Progress()
    with _place_for(host), choice.alone(cloud, host):
        aside = restore(path, manifest, cloud, host, progress)
    if args.json:
        print(json.dumps({**summary(path, manifest), "aside": str(aside or "")}, indent=2))
        return 0
    progress.say(f"The cloud {cloud.name} is as it was at {manifest.made_at}.")
    progress.say(f"Start it: sudo ./kumoi up{choice.words(cloud, host)}")
    if aside:
        progress.say(f"What was there before is in {aside}; remove it when all is well.")
    return 0


def restore(
    path: Path, manifest: Manifest, cloud: CloudSettings, host: HostSettings, progress: Progress
) -> Path | None:
    """Where what was there before is now; None when nothing was."""
    _require_room(manifest, host)
    with staging(host.state / STAGING) as place:
        with progress.stage("check and unpack") as stage:
            tell = counted(manifest.bytes, stage.tell)
            backup_file.unpack(path, manifest, place / "parts", tell)
            stage.note(f"{len(manifest.parts)} parts, {manifest.bytes >> 20} MiB")
        with progress.stage("stores, repositories, settings"):
            restored, fresh = _make_ready(place, host)
        with progress.stage("stop roles"):
            control.stop_roles(cloud, host)
        with progress.stage("put it in place"):
            return _exchange(host, restored, fresh, place / "parts" / STORES)


def _require_ours(manifest: Manifest, cloud: CloudSettings) -> None:
    if numbers(manifest.release) > numbers(__version__):
        raise Invalid(
            f"the backup is of release {manifest.release}, newer than {__version__}: "
            "restore it with that one"
        )
    if manifest.cloud != cloud.name:
        raise Invalid(f"this is a backup of the cloud {manifest.cloud}: --name {manifest.cloud}")


def _require_stopped(cloud: CloudSettings, host: HostSettings, *, may_stop: bool) -> None:
    """Engines may go on: what they do follows the store."""
    engines = {unit.name for unit in table.engines(cloud, host)}
    roles = [one.name for one in running.found(host.state_dir) if one.name not in engines]
    if roles and not may_stop:
        raise Conflict(
            f"the cloud {cloud.name} runs ({', '.join(sorted(roles))}): "
            "`restore --yes` stops these first, and servers go on"
        )


def _require_room(manifest: Manifest, host: HostSettings) -> None:
    """Images and stores are unpacked once, repositories twice for a while."""
    packed = sum(one.size for one in manifest.parts if one.name.startswith(f"{REPOSITORIES}/"))
    needed = manifest.bytes + packed + SPARE_BYTES
    free = shutil.disk_usage(host.state).free
    if free < needed:
        raise Permanent(
            f"{host.state} has {free >> 20} MiB free, and restoring needs {needed >> 20} MiB: "
            "what is there stays beside it"
        )


@contextlib.contextmanager
def _place_for(host: HostSettings) -> Iterator[None]:
    """The state directory; one that had to be made goes again when nothing comes of it."""
    made = not host.state.exists()
    host.state.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if made:
            trees.remove(host.state)
        raise


def _make_ready(place: Path, host: HostSettings) -> tuple[list[Store], Path]:
    """The stores of the restored cloud, and a directory with what will stand in its state
    directory. Raises Invalid when a part is not what it should be.
    """
    parts, fresh = place / "parts", place / "fresh"
    fresh.mkdir(mode=0o700)
    for name in (*SETTINGS, *DIRECTORIES, IMAGES):
        if (parts / name).exists():
            (parts / name).rename(fresh / name)
    cloud = config.read(CloudSettings, fresh).settings
    there = config.read(HostSettings, fresh).settings
    restored = config.changed(there, state_dir=host.state_dir)
    config.write(restored, fresh)
    restored_stores = stores(cloud, restored)
    for one in restored_stores:
        copied = parts / STORES / f"{one.name}.db"
        if not copied.exists():
            raise Invalid(f"the backup has no {one.name} store in it")
        copy.make_ready(copied, one)
        if one.url.startswith("sqlite"):
            (fresh / one.name).mkdir()
            copied.rename(fresh / one.name / copied.name)
    for saved in sorted((parts / REPOSITORIES).glob("*/*.bundle")):
        into = fresh / REPOSITORIES / saved.parent.name / f"{saved.stem}.git"
        Repositories(restored).ensure_bare(into)
        git.load(into, saved)
    return restored_stores, fresh


def _exchange(host: HostSettings, restored: list[Store], fresh: Path, copies: Path) -> Path | None:
    """Old things aside, new ones in their place, then what is in PostgreSQL. What fails is undone."""
    stamp = Clock().now().strftime("%Y%m%dT%H%M%S")
    aside = host.state / f"{ASIDE}{stamp}"
    aside.mkdir(mode=0o700)
    note = choice.unfinished_restore(host)
    files.replace(note, f"what was there is in {aside}", promise=files.Promise.NEW)
    undo: list[tuple[Path, Path]] = []
    try:
        for old in _replaced(host.state):
            _move(old, aside / old.name, undo)
        for new in sorted(fresh.iterdir()):
            _move(new, host.state / new.name, undo)
        files.sync(host.state)
        for one in restored:
            if not one.url.startswith("sqlite"):
                copy.load(copies / f"{one.name}.db", one)
    except BaseException as cause:
        for source, target in reversed(undo):
            target.rename(source)
        aside.rmdir()
        note.unlink()
        if isinstance(cause, Exception) and not isinstance(cause, KumoiError):
            raise Permanent("the backup could not be put in place; nothing is changed") from cause
        raise
    note.unlink()
    if any(aside.iterdir()):
        return aside
    aside.rmdir()
    return None


def _replaced(state: Path) -> list[Path]:
    """All that a backup has, with what SQLite keeps beside a store: an old log would be played back
    into the new one.
    """
    names = [*SETTINGS, *DIRECTORIES, IMAGES, REPOSITORIES, "cloud", "pipeline"]
    return [state / name for name in names if (state / name).exists()]


def _move(source: Path, target: Path, undo: list[tuple[Path, Path]]) -> None:
    source.rename(target)
    undo.append((source, target))
