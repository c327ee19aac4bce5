"""Disks that leave for another host and come from one: which of two hosts may start the server."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from tests.unit.cloud.drivers.instance.instance_samples import ID, SERVER

from kumoi.base.errors import Permanent, Transient
from kumoi.cloud.drivers.instance import record
from kumoi.cloud.drivers.instance.lxc.moving import LxcMoving
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.drivers.instance.moving import ArrivedDisk


def generation(number: int) -> object:
    return msgspec.structs.replace(SERVER, generation=number, arrived=True)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    made.server(ID).mkdir(parents=True)
    return made


def moving(paths: Paths, *, runs: bool = False) -> LxcMoving:
    return LxcMoving(paths, lambda _: runs)


def test_a_server_that_was_handed_over_starts_again_by_a_newer_spec_only(paths: Paths) -> None:
    paths.disk(ID, 0).write_bytes(b"disk")
    driver = moving(paths)
    with driver.departing(ID, build=0, final_generation=7) as disk:
        assert os.pread(disk.file, 9, 0) == b"disk"
    for old in (6, 7):
        with pytest.raises(Permanent, match="another host has its disk"):
            driver.require_here(generation(old))  # type: ignore[arg-type]
    driver.require_here(generation(8))  # type: ignore[arg-type]
    driver.require_here(generation(8))  # type: ignore[arg-type]


def test_a_server_that_runs_is_not_handed_over(paths: Paths) -> None:
    paths.disk(ID, 0).write_bytes(b"disk")
    driver = moving(paths, runs=True)
    with (
        pytest.raises(Transient, match="the server runs"),
        driver.departing(ID, build=0, final_generation=7),
    ):
        pass
    with driver.departing(ID, build=0, final_generation=None):  # Beforehand its disk may change.
        pass


def test_a_disk_that_came_is_the_servers_once_it_is_complete(paths: Paths) -> None:
    driver = moving(paths)
    file = driver.open_part(ID, build=2)
    os.pwrite(file, b"disk", 0)
    os.close(file)
    assert driver.listed() == {ID: ArrivedDisk(ID, 2, complete=False)}
    server = msgspec.structs.replace(SERVER, build=2, arrived=True)
    with pytest.raises(Permanent, match="did not come"):
        driver.adopt(server)
    driver.keep(ID, build=2, image_sha256="ab", console="hello\n")
    assert driver.listed() == {ID: ArrivedDisk(ID, 2, complete=True)}
    driver.adopt(server)
    assert paths.disk(ID, 2).read_bytes() == b"disk"
    assert paths.console(ID).read_text() == "hello\n"
    assert record.read(paths.record(ID)).image_of(2) == "ab"
    assert driver.listed() == {}
    assert list(paths.arrivals.iterdir()) == []


def test_what_a_killed_agent_left_beside_a_disk_that_was_given_is_swept(paths: Paths) -> None:
    driver = moving(paths)
    driver.sweep()  # Nothing ever came.
    os.close(driver.open_part(ID, build=0))
    (paths.arrivals / "other").mkdir()
    (paths.arrivals / "other/console.log").write_text("hello")
    driver.sweep()
    assert [place.name for place in paths.arrivals.iterdir()] == [ID]


def test_what_came_before_a_kill_is_there_to_go_on_from(paths: Paths) -> None:
    for expected in (b"", b"part"):
        file = moving(paths).open_part(ID, build=0)
        assert os.pread(file, 9, 0) == expected
        os.pwrite(file, b"part", 0)
        os.close(file)


def test_a_disk_of_an_earlier_build_makes_room(paths: Paths) -> None:
    os.close(moving(paths).open_part(ID, build=0))
    os.close(moving(paths).open_part(ID, build=1))
    assert moving(paths).listed()[ID].build == 1
