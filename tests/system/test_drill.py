"""A drill on a cloud of two hosts, and one that is interrupted in the middle of a partition. The cloud has no
pipeline, whose runs would outlast both.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.live import LiveCloud, eventually, live_cloud

from kumoi.config import CloudSettings, HostSettings, read
from kumoi.drill import tenant
from kumoi.drill.place import DrillHost
from kumoi.hosts.units import running

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

COMPONENT = "ovn-controller"
DRILL_S, BROKEN_S = 200.0, 120.0
INTERRUPTED = 130
LINK_UP = 1


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    home = tmp_path_factory.mktemp("home")
    with live_cloud("kdril", home, ["--hosts", "2", "--without", "pipeline"]) as cloud:
        yield cloud


@pytest.fixture
def places(two: LiveCloud) -> list[DrillHost]:
    directories = [Path(two.here.state_dir), Path(f"{two.here.state_dir}-2")]
    return [
        DrillHost(read(CloudSettings, each).settings, read(HostSettings, each).settings)
        for each in directories
    ]


def test_what_is_broken_is_counted_and_whole_again(two: LiveCloud, places: list[DrillHost]) -> None:
    done = two.kumoi(
        "drill", "--json", "--minutes", "0.6", "--only", COMPONENT, check=False, timeout_s=DRILL_S
    )
    told = json.loads(done.out)
    faults = [each for each in told["faults"] if not each["skipped"]]
    assert [each["fault"] for each in faults[:2]] == ["nothing", "kill"], done.err
    killed = faults[1]
    assert killed["component"] == COMPONENT
    assert killed["calls"] > 0
    assert killed["redundant_s"] >= 0
    assert not [each for each in faults if each["failed"] or each["writes_lost"]], faults
    assert not [each for each in faults if each["servers_twice"]]
    assert done.status == 0
    _require_nothing_left(two, places)


def test_who_interrupts_a_drill_finds_all_as_it_was(
    two: LiveCloud, places: list[DrillHost]
) -> None:
    first, second = places
    words = ["drill", "--json", "--only", second.host.name, "--name", two.config.name]
    with subprocess.Popen(
        [sys.executable, "-m", "kumoi.main", *words, "--state-dir", first.host.state_dir],
        env=two.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as drill:
        eventually(
            lambda: drill.poll() is not None or not all(map(_is_up, second.links())),
            within_s=BROKEN_S,
            what="its link is cut",
        )
        assert drill.poll() is None
        drill.send_signal(signal.SIGINT)
        drill.send_signal(signal.SIGINT)  # Who is impatient changes nothing.
        counted, told = drill.communicate(timeout=DRILL_S)
    assert drill.returncode == INTERRUPTED, told
    assert [each["fault"] for each in json.loads(counted)["faults"]] == ["nothing"], told
    assert all(map(_is_up, second.links()))
    _require_nothing_left(two, places)


def _is_up(link: str) -> bool:
    return bool(int(Path(f"/sys/class/net/{link}/flags").read_text(), 16) & LINK_UP)


def _require_nothing_left(two: LiveCloud, places: list[DrillHost]) -> None:
    with two.connect(admin=True) as admin:
        assert admin.identity.find_project(tenant.NAME) is None
        assert admin.identity.find_user(tenant.NAME) is None
        assert [each.name for each in admin.compute.servers(all_projects=True)] == []
        assert [each.name for each in admin.network.networks()] == ["public"]
    for place in places:
        for unit in running.found(place.host.state_dir):
            stat = Path(f"/proc/{unit.pid}/stat").read_text()
            assert stat.rpartition(")")[2].split()[0] != "T", unit.name
