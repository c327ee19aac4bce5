"""The machine's half: engines that come up, stay up, and go without a trace."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.system.conftest import EngineHost

from kumoi.base.process import run
from kumoi.hosts.units import control, running
from kumoi.hosts.wires import links

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ENGINES = ("ovnnb-db", "ovnsb-db", "ovn-northd", "ovs-db", "ovs-vswitchd", "ovn-controller")


def test_up_twice_changes_nothing(engine_host: EngineHost) -> None:
    engine_host.up()
    before = pids(engine_host)
    engine_host.up()
    assert pids(engine_host) == before
    assert set(before) == {*ENGINES, running.SUPERVISOR, running.GUARD}
    assert chassis_address(engine_host) == engine_host.here.underlay_address


def test_an_engine_that_is_killed_comes_back_and_the_host_works_again(
    engine_host: EngineHost,
) -> None:
    engine_host.up()
    for engine in ENGINES:
        old = pids(engine_host)[engine]
        os.kill(old, signal.SIGKILL)
        eventually(lambda: pids(engine_host).get(engine, old) != old)  # noqa: B023 - used at once
        eventually(lambda: states(engine_host) == {"running"})
    eventually(lambda: reaches_underlay(engine_host))
    assert chassis_address(engine_host) == engine_host.here.underlay_address


def test_a_new_supervisor_takes_over_what_a_killed_one_left(engine_host: EngineHost) -> None:
    engine_host.up()
    before = pids(engine_host)
    os.kill(before[running.SUPERVISOR], signal.SIGKILL)
    # Its guard starts another. What keeps the switch going may die meanwhile: it comes back.
    eventually(
        lambda: pids(engine_host).get(running.SUPERVISOR) not in {None, before[running.SUPERVISOR]}
    )
    eventually(lambda: states(engine_host) == {"running"})
    after = pids(engine_host)
    assert {name: after[name] for name in ENGINES} == {name: before[name] for name in ENGINES}
    assert after[running.SUPERVISOR] != before[running.SUPERVISOR]

    os.kill(after["ovn-northd"], signal.SIGKILL)  # It watches those that are not its children.
    eventually(lambda: pids(engine_host).get("ovn-northd") not in {None, after["ovn-northd"]})


def test_there_is_never_more_than_one_supervisor(engine_host: EngineHost) -> None:
    engine_host.up()
    host = engine_host.here
    second = [sys.executable, "-m", "kumoi.main", "supervise", "--only-engines"]
    done = run([*second, "--config", host.state], check=False)
    assert done.status == 1
    assert "another supervisor" in done.err
    supervisors = [
        unit for unit in running.found(host.state_dir) if unit.name == running.SUPERVISOR
    ]
    assert len(supervisors) == 1


def test_up_mends_links_that_somebody_removed(engine_host: EngineHost) -> None:
    engine_host.up()
    links.delete_link(f"{engine_host.name}-ul")
    links.delete_link(f"{engine_host.name}-ext")
    engine_host.up()
    eventually(lambda: reaches_underlay(engine_host))


def test_up_starts_anew_in_a_namespace_that_was_removed(engine_host: EngineHost) -> None:
    engine_host.up()
    links.delete_namespace(engine_host.here.name)
    engine_host.up()
    eventually(lambda: reaches_underlay(engine_host))
    assert states(engine_host) == {"running"}


def test_down_leaves_no_process_namespace_link_or_mount(engine_host: EngineHost) -> None:
    engine_host.up()
    cloud, host = engine_host.config, engine_host.here
    engine_host.kumoi("down")
    assert running.found(host.state_dir) == []
    for namespace in (host.name, cloud.edge_name):
        assert not Path("/run/netns", namespace).exists()
    assert {name for name in links.names() if name.startswith(engine_host.name)} == set()
    assert host.state_dir not in Path("/proc/self/mountinfo").read_text()
    assert host.state.exists()
    engine_host.up()
    assert states(engine_host) == {"running"}
    engine_host.kumoi("down", "--purge")
    assert not host.state.exists()


def test_down_works_when_the_supervisor_and_half_of_the_rest_are_gone(
    engine_host: EngineHost,
) -> None:
    engine_host.up()
    before = pids(engine_host)
    for name in (running.SUPERVISOR, "ovs-db", "ovn-northd"):
        os.kill(before[name], signal.SIGKILL)
    links.delete_link(f"{engine_host.name}-ext")
    engine_host.kumoi("down", "--purge")
    assert running.found(str(engine_host.state)) == []
    assert {name for name in links.names() if name.startswith(engine_host.name)} == set()


def test_status_names_every_process_and_says_which_is_not_well(engine_host: EngineHost) -> None:
    engine_host.up()
    status = json.loads(engine_host.kumoi("status", "--json").out)
    assert {row["name"] for row in status["processes"]} == {*ENGINES, running.SUPERVISOR}
    assert all(row["healthy"] and row["memory_kib"] > 0 for row in status["processes"])

    os.kill(pids(engine_host)[running.SUPERVISOR], signal.SIGSTOP)
    os.kill(pids(engine_host)["ovnnb-db"], signal.SIGKILL)  # And nobody starts it again.
    done = engine_host.kumoi("status", check=False)
    os.kill(pids(engine_host)[running.SUPERVISOR], signal.SIGCONT)
    assert done.status == 1
    assert "does not answer at unix:" in done.out


def test_a_range_that_the_machine_has_is_refused_before_anything_changes(
    engine_host: EngineHost,
) -> None:
    done = engine_host.kumoi("up", "--public-cidr", "127.0.0.0/24", check=False)
    assert done.status == 1
    assert "127.0.0.1/8 of the link lo" in done.err
    assert done.err.count("\n") == 1
    assert [name for name in links.names() if name.startswith(engine_host.name)] == []
    assert not engine_host.state.exists()


def pids(host: EngineHost) -> dict[str, int]:
    return {unit.name: unit.pid for unit in running.found(str(host.state))}


def states(host: EngineHost) -> set[str]:
    status = control.read_status(host.here)
    return {unit.state for unit in status.units} if status else set()


def reaches_underlay(host: EngineHost) -> bool:
    """From this machine to the virtual host, through its switch."""
    address = host.here.underlay_address
    return run(["ping", "-c", "1", "-W", "1", address], check=False).status == 0


def chassis_address(host: EngineHost) -> str:
    remote = f"--db={host.here.southbound_remote}"
    listed = run(["ovn-sbctl", remote, "--bare", "--columns=ip", "list", "encap"])
    return listed.out.strip()


def eventually(look: Callable[[], bool], *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s")
        time.sleep(0.05)
