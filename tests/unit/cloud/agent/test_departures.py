"""A disk goes from one agent to another, over TLS on loopback: all of it, and to nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tests.free_port import free_port

from kumoi.base.clock import Clock
from kumoi.cloud.agent.arrivals import Arrivals
from kumoi.cloud.agent.departures import Departures
from kumoi.cloud.drivers.instance.difference import BLOCK_BYTES
from kumoi.cloud.drivers.instance.fake import FakeDriver
from kumoi.cloud.drivers.instance.interface import ObservedInstance
from kumoi.cloud.hostapi.arrival import Arrival, ArrivalState
from kumoi.cloud.hostapi.messages import Departure, InstanceState
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import pki

CLOUD = CloudSettings(name="t1", southbound_url="ssl:127.0.0.1:6642")
ID = "6f04a590-e910-4720-a682-6d5d9a87d591"
LOOKS_MAX, PAUSE_S = 2_000, 0.01


@dataclass
class Pair:
    """Two hosts' agents, as far as disks go. The first has a server that runs."""

    source: FakeDriver
    target: FakeDriver
    departures: Departures
    arrivals: Arrivals
    keys: dict[str, str]
    port: int

    def spec(self, **changes: object) -> Arrival:
        made = Arrival(
            id=ID,
            generation=3,
            driver="lxc",
            build=0,
            disk_gib=1,
            host="t1-host1",
            address="127.0.0.1",
            port=self.port,
            key_sha256=self.keys["t1-host1"],
        )
        return msgspec.structs.replace(made, **changes)

    def allow(self, host: str = "t1-host2") -> None:
        departure = Departure(host=host, key_sha256=self.keys[host])
        self.departures.leaving[ID] = ("lxc", departure)

    def stop(self) -> None:
        self.source.servers[ID] = ObservedInstance(
            server_id=ID, state=InstanceState.STOPPED, build=0
        )

    async def until(self, what: Callable[[], bool]) -> None:
        for _ in range(LOOKS_MAX):
            if what():
                return
            await asyncio.sleep(PAUSE_S)
        raise TimeoutError


def certificates(directory: Path) -> dict[str, str]:
    """Those of three hosts of one cloud; the hashes of their keys."""
    hosts = [HostSettings(name=f"t1-host{n}", state_dir=str(directory)) for n in (1, 2, 3)]
    pki.ensure(CLOUD, hosts[0], datetime.now(UTC))
    authority = pki.Authority.of(hosts[0].pki_dir)
    assert authority is not None
    subjects = [pki.host_subject("t1", host.name, "127.0.0.1") for host in hosts[1:]]
    pki.ensure_each(hosts[0].pki_dir, authority, subjects, datetime.now(UTC))
    return {host.name: pki.public_key_sha256(pki.read_certificate(host)) for host in hosts}


@contextlib.asynccontextmanager
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    keys, port = certificates(tmp_path), free_port()
    pki_dir = HostSettings(name="t1-host1", state_dir=str(tmp_path)).pki_dir
    source, target = FakeDriver(), FakeDriver()
    source.servers[ID] = ObservedInstance(server_id=ID, state=InstanceState.RUNNING, build=0)
    departures = Departures(
        drivers={"lxc": source},
        address="127.0.0.1",
        pki_dir=pki_dir,
        host_name="t1-host1",
        port=port,
    )
    arrivals = Arrivals(
        drivers={"lxc": target}, pki_dir=pki_dir, host_name="t1-host2", clock=Clock()
    )
    tasks = [
        asyncio.create_task(departures.run()),
        asyncio.create_task(arrivals.run(lambda _: None)),
    ]
    await asyncio.sleep(0)  # Both have begun.
    try:
        yield Pair(source, target, departures, arrivals, keys, port)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_a_disk_is_fetched_while_it_changes_and_its_rest_when_it_does_not(tmp_path: Path) -> None:
    async def tell() -> None:
        async with pair(tmp_path) as hosts:
            disk = hosts.source.moving.disk(ID)
            os.pwrite(disk, b"a" * BLOCK_BYTES, 0)
            os.pwrite(disk, b"b" * BLOCK_BYTES, 3 * BLOCK_BYTES)
            hosts.allow()
            hosts.arrivals.want(hosts.spec())
            await hosts.until(
                lambda: (
                    ID in hosts.arrivals.fetching
                    and hosts.arrivals.fetching[ID].state is ArrivalState.READY
                )
            )
            sent = hosts.arrivals.fetching[ID].sent_bytes
            assert sent == 2 * BLOCK_BYTES
            os.pwrite(disk, bytes(BLOCK_BYTES), 0)
            os.pwrite(disk, b"c", 5 * BLOCK_BYTES)
            hosts.stop()
            hosts.arrivals.want(hosts.spec(generation=4, final=True))
            await hosts.until(lambda: hosts.arrivals.fetching[ID].state is ArrivalState.COMPLETE)
            assert hosts.arrivals.fetching[ID].sent_bytes == sent + BLOCK_BYTES
            file, arrived = hosts.target.moving.arrivals[ID]
            assert arrived.complete
            size = os.fstat(disk).st_size
            assert os.pread(file, size, 0) == os.pread(disk, size, 0)
            assert hosts.source.moving.handed_over == {ID: 4}

    asyncio.run(tell())


def test_the_rest_waits_until_the_server_has_stopped(tmp_path: Path) -> None:
    async def tell() -> None:
        async with pair(tmp_path) as hosts:
            hosts.allow()
            hosts.arrivals.want(hosts.spec(final=True))
            await hosts.until(lambda: hosts.source.moving.refused > 0)
            assert hosts.source.moving.handed_over == {}
            hosts.stop()
            await hosts.until(lambda: hosts.arrivals.fetching[ID].state is ArrivalState.COMPLETE)

    asyncio.run(tell())


def test_no_other_host_gets_it_and_nobody_without_a_certificate(tmp_path: Path) -> None:
    async def tell() -> None:
        async with pair(tmp_path) as hosts:
            hosts.stop()
            hosts.arrivals.want(hosts.spec())  # Nobody may have it.
            await hosts.until(lambda: hosts.departures.refused > 0)
            hosts.allow("t1-host3")  # Another may.
            await hosts.until(lambda: hosts.departures.refused > 1)
            assert hosts.arrivals.fetching[ID].rounds == 0
            plain = ssl.create_default_context()
            plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
            reader, writer = await asyncio.open_connection("127.0.0.1", hosts.port, ssl=plain)
            writer.write(b"\x00\x00\x00\x02{}")
            with contextlib.suppress(OSError):  # TLS may say it aloud.
                assert await reader.read() == b""
            writer.close()
            hosts.allow()
            await hosts.until(lambda: hosts.arrivals.fetching[ID].rounds > 0)

    asyncio.run(tell())


def test_who_answers_with_another_key_is_not_believed(tmp_path: Path) -> None:
    async def tell() -> None:
        async with pair(tmp_path) as hosts:
            hosts.allow()
            hosts.arrivals.want(hosts.spec(key_sha256=hosts.keys["t1-host3"]))
            await hosts.until(
                lambda: ID in hosts.arrivals.fetching and bool(hosts.arrivals.fetching[ID].fault)
            )
            assert "is not host t1-host1" in hosts.arrivals.fetching[ID].fault

    asyncio.run(tell())
