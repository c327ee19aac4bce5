"""The machine's own fixture: engines on a virtual host, with a name and ranges of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.system.live import LiveCloud, kept_by_us, live_cloud
from tests.system.slots import free_slot
from xdist.scheduler import LoadScopeScheduling

from kumoi.base.process import Completed, run
from kumoi.config import CloudSettings, HostSettings, first_host, read, write
from kumoi.hosts import teardown

STATE_PARENT = Path("/var/tmp")
COMMAND_TIMEOUT_S = 90.0

# Files whose worlds have fixed names run in one process, and so one after the other.
WORLD_OF = {
    "test_ovn": "knet",
    "test_ovn_leaders": "knet",
    "test_router_guard": "knet",
    "test_spoofing": "knet",
    "test_containers": "kct",
    "test_escape": "kct",
    "test_fence": "kct",
    "test_images": "kct",
}


class ByWorld(LoadScopeScheduling):  # type: ignore[misc] # Without types.
    """Sends a file's tests to one process, and those of files that share a world."""

    def _split_scope(self, nodeid: str) -> str:
        name = Path(nodeid.partition("::")[0]).stem
        return WORLD_OF.get(name, name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByWorld:
    return ByWorld(config, log)


@dataclass(frozen=True)
class EngineHost:
    """A virtual host without our roles, brought up by our own command."""

    name: str
    octet: int

    @property
    def state(self) -> Path:
        return STATE_PARENT / self.name

    @property
    def config(self) -> CloudSettings:
        return read(CloudSettings, self.state).settings

    @property
    def here(self) -> HostSettings:
        return read(HostSettings, self.state).settings

    def up(self) -> Completed:
        if not self.state.exists():
            config = CloudSettings(
                name=self.name,
                public_cidr=f"10.201.{self.octet}.0/25",
                underlay_cidr=f"10.201.{self.octet}.128/28",
            )
            self.state.mkdir()
            write(config, self.state)
            write(kept_by_us(first_host(config, str(self.state))), self.state)
        return self.kumoi("up", "--only-engines")

    def kumoi(self, *words: str, check: bool = True) -> Completed:
        command, *rest = words
        where = ["--name", self.name, "--state-dir", str(self.state)]
        return run(
            [sys.executable, "-m", "kumoi.main", command, *where, *rest],
            timeout_s=COMMAND_TIMEOUT_S,
            check=check,
        )

    def reclaim(self) -> None:
        """What a killed run left, also where nothing of it but names is known."""
        config = CloudSettings(name=self.name)
        here = first_host(config, str(self.state))
        teardown.stop(config, here)
        teardown.purge(here)


@pytest.fixture
def engine_host() -> Iterator[EngineHost]:
    """A place that no other run uses, which this test may bring up and break."""
    with free_slot() as slot:
        host = EngineHost(f"ksys{slot}", 16 + slot)
        host.reclaim()
        try:
            yield host
        finally:
            host.reclaim()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    """A whole cloud, brought up once for all tests that need one."""
    with live_cloud("klive", tmp_path_factory.mktemp("home")) as cloud:
        yield cloud
