"""What a release plays of itself in the tests of an upgrade: `python -m tests.upgrade.play WORD …`.

The tests of the next release call this file as it is now, out of git's history: its words and their
arguments stay what they are, and only this release's insides may be used behind them. Roles that
need neither Open vSwitch nor containers are started as themselves (`kumoi.main role api`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kumoi
from kumoi import config, members
from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.ids import new_hex_id
from kumoi.cloud.agent.serve import serve_drivers
from kumoi.cloud.drivers.instance.fake import FakeDriver
from kumoi.cloud.drivers.network.fake import FakeNorthbound
from kumoi.cloud.store.migrate import upgrade
from kumoi.cloud.store.migrations import FOLDER
from kumoi.cloud.worker import serve_with
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import schema_check
from kumoi.engine.db import Database
from kumoi.engine.loop import Poke
from kumoi.hosts.first_use import passwords, pki

PUBLIC = "127.205.0.0/24"  # Loopback: nothing is prepared for it, and nothing leaves the machine.
UNDERLAY = "127.206.0.0/28"


def where(_args: argparse.Namespace) -> None:
    """Which code this is."""
    sys.stdout.write(f"{Path(kumoi.__file__).resolve()}\n")


def version(_args: argparse.Namespace) -> None:
    sys.stdout.write(f"{kumoi.__version__}\n")


def prepare(args: argparse.Namespace) -> None:
    """A state directory as `up` leaves it: settings, passwords, certificates."""
    directory: Path = args.directory
    cloud = CloudSettings(
        name="upgrade",
        public_cidr=PUBLIC,
        underlay_cidr=UNDERLAY,
        api_port=args.ports[0],
        host_api_port=args.ports[1],
        pipeline_port=args.ports[2],
    )
    host = config.first_host(cloud, str(directory))
    for needed in (host.run_dir, host.log_dir, host.image_dir):
        needed.mkdir(parents=True, exist_ok=True)
    config.write(cloud, directory)
    config.write(host, directory)
    passwords.ensure(host)
    pki.ensure(cloud, host, datetime.now(UTC))


def settle(args: argparse.Namespace) -> None:
    """What `up` of this release does to the settings and certificates of another one's."""
    cloud, host = _settings(args.directory)
    config.write(cloud, args.directory)
    config.write(host, args.directory)
    passwords.ensure(host)
    pki.ensure(cloud, host, datetime.now(UTC))


def schema(args: argparse.Namespace) -> None:
    """An empty database with the tables of this release's migrations."""
    upgrade(args.url)


def agent(args: argparse.Namespace) -> None:
    """The host's agent with servers that are only remembered: to it the host has just booted."""
    log.set_up("agent")
    cloud, host = _settings(args.directory)
    host.agent_dir.mkdir(parents=True, exist_ok=True)
    driver = FakeDriver(host_boot=new_hex_id())
    drivers = {driver.name: driver}
    asyncio.run(
        _until_told(
            serve_drivers(cloud, host, Clock(), drivers=drivers, host_boot=driver.host_boot)
        )
    )


def worker(args: argparse.Namespace) -> None:
    """The reconcilers, with a network that is only remembered; on stores that it can bear."""
    log.set_up("worker")
    cloud, host = _settings(args.directory)
    database = Database(members.cloud_database(cloud, host), wake_dir=host.wake_dir)
    with database.read() as connection:
        schema_check.require(connection, FOLDER)
    engine = FakeNorthbound()
    asyncio.run(
        _until_told(serve_with(cloud, host, database, Clock(), northbound=engine, plugged=Poke()))
    )


async def _until_told(serving: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(serving)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _settings(directory: Path) -> tuple[CloudSettings, HostSettings]:
    cloud, host = config.read(CloudSettings, directory), config.read(HostSettings, directory)
    return cloud.settings, host.settings


def main() -> None:
    parser = argparse.ArgumentParser()
    words = parser.add_subparsers(required=True)
    for play in (where, version, prepare, settle, schema, agent, worker):
        word = words.add_parser(play.__name__)
        word.set_defaults(play=play)
        if play is schema:
            word.add_argument("url")
        elif play not in (where, version):
            word.add_argument("directory", type=Path)
        if play is prepare:
            word.add_argument("ports", type=int, nargs=3, help="API, host API, pipeline")
    args = parser.parse_args()
    args.play(args)


if __name__ == "__main__":
    main()
