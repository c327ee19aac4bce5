"""Kumoi broken on purpose: processes killed in the middle of every kind of change, control planes
that are gone, hosts that lose their power, disks that are full, clients that all want the same.

Whatever happens, what is wanted comes about, and of what was deleted nothing is left.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from keystoneauth1.exceptions.connection import ConnectionError as NoAnswer
from openstack.exceptions import ConflictException, NotFoundException, ResourceFailure
from tests.running_cloud import ADMIN_PASSWORD, RunningCloud, running_cloud
from tests.system import leftovers
from tests.system.live import LiveCloud, eventually, pings, ssh_banner
from tests.system.tenant import Tenant, reachable, tenant
from tests.system.test_pipeline import Hello, command, shown

from kumoi.base.process import run
from kumoi.cloud.drivers.instance.lxc import monitor
from kumoi.cloud.drivers.instance.lxc.paths import Paths

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

VICTIMS = ("agent", "api", "worker", "ovn-controller", "ovn-northd", "ovnnb-db")
ROUNDS = 2  # Of each victim.
MOMENT_MAX_S = 0.6
CONVERGED_S = 60.0
FILLED_SLOWLY_BYTES = 64 << 20  # Servers that run take and give meanwhile.
SWEPT_S = 30.0  # A killed upload's file goes with the next look at the directory.
UPLOAD_BYTES = 24 << 20
BACK_S = 20.0
Result = TypeVar("Result")


@pytest.fixture(scope="module")
def fresh(live: LiveCloud) -> frozenset[str]:
    """What a cloud has that nobody uses. Looking makes the default groups."""
    for admin in (False, True):
        with live.connect(admin=admin) as cloud:
            list(cloud.network.security_groups())
    return leftovers.there(live.config, live.here)


@pytest.fixture
def user(live: LiveCloud, fresh: frozenset[str], tmp_path: Path) -> Iterator[Tenant]:
    """A tenant of which nothing is left when it has deleted everything."""
    with tenant(live, f"faults-{random.randrange(1 << 32):08x}", tmp_path) as made:
        yield made
    with contextlib.suppress(TimeoutError):
        eventually(lambda: not _left(live, fresh), within_s=SWEPT_S, what="all is gone")
    assert _left(live, fresh) == []


def _left(live: LiveCloud, fresh: frozenset[str]) -> list[str]:
    return sorted(leftovers.there(live.config, live.here) - fresh)


# Killed in the middle.


def insist(act: Callable[[], Result], done: Callable[[], Result | None]) -> Result:
    """What a careful client does: when no answer came, look whether it was done; if not, again."""
    until = time.monotonic() + CONVERGED_S
    while True:
        try:
            return act()
        except NoAnswer:
            if time.monotonic() > until:
                raise
        while True:
            try:
                found = done()
                break
            except NoAnswer:
                time.sleep(0.05)  # It is being started again.
        if found is not None:
            return found


@dataclass
class Storm:
    """A tenant in which everything changes at once. `running` and `stopped` are server ids."""

    user: Tenant
    chance: random.Random
    running: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    number: int = 0
    floating: Any = None

    def begin(self) -> None:
        self.user.wire("10.61.0.0/24")
        made = [self.user.begin_server(f"first-{number}") for number in range(6)]
        self.running = [self.user.settled(server).id for server in made]
        last = self.running.pop()
        self.user.cloud.compute.stop_server(last)
        self.user.settled(self.user.cloud.compute.get_server(last), "SHUTOFF")
        self.stopped = [last]
        net = self.user.cloud.network
        outside = net.find_network("public")
        self.floating = net.create_ip(floating_network_id=outside.id)

    def round(self, kill: Callable[[], None]) -> None:
        """Every kind of change at the same time, and a kill in the middle."""
        self.number += 1
        keeper, gone, halted, booted, anew = self.running
        (woken,) = self.stopped
        before = {key: self.user.live.init_pid(key) for key in (keeper, booted, anew)}
        with ThreadPoolExecutor(9) as clients:
            born = clients.submit(self._create)
            others = [
                clients.submit(self._delete, gone),
                clients.submit(self._act, "stop_server", halted),
                clients.submit(self._act, "start_server", woken),
                clients.submit(self._reboot, booted),
                clients.submit(self._rebuild, anew),
                clients.submit(self._move_floating_ip, booted),
                clients.submit(self._change_networks),
                clients.submit(self._change_images),
            ]
            time.sleep(self.chance.uniform(0, MOMENT_MAX_S))  # The moment of the kill.
            kill()
            for item in others:
                item.result()
            self.running = [keeper, born.result(), woken, booted, anew]
        self.stopped = [halted]
        self._await_all(before)

    def _await_all(self, before: dict[str, int]) -> None:
        wanted = dict.fromkeys(self.running, "ACTIVE") | dict.fromkeys(self.stopped, "SHUTOFF")
        shown: dict[str, str] = {}

        def as_wanted() -> bool:
            with contextlib.suppress(NoAnswer):
                rows = list(self.user.cloud.compute.servers())
                shown.clear()
                shown.update({row.id: row.status for row in rows})
                return shown == wanted and not any(row.task_state for row in rows)
            return False

        try:
            eventually(as_wanted, within_s=CONVERGED_S, what="all servers are as wanted")
        except TimeoutError as cause:
            raise AssertionError(f"{shown} where {wanted} is wanted") from cause
        keeper, *others = self.running
        now = {key: self.user.live.init_pid(key) for key in before}
        assert now[keeper] == before.pop(keeper), "a server that nobody touched was started anew"
        assert not any(now[key] == pid for key, pid in before.items()), "not rebooted, not rebuilt"
        first = self.user.cloud.compute.get_server(keeper)
        for key in others:
            address = self.user.address(self.user.cloud.compute.get_server(key))
            reachable(self.user, first, address)
        outside = self.floating.floating_ip_address
        eventually(lambda: ssh_banner(outside), within_s=BACK_S, what="the floating IP answers")

    def _create(self) -> str:
        name = f"born-{self.number}"
        found = self.user.cloud.compute.find_server
        return str(insist(lambda: self.user.begin_server(name), lambda: found(name)).id)

    def _delete(self, key: str) -> None:
        compute = self.user.cloud.compute
        insist(lambda: compute.delete_server(key) or True, lambda: None)
        eventually(lambda: self._is_gone(key), within_s=CONVERGED_S, what="the server is gone")

    def _is_gone(self, key: str) -> bool:
        return insist(lambda: self.user.cloud.compute.find_server(key) is None, lambda: None)

    def _act(self, verb: str, key: str, *args: Any) -> None:
        """A second asking is refused when the first was heard."""

        def act() -> bool:
            with contextlib.suppress(ConflictException):
                getattr(self.user.cloud.compute, verb)(key, *args)
            return True

        insist(act, lambda: None)

    def _reboot(self, key: str) -> None:
        self._act("reboot_server", key, "HARD" if self.number % 2 else "SOFT")

    def _rebuild(self, key: str) -> None:
        self._act("rebuild_server", key, self.user.image("debian-12"))

    def _move_floating_ip(self, key: str) -> None:
        net = self.user.cloud.network
        port = insist(lambda: next(iter(net.ports(device_id=key))), lambda: None)
        insist(lambda: net.update_ip(self.floating, port_id=port.id), lambda: None)

    def _change_networks(self) -> None:
        """A network with a router comes, that of the round before goes."""
        net, name = self.user.cloud.network, f"round-{self.number}"
        made = insist(lambda: net.create_network(name=name), lambda: net.find_network(name))
        subnet = insist(
            lambda: net.create_subnet(
                network_id=made.id, name=name, cidr="10.62.0.0/24", ip_version=4
            ),
            lambda: net.find_subnet(name),
        )
        outside = {"network_id": self.floating.floating_network_id}
        router = insist(
            lambda: net.create_router(name=name, external_gateway_info=outside),
            lambda: net.find_router(name),
        )
        wired = {"device_id": router.id, "device_owner": "network:router_interface"}
        insist(
            lambda: net.add_interface_to_router(router, subnet=subnet.id) and True,
            lambda: True if list(net.ports(**wired)) else None,
        )
        self._drop_networks(f"round-{self.number - 1}")

    def _drop_networks(self, name: str) -> None:
        net = self.user.cloud.network
        router = insist(lambda: net.find_router(name) or False, lambda: None)
        if not router:
            return
        subnet = insist(lambda: net.find_subnet(name, ignore_missing=False), lambda: None)

        def unplug() -> bool:
            with contextlib.suppress(NotFoundException):
                net.remove_interface_from_router(router, subnet=subnet.id)
            return True

        insist(unplug, lambda: None)
        insist(lambda: net.delete_router(router) or True, lambda: None)
        insist(lambda: net.delete_network(subnet.network_id) or True, lambda: None)

    def _change_images(self) -> None:
        image, name = self.user.cloud.image, f"round-{self.number}"
        made = insist(
            lambda: image.create_image(name, disk_format="root-tar", container_format="bare"),
            lambda: image.find_image(name),
        )
        data = archive({"filling": os.urandom(UPLOAD_BYTES)})

        def upload() -> bool:
            answer = image.put(
                f"/images/{made.id}/file",
                data=data,
                headers={"Content-Type": "application/octet-stream"},
            )
            assert answer.status_code in (204, 409), answer.text  # 409: it had arrived.
            return True

        insist(upload, lambda: None)
        old = insist(lambda: image.find_image(f"round-{self.number - 1}") or False, lambda: None)
        if old:
            insist(lambda: image.delete_image(old) or True, lambda: None)


def archive(files: dict[str, bytes]) -> bytes:
    """A tar archive of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_kills_in_the_middle_of_every_change_lose_nothing_and_leave_nothing(
    live: LiveCloud, user: Tenant
) -> None:
    storm = Storm(user, random.Random(20))
    storm.begin()
    for victim in VICTIMS * ROUNDS:

        def kill(victim: str = victim) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(live.pid(victim), signal.SIGKILL)

        storm.round(kill)


def test_an_environment_is_built_although_what_it_is_built_with_is_killed(
    live: LiveCloud, fresh: frozenset[str], tmp_path: Path
) -> None:
    chance = random.Random(3)
    hello = Hello(live, tmp_path / "hello")
    run_id = hello.begin("faults")
    for role in ("api", "agent", "worker"):
        time.sleep(chance.uniform(0, 2 * MOMENT_MAX_S))  # The moment of the kill.
        _kill(live.pid(role))
    command(live, "run", "follow", run_id)
    found = shown(live, run_id)
    assert found["status"] == "verified"
    command(live, "env", "delete", found["environment"]["id"], "--wait")
    with contextlib.suppress(TimeoutError):
        eventually(lambda: not _left(live, fresh), within_s=SWEPT_S, what="all is gone")
    assert _left(live, fresh) == []


# Gone for a while.


@contextlib.contextmanager
def no_control_plane(live: LiveCloud) -> Iterator[None]:
    """API, worker, pipeline and the store's files are gone, and nobody starts them again."""
    supervisor = _units(live)["supervisor"]
    store = live.here.store_dir / "cloud.db"
    aside = live.here.state / "aside"
    os.kill(supervisor, signal.SIGSTOP)
    try:
        for role in ("api", "worker", "pipeline"):
            _kill(live.pid(role))
        aside.mkdir()
        for path in store.parent.glob(f"{store.name}*"):
            path.rename(aside / path.name)
        yield
    finally:
        for path in aside.glob("*"):
            path.replace(store.parent / path.name)
        aside.rmdir()
        os.kill(supervisor, signal.SIGCONT)
    _await_api(live)


@contextlib.contextmanager
def agent_by_hand(live: LiveCloud) -> Iterator[None]:
    """Started as its supervisor would, and killed at the end."""
    _kill(live.pid("agent"))
    namespace = f"--net=/run/netns/{live.here.name}"
    role = ["-m", "kumoi.main", "role", "agent", "--config", live.here.state_dir]
    with (
        (live.here.log_dir / "agent.log").open("ab") as out,
        subprocess.Popen(
            ["nsenter", namespace, "--", sys.executable, *role],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        ) as agent,
    ):  # fmt: skip
        try:
            yield
        finally:
            agent.kill()


def _units(live: LiveCloud) -> dict[str, int]:
    """The process of each unit, and of the supervisor."""
    status = json.loads((live.here.run_dir / "status.json").read_text())
    units = {name: unit["pid"] for name, unit in status["units"].items()}
    return {"supervisor": status["pid"], **units}


def _kill(pid: int) -> None:
    """And wait until it has ended."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            eventually(lambda: _has_ended(pid), within_s=BACK_S, what=f"{pid} has ended")
        finally:
            os.close(handle)


def _has_ended(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    return True


def _await_api(live: LiveCloud) -> None:
    def answers() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            url = f"{live.config.api_url}/identity/v3"
            return httpx.get(url, verify=live.tls).status_code == 200
        return False

    eventually(answers, within_s=BACK_S, what="the API answers")


def _runs(live: LiveCloud) -> set[str]:
    return set(monitor.find_all(Paths(live.here.agent_dir / "lxc")))


def _three_servers(user: Tenant) -> tuple[Any, Any, Any]:
    """Two that run and one that is stopped."""
    user.wire("10.63.0.0/24")
    begun = [user.begin_server(name) for name in ("first", "second", "stopped")]
    first, second, stopped = (user.settled(server) for server in begun)
    user.cloud.compute.stop_server(stopped)
    return first, second, user.settled(stopped, "SHUTOFF")


def test_with_api_worker_and_store_gone_servers_talk_and_the_agent_mends_its_host(
    live: LiveCloud, user: Tenant
) -> None:
    first, second, stopped = _three_servers(user)
    cut = user.server("cut")
    there, mended = user.address(second), user.address(cut)
    (port,) = user.cloud.network.ports(device_id=cut.id)
    link = "k" + port.id.replace("-", "")[:12]
    reachable(user, first, there)
    reachable(user, first, mended)
    before = {item.id: live.init_pid(item.id) for item in (first, second, cut)}
    with no_control_plane(live), pings(before[first.id], there, 4000) as pinging:
        _kill(live.pid("agent"))
        run(["ip", "-n", live.here.name, "link", "set", link, "down"])
        with agent_by_hand(live):
            reachable(user, first, mended, within_s=BACK_S)
            out, _ = pinging.communicate(timeout=60)
    assert re.search(r"4000 packets transmitted, 4000 received", out), out
    assert {key: live.init_pid(key) for key in before} == before
    assert _runs(live) == set(before)
    for server, status in ((first, "ACTIVE"), (cut, "ACTIVE"), (stopped, "SHUTOFF")):
        assert user.cloud.compute.get_server(server).status == status


def test_a_host_that_lost_its_power_brings_back_what_ran_with_no_control_plane(
    live: LiveCloud, user: Tenant
) -> None:
    first, second, stopped = _three_servers(user)
    outside = [user.floating(server) for server in (first, second)]
    _await_banners(outside)
    _lose_power(live)
    live.kumoi("up", "--only-engines", timeout_s=60)
    with agent_by_hand(live):
        _await_banners(outside)
        before = {item.id: live.init_pid(item.id) for item in (first, second)}
        assert _runs(live) == set(before)
    live.kumoi("up", timeout_s=120)
    assert {key: live.init_pid(key) for key in before} == before
    for server, status in ((first, "ACTIVE"), (second, "ACTIVE"), (stopped, "SHUTOFF")):
        user.settled(server, status)
    user.cloud.compute.start_server(stopped)
    reachable(user, first, user.address(user.settled(stopped)))


def _await_banners(addresses: list[str]) -> None:
    def all_answer() -> bool:
        return all(ssh_banner(address) for address in addresses)

    eventually(all_answer, within_s=BACK_S, what="SSH answers on each floating IP")


def _lose_power(live: LiveCloud) -> None:
    """All processes at once, and what lives in memory: namespaces, links, mounts."""
    cloud, host = live.config, live.here
    units = _units(live)
    for pid in (units.pop("supervisor"), *units.values()):
        _kill(pid)
    for server in monitor.find_all(Paths(host.agent_dir / "lxc")).values():
        _kill(server.keeper_pid)
        _kill(server.pid)
    for namespace in (host.name, cloud.edge_name):
        run(["ip", "netns", "delete", namespace])


# Two clients at once.


def _together(count: int, ask: Callable[[int], Result]) -> list[Result]:
    """The answers to as many requests, all under way at the same time."""
    start = threading.Barrier(count)

    def one(number: int) -> Result:
        start.wait()
        return ask(number)

    with ThreadPoolExecutor(count) as clients:
        return list(clients.map(one, range(count)))


def test_fifty_creates_at_once_hold_the_quota_exactly(live: LiveCloud, user: Tenant) -> None:
    compute, net = user.cloud.compute, user.cloud.network
    image, flavor = user.image("debian-12"), user.flavor("tiny")
    with live.connect(admin=True) as admin:
        wanted = {"quota_set": {"instances": 2}}
        admin.compute.put(f"/os-quota-sets/{user.project_id}", json=wanted)
        admin.network.put(f"/quotas/{user.project_id}", json={"quota": {"network": 7}})

    def server(number: int) -> int:
        body = {"name": f"s{number}", "imageRef": image, "flavorRef": flavor, "networks": "none"}
        return int(compute.post("/servers", json={"server": body}).status_code)

    def network(number: int) -> int:
        return int(net.post("/networks", json={"network": {"name": f"n{number}"}}).status_code)

    assert sorted(_together(50, server)) == [202] * 2 + [403] * 48
    assert sorted(_together(50, network)) == [201] * 7 + [409] * 43
    for item in list(compute.servers()):
        user.settled(item)


def test_two_deletes_of_the_same_thing_are_one_deletion(user: Tenant) -> None:
    user.wire("10.64.0.0/24")
    compute, net, image = user.cloud.compute, user.cloud.network, user.cloud.image
    wired = {"network_id": user.network.id}
    outside = net.find_network("public").id
    group = net.create_security_group(name="twice")
    rule = net.create_security_group_rule(security_group_id=group.id, direction="ingress")
    things: list[tuple[Any, str]] = [
        (compute, f"/servers/{user.server('twice').id}"),
        (compute, f"/os-keypairs/{user.name}"),
        (compute, f"/os-server-groups/{_server_group(user, 'anti-affinity').id}"),
        (net, f"/ports/{net.create_port(**wired).id}"),
        (net, f"/floatingips/{net.create_ip(floating_network_id=outside).id}"),
        (net, f"/security-group-rules/{rule.id}"),
        (net, f"/security-groups/{group.id}"),
        (net, f"/routers/{net.create_router(name='twice').id}"),
        (net, f"/networks/{net.create_network(name='twice').id}"),
        (image, f"/images/{image.create_image('twice').id}"),
    ]
    for service, path in things:
        answers = _together(4, lambda _: service.delete(path).status_code)  # noqa: B023
        assert 204 in answers, (path, answers)
        assert set(answers) <= {204, 404}, (path, answers)


def _server_group(user: Tenant, policy: str) -> Any:
    return user.cloud.compute.create_server_group(name="group", policy=policy)


def test_a_storm_of_ports_never_gives_one_address_twice(user: Tenant) -> None:
    net = user.cloud.network
    network = net.create_network(name="storm")
    net.create_subnet(network_id=network.id, cidr="10.65.0.0/28", ip_version=4)
    held: dict[str, str] = {}
    guard = threading.Lock()

    def client(number: int) -> set[int]:
        chance, mine, statuses = random.Random(number), [], set()
        for _ in range(12):
            answer = net.post("/ports", json={"port": {"network_id": network.id}})
            statuses.add(answer.status_code)
            if answer.status_code == 201:
                port = answer.json()["port"]
                address = port["fixed_ips"][0]["ip_address"]
                with guard:
                    assert held.setdefault(address, port["id"]) == port["id"], address
                mine.append((address, port["id"]))
            else:
                assert answer.json()["NeutronError"]["type"] == "IpAddressGenerationFailure"
            if mine and chance.random() < 0.6:
                address, key = mine.pop()
                with guard:
                    del held[address]
                assert net.delete(f"/ports/{key}").status_code == 204
        return statuses

    assert set().union(*_together(8, client)) == {201, 409}  # Thirteen addresses for all.


def test_an_exhausted_pool_says_so_and_nothing_else(user: Tenant) -> None:
    net = user.cloud.network
    network = net.create_network(name="small")
    pool = {"start": "10.66.0.10", "end": "10.66.0.12"}
    net.create_subnet(
        network_id=network.id, cidr="10.66.0.0/24", ip_version=4, allocation_pools=[pool]
    )
    asked = {"port": {"network_id": network.id}}
    answers = _together(12, lambda _: net.post("/ports", json=asked))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 9
    kinds = {
        answer.json()["NeutronError"]["type"] for answer in answers if answer.status_code > 400
    }
    assert kinds == {"IpAddressGenerationFailure"}
    server = user.begin_server("late", networks=[{"uuid": network.id}])
    failed = user.settled(server, "ERROR")
    assert "No more IP addresses available on network" in failed.fault["message"]


# Full disks.


@contextlib.contextmanager
def small_host(user: Tenant, directory: Path) -> Iterator[Path]:
    """The host keeps its things on a disk of 8 GiB of its own; gives the directory."""
    live = user.live
    file, where = directory / "disk", live.here.agent_dir
    with file.open("wb") as disk:
        disk.truncate(8 << 30)
    run(["mkfs.ext4", "-q", "-m0", file])
    with _agent_down(live):
        run(["mount", "-o", "loop", file, where])
    try:
        yield where
    finally:
        (where / "filling").unlink(missing_ok=True)
        user.empty()
        with _agent_down(live):
            run(["umount", where])


@contextlib.contextmanager
def _agent_down(live: LiveCloud) -> Iterator[None]:
    """And back afterwards, by its supervisor."""
    supervisor = _units(live)["supervisor"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        _kill(live.pid("agent"))
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)


def _fill(directory: Path, *, but_bytes: int) -> Path:
    """Until only so much is free, or nothing that could be written."""
    space, file = os.statvfs(directory), directory / "filling"
    free_bytes = space.f_bavail * space.f_frsize
    spare = but_bytes or min(FILLED_SLOWLY_BYTES, free_bytes // 2)
    with file.open("wb", buffering=0) as filling:
        os.posix_fallocate(filling.fileno(), 0, free_bytes - spare)
        filling.seek(0, os.SEEK_END)
        with contextlib.suppress(OSError):
            while not but_bytes:
                filling.write(bytes(1 << 16))
    return file


def _refused_for_want_of_disk(user: Tenant, name: str) -> None:
    """By the host, or, once it has said that it is full, before one is asked."""
    failed = user.settled(user.begin_server(name), "ERROR")
    words = failed.fault["message"]
    assert "the host's disk is full" in words or "of free disk" in words, words
    assert list(user.cloud.network.ports(device_id=failed.id)) == []


def _as_soon_as_there_is_room(user: Tenant, name: str) -> Any:
    """A host says every ten seconds what room it has."""

    def made() -> Any:
        server = user.begin_server(name)
        with contextlib.suppress(ResourceFailure):
            return user.settled(server)
        assert "of free disk" in user.cloud.compute.get_server(server.id).fault["message"]
        user.cloud.compute.delete_server(server)
        user.cloud.compute.wait_for_delete(server, interval=0.1, wait=BACK_S)
        return None

    return eventually(made, within_s=BACK_S, what="room on the host")


def test_a_full_host_refuses_servers_with_the_reason_and_lets_others_go(
    live: LiveCloud, user: Tenant, tmp_path: Path
) -> None:
    user.wire("10.67.0.0/24")
    with small_host(user, tmp_path) as where:
        filling = _fill(where, but_bytes=300 << 20)
        _refused_for_want_of_disk(user, "too-much")
        filling.unlink()
        kept = _as_soon_as_there_is_room(user, "kept")
        gone = user.server("gone")
        reachable(user, kept, user.address(gone))

        filling = _fill(where, but_bytes=0)
        _refused_for_want_of_disk(user, "no-room")
        compute = user.cloud.compute
        compute.stop_server(kept)
        user.settled(kept, "SHUTOFF")
        compute.delete_server(gone)
        compute.wait_for_delete(gone, interval=0.1, wait=BACK_S)
        filling.unlink()
        compute.start_server(kept)
        user.settled(kept)
        reachable(user, kept, user.address(_as_soon_as_there_is_room(user, "again")))


def test_an_upload_that_does_not_fit_is_refused_and_leaves_the_image_queued(tmp_path: Path) -> None:
    run(["mount", "-t", "tmpfs", "-o", "size=48M", "kumoi-test", tmp_path])
    try:
        with running_cloud(tmp_path, f"sqlite:///{tmp_path / 'store.db'}") as cloud:
            _refuse_uploads_and_writes_while_full(cloud, tmp_path)
    finally:
        run(["umount", tmp_path])


def _refuse_uploads_and_writes_while_full(cloud: RunningCloud, disk: Path) -> None:
    octets = {"Content-Type": "application/octet-stream"}
    with cloud.connect("admin", ADMIN_PASSWORD, "admin") as admin:
        made = admin.image.create_image("big", disk_format="raw", container_format="bare")
        path = f"/images/{made.id}/file"
        refused = admin.image.put(path, data=bytes(64 << 20), headers=octets)
        assert refused.status_code == 413
        assert "there is not enough disk space" in refused.text
        assert admin.image.get_image(made).status == "queued"
        assert list(cloud.here.image_dir.glob(".draft*")) == []

        filling = _fill(disk, but_bytes=0)
        asked = {"network": {"name": "late"}}
        assert admin.network.post("/networks", json=asked).status_code == 503
        assert admin.image.put(path, data=b"x", headers=octets).status_code == 413
        assert [network.name for network in admin.network.networks()] == []  # Reading goes on.
        filling.unlink()
        assert admin.network.post("/networks", json=asked).status_code == 201
        assert admin.image.put(path, data=bytes(1 << 20), headers=octets).status_code == 204
        assert admin.image.get_image(made).status == "active"


def test_an_image_that_is_not_what_it_says_is_refused_or_fails_with_the_reason(
    user: Tenant,
) -> None:
    image = user.cloud.image
    octets = {"Content-Type": "application/octet-stream"}
    lying = image.create_image("lying", disk_format="qcow2", container_format="bare")
    refused = image.put(f"/images/{lying.id}/file", data=archive({"a": b"x"}), headers=octets)
    assert refused.status_code == 400
    assert "disk_format is qcow2, the content is root-tar" in refused.text
    assert image.get_image(lying).status == "queued"

    made = image.create_image("bare", disk_format="root-tar", container_format="bare")
    data = archive({"etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n"})
    assert image.put(f"/images/{made.id}/file", data=data, headers=octets).status_code == 204
    failed = user.settled(user.begin_server("none", image_id=made.id, networks="none"), "ERROR")
    assert failed.fault["message"] == "the image has no /sbin/init to start"
