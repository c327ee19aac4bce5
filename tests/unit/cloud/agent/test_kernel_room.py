"""Servers' network tables are looked at when the kernel of the machine has taken more memory, and not each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.cloud.agent.kernel_room import LOOK_AGAIN_ROUNDS, MORE_KIB, MUCH_KIB, KernelRoom
from kumoi.cloud.drivers.instance.fake import FakeDriver


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    return tmp_path / "meminfo"


def rounds(
    room: KernelRoom, meminfo: Path, *kept_kib: int, large: int = 0, each: int = 0, stacks: int = 0
) -> None:
    for kept in kept_kib:
        lines = [f"Slab: {kept + 5}", "SReclaimable: 5", f"SUnreclaim:     {kept}"]
        lines += [f"KernelStack: {stacks}", f"VmallocUsed: {large + stacks}", f"Percpu: {each}"]
        meminfo.write_text("".join(f"{line} kB\n" for line in lines))
        room.round()


@pytest.mark.parametrize("what", ["large", "each"])
def test_growth_is_also_of_what_is_no_small_thing(meminfo: Path, what: str) -> None:
    """Rings of 240 MB are none of the kernel's slabs."""
    driver = FakeDriver()
    room = KernelRoom([driver], meminfo=meminfo)
    rounds(room, meminfo, 100_000)
    rounds(room, meminfo, 100_000, **{what: MUCH_KIB + 1})
    assert driver.tables_looked_at == 2


def test_stacks_of_threads_are_no_growth(meminfo: Path) -> None:
    """They are counted for whose threads they are."""
    driver = FakeDriver()
    room = KernelRoom([driver], meminfo=meminfo)
    rounds(room, meminfo, 100_000)
    rounds(room, meminfo, 100_000, stacks=MUCH_KIB + 1)
    assert driver.tables_looked_at == 1


def test_an_idle_machine_is_looked_at_once(meminfo: Path) -> None:
    driver = FakeDriver()
    room = KernelRoom([driver], meminfo=meminfo)
    rounds(room, meminfo, 100_000, 100_500, 99_000, 100_000)
    assert driver.tables_looked_at == 1


def test_growth_is_looked_at_also_in_small_steps_and_after_a_fall(meminfo: Path) -> None:
    driver = FakeDriver()
    room = KernelRoom([driver], meminfo=meminfo)
    step = MUCH_KIB // 2 + 1
    rounds(room, meminfo, 100_000, 100_000 + step, 100_000 + 2 * step)
    assert driver.tables_looked_at == 2
    rounds(room, meminfo, 100_000, 100_000 + MUCH_KIB + 1)
    assert driver.tables_looked_at == 3


def test_less_growth_is_looked_at_in_a_while(meminfo: Path) -> None:
    """A server that was looked at while it made its first half."""
    driver = FakeDriver()
    room = KernelRoom([driver], meminfo=meminfo)
    rounds(room, meminfo, 100_000, *[100_001 + MORE_KIB] * (LOOK_AGAIN_ROUNDS - 1))
    assert driver.tables_looked_at == 1
    rounds(room, meminfo, *[100_001 + MORE_KIB] * 2 * LOOK_AGAIN_ROUNDS)
    assert driver.tables_looked_at == 2


def test_who_was_held_is_looked_at_again(meminfo: Path) -> None:
    driver = FakeDriver()
    driver.tables_too_large = ["server"]
    room = KernelRoom([driver], meminfo=meminfo)
    rounds(room, meminfo, 100_000, 100_000)
    assert driver.tables_looked_at == 2
    driver.tables_too_large = []
    rounds(room, meminfo, 100_000, 100_000)
    assert driver.tables_looked_at == 3
