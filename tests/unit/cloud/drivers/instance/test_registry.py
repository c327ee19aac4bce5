"""Which drivers a host has, and the fake one that behaves."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.unit.cloud.drivers.instance.instance_samples import PORT, SERVER, but

from kumoi.base.errors import Permanent
from kumoi.cloud.agent.kinds import server_plan
from kumoi.cloud.agent.kinds.server_plan import Settle
from kumoi.cloud.drivers.instance import registry
from kumoi.cloud.drivers.instance.fake import FakeDriver
from kumoi.cloud.drivers.instance.interface import HostDriver
from kumoi.cloud.hostapi.messages import Address, ImageContent
from kumoi.cloud.hostapi.offer import Capability, Offer

MACHINES = Offer(formats=["qcow2"], capabilities=[])
MOVED = but(
    ports=[msgspec.structs.replace(PORT, addresses=[Address(address="10.9.0.2", prefix=24)])]
)


def test_each_driver_has_a_directory_of_its_own() -> None:
    calls: list[tuple[Path, str]] = []
    lxc = registry.DRIVERS["lxc"]

    def noting(directory: Path, cloud: str) -> HostDriver:
        calls.append((directory, cloud))
        return lxc(directory, cloud)

    drivers = registry.on_host(Path("/host"), "kumoi", table={"one": noting, "two": noting})
    assert list(drivers) == ["one", "two"]
    assert calls == [(Path("/host/one"), "kumoi"), (Path("/host/two"), "kumoi")]


@pytest.mark.parametrize(
    ("capabilities", "actions"), [([Capability.LIVE_ADDRESSES], [Settle()]), ([], [])]
)
def test_addresses_inside_change_at_once_only_where_the_driver_can(
    capabilities: list[str], actions: list[Settle]
) -> None:
    driver = FakeDriver(offer=Offer(capabilities=capabilities))
    driver.ensure_built(SERVER)
    driver.ensure_running(SERVER)
    seen = driver.observe(SERVER.id)
    assert server_plan.plan(SERVER, seen, host_boot=driver.host_boot) == []
    moved = msgspec.structs.replace(MOVED, ports=[MOVED.ports[0], SERVER.ports[1]])
    assert server_plan.plan(moved, seen, host_boot=driver.host_boot) == actions


def test_a_driver_refuses_in_words_what_it_does_not_offer(tmp_path: Path) -> None:
    driver = FakeDriver(name="machine", offer=MACHINES)
    driver.ensure_built(SERVER)
    with pytest.raises(Permanent, match="machine has no snapshot"):
        driver.write_image(SERVER, tmp_path / "image")
    with pytest.raises(Permanent, match="machine has no pause"):
        driver.ensure_paused(SERVER.id)
    tree = ImageContent(id="i", sha256="ab" * 32, disk_format="root-tar")
    with pytest.raises(Permanent, match="machine takes no root-tar images"):
        driver.ensure_image(tree, tmp_path / "file")


def test_a_host_where_nothing_ever_ran_has_nothing_and_is_taken_down(tmp_path: Path) -> None:
    for driver in registry.on_host(tmp_path, "nowhere").values():
        assert driver.ready_images() == frozenset()
        assert driver.list_running() == {}
        assert driver.stop_servers(grace_s=0) == 0
