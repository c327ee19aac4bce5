"""Load balancers over OVN on a live cloud: real containers answer, real clients ask."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.system.live import LiveCloud, eventually
from tests.system.tenant import Tenant, connects, tenant

from kumoi.base.process import run

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

CIDR = "10.72.0.0/24"
PORT = 8080
DRAINS = 20
HANG_S = 30.0

SERVE = """
import socket, socketserver
name = socket.gethostname().encode() + b"\\n"
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline():
            self.wfile.write(name)
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128
Server(("::", 8080), Answer).serve_forever()
"""
ASK = """
import collections, json, socket, sys, threading, time
address, port, how_many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
names, failures = collections.Counter(), []
stop = threading.Event()
def ask(peer):
    peer.sendall(b"who?\\n")
    name = peer.makefile("rb").readline()
    if not name:
        raise ConnectionError("closed")
    return name.decode().strip()
def connect():
    peer = socket.create_connection((address, port), 5)
    peer.settimeout(5)
    return peer
def anew():
    "A connection for each request."
    for turn in range(how_many or 10**9):
        if stop.is_set():
            return
        try:
            with connect() as peer:
                names[ask(peer)] += 1
        except OSError as error:
            failures.append(f"anew: {error!r}")
        time.sleep(0.001)
def kept():
    "One connection for all requests."
    try:
        with connect() as peer:
            while not stop.is_set():
                names[ask(peer)] += 1
                time.sleep(0.005)
    except OSError as error:
        failures.append(f"kept: {error!r}")
workers = [threading.Thread(target=anew)]
if not how_many:
    workers += [threading.Thread(target=one) for one in (anew, kept, kept, kept)]
for one in workers: one.start()
print("asking", flush=True)
if not how_many:
    sys.stdin.read()
    stop.set()
for one in workers: one.join()
print(json.dumps({"names": names, "failures": failures}))
"""


@dataclass(frozen=True)
class Shop:
    """Two servers that say their names, one that asks, and nothing in between yet."""

    user: Tenant
    servers: tuple[Any, Any]
    client: Any

    def ends(self) -> list[dict[str, Any]]:
        return [
            {"address": self.user.address(server), "protocol_port": PORT} for server in self.servers
        ]

    def ask(self, address: str, times: int, *, port: int = 80) -> dict[str, int]:
        """How often who answered, each on a connection of its own. None fails."""
        done = self.user.inside(
            self.client, sys.executable, "-c", ASK, address, str(port), str(times)
        )
        said = json.loads(done.out.splitlines()[-1])
        assert said["failures"] == []
        found: dict[str, int] = said["names"]
        return found

    def serve(self, server: Any) -> None:
        """Let a server say its name."""
        self.user.root(server, "sh", "-c", f"cat > /serve.py <<'END'\n{SERVE}END")
        begin = "setsid python3 /serve.py >/dev/null 2>&1 </dev/null &"
        self.user.root(server, "sh", "-c", begin)
        pid = self.user.live.init_pid(server.id)
        eventually(lambda: connects(pid, "127.0.0.1", PORT), within_s=30, what="it listens")

    def answers(self, address: str, *, port: int = 80) -> bool:
        done = self.user.inside(
            self.client, sys.executable, "-c", ASK, address, str(port), "1", check=False
        )
        return done.status == 0 and not json.loads(done.out.splitlines()[-1])["failures"]

    def loading(self, address: str) -> list[str]:
        """What asks all the while, until its input ends."""
        return [sys.executable, "-c", ASK, address, "80", "0"]

    @contextlib.contextmanager
    def load(self, address: str) -> Iterator[None]:
        """Requests all the while, on new connections and on kept ones. None fails."""
        where = ["nsenter", "-t", str(self.user.live.init_pid(self.client.id)), "-n"]
        with subprocess.Popen(
            [*where, *self.loading(address)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as asking:
            assert asking.stdout is not None
            assert asking.stdout.readline() == "asking\n"
            try:
                yield
            finally:
                out, _ = asking.communicate(timeout=60)
        said = json.loads(out)

        assert said["failures"] == []
        assert sum(said["names"].values()) > 100


AnyShop = TypeVar("AnyShop", bound=Shop)


@contextlib.contextmanager
def opened(kind: type[AnyShop], live: LiveCloud, directory: Path, cidr: str) -> Iterator[AnyShop]:
    """A shop of two servers that serve, and a client, in a project of its own."""
    name = f"shop-{random.randrange(1 << 32):08x}"
    with tenant(live, name, directory) as user:
        user.wire(cidr, ports=(22, PORT))
        begun = [user.begin_server(server) for server in ("red", "blue", "client")]
        red, blue, client = (user.settled(server) for server in begun)
        made = kind(user, (red, blue), client)
        for server in made.servers:
            made.serve(server)
        yield made


@pytest.fixture(scope="module")
def shop(live: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(Shop, live, tmp_path_factory.mktemp("shop"), CIDR) as made:
        yield made


@pytest.fixture
def balancer(shop: Shop) -> Iterator[Any]:
    """One with a listener, a pool and both servers, made in one request."""
    made = _balancer(shop)
    eventually(lambda: shop.answers(made.vip_address), within_s=HANG_S, what="it answers")
    yield made
    shop.user.cloud.load_balancer.delete_load_balancer(made.id, cascade=True)


def test_the_command_line_makes_one_and_both_servers_answer(shop: Shop) -> None:
    user, made = shop.user, []

    def balance(*words: str) -> Any:
        return json.loads(cli(user, "loadbalancer", *words, "-f", "json"))

    try:
        begun = balance("create", "--vip-subnet-id", user.subnet.id, "--name", "cli", "--wait")
        made.append(begun["id"])
        assert begun["provisioning_status"] == "ACTIVE"
        web = ("--protocol", "TCP", "--protocol-port", "80")
        balance("listener", "create", *web, "--name", "web", "--wait", "cli")
        to = ("--listener", "web", "--protocol", "TCP", "--lb-algorithm", "ROUND_ROBIN")
        balance("pool", "create", *to, "--name", "web", "--wait")
        for end in shop.ends():
            where = ("--address", end["address"], "--protocol-port", str(PORT))
            balance("member", "create", *where, "--wait", "web")
        assert set(shop.ask(begun["vip_address"], 40)) == {"red", "blue"}
        states = json.loads(cli(user, "loadbalancer", "status", "show", "cli"))
        assert states["loadbalancer"]["operating_status"] == "ONLINE"
    finally:
        for key in made:
            cli(user, "loadbalancer", "delete", "--cascade", "--wait", key)


def cli(user: Tenant, *words: str) -> str:
    """The unmodified client in the tenant's name."""
    auth = user.live.clouds_yaml["clouds"][user.live.config.name]["auth"]
    env = user.live.env | {
        "OS_CLOUD": "",
        "OS_AUTH_TYPE": "token",
        "OS_AUTH_URL": auth["auth_url"],
        "OS_TOKEN": user.cloud.auth_token,
        "OS_PROJECT_ID": user.project_id,
        "OS_CACERT": str(user.live.here.pki_dir / "ca.crt"),
        "OS_IDENTITY_API_VERSION": "3",
    }
    return run(["openstack", *words], env=env, timeout_s=60).out


def test_shares_follow_the_weights(shop: Shop, balancer: Any) -> None:
    balancing = shop.user.cloud.load_balancer
    (pool,) = balancing.pools(load_balancer_id=balancer.id)
    red = next(one for one in balancing.members(pool) if one.address == shop.ends()[0]["address"])
    balancing.update_member(red, pool, weight=3)
    eventually(lambda: _is_active(shop, balancer), within_s=HANG_S, what="the weight is taken")
    named = shop.ask(balancer.vip_address, 400)

    assert 250 <= named["red"] <= 350


def test_members_drained_and_removed_under_load_cost_no_request(shop: Shop, balancer: Any) -> None:
    """Each is drained, removed and added again in turn: old connections live until they are done."""
    balancing = shop.user.cloud.load_balancer
    (pool,) = balancing.pools(load_balancer_id=balancer.id)
    with shop.load(balancer.vip_address):
        for turn in range(DRAINS):
            end = shop.ends()[turn % 2]
            (member,) = balancing.members(pool, address=end["address"])
            balancing.update_member(member, pool, weight=0)
            balancing.delete_member(member, pool)
            balancing.create_member(pool, **end)
            eventually(lambda: _is_active(shop, balancer), within_s=HANG_S, what="it is taken")


def test_processes_that_die_cost_no_request(shop: Shop, balancer: Any) -> None:
    live = shop.user.live
    with shop.load(balancer.vip_address):
        for unit in ("ovn-controller", "worker", "agent", "api"):
            before = live.pid(unit)
            os.kill(before, signal.SIGKILL)
            eventually(
                lambda unit=unit, before=before: live.pid(unit) not in (0, before),  # type: ignore[misc]
                within_s=HANG_S,
                what=f"{unit} is back",
            )
            time.sleep(2)  # Under load, with the new one.


def test_a_floating_ip_leads_to_the_balancer(shop: Shop, balancer: Any) -> None:
    net = shop.user.cloud.network
    outside = net.find_network("public")
    floating = net.create_ip(floating_network_id=outside.id, port_id=balancer.vip_port_id)
    done = run([sys.executable, "-c", ASK, floating.floating_ip_address, "80", "20"], timeout_s=60)
    said = json.loads(done.out.splitlines()[-1])
    net.delete_ip(floating)
    assert said["failures"] == []
    assert set(said["names"]) == {"red", "blue"}


def test_only_allowed_cidrs_are_heard_from_inside_and_outside(shop: Shop, balancer: Any) -> None:
    net, balancing = shop.user.cloud.network, shop.user.cloud.load_balancer
    floating = net.create_ip(
        floating_network_id=net.find_network("public").id, port_id=balancer.vip_port_id
    )
    (listener,) = balancing.listeners(load_balancer_id=balancer.id)
    inside = f"{shop.user.address(shop.client)}/32"

    def from_outside() -> bool:
        with contextlib.suppress(OSError):
            peer = socket.create_connection((floating.floating_ip_address, 80), timeout=1)
            peer.close()
            return True
        return False

    eventually(from_outside, within_s=HANG_S, what="it answers outside")
    balancing.update_listener(listener, allowed_cidrs=[inside])
    eventually(lambda: not from_outside(), within_s=HANG_S, what="nobody outside is heard")
    assert shop.answers(balancer.vip_address)
    assert shop.answers(floating.floating_ip_address)
    balancing.update_listener(listener, allowed_cidrs=["198.51.100.0/24"])
    eventually(lambda: not shop.answers(balancer.vip_address), within_s=HANG_S, what="nor inside")
    balancing.update_listener(listener, allowed_cidrs=None)
    eventually(from_outside, within_s=HANG_S, what="everybody is heard again")
    assert shop.answers(balancer.vip_address)
    net.delete_ip(floating)


def test_it_balances_without_a_router_and_with_one_that_leads_nowhere(shop: Shop) -> None:
    """The switch would abort if a router without a gateway balanced."""
    user, net = shop.user, shop.user.cloud.network
    bare, far = (net.create_network(name=name) for name in ("bare", "far"))
    subnets = [
        net.create_subnet(network_id=on.id, cidr=cidr, ip_version=4)
        for on, cidr in ((bare, "10.73.0.0/24"), (far, "10.74.0.0/24"))
    ]
    begun = [
        user.begin_server(name, networks=[{"uuid": on.id}])
        for name, on in (("green", bare), ("near", bare), ("distant", far))
    ]
    green, near, distant = (user.settled(one) for one in begun)
    shop.serve(green)
    switch = user.live.pid("ovs-vswitchd")
    end = {"address": user.address(green), "protocol_port": PORT}
    made = user.cloud.load_balancer.create_load_balancer(
        vip_subnet_id=subnets[0].id,
        listeners=[
            {
                "protocol": "TCP",
                "protocol_port": 80,
                "default_pool": {
                    "protocol": "TCP",
                    "lb_algorithm": "ROUND_ROBIN",
                    "members": [end],
                },
            }
        ],
    )
    within = Shop(user, shop.servers, near)
    eventually(lambda: within.answers(made.vip_address), within_s=HANG_S, what="it answers nearby")
    router = net.create_router(name="inner")
    for subnet in subnets:
        net.add_interface_to_router(router, subnet=subnet.id)
    across = Shop(user, shop.servers, distant)
    eventually(lambda: across.answers(made.vip_address), within_s=HANG_S, what="it answers afar")
    assert across.ask(made.vip_address, 20) == {"green": 20}
    assert within.ask(made.vip_address, 20) == {"green": 20}
    assert user.live.pid("ovs-vswitchd") == switch
    user.cloud.load_balancer.delete_load_balancer(made.id, cascade=True)


def test_an_ipv6_address_is_balanced_to_other_networks(shop: Shop) -> None:
    """By OVN and by a proxy, to members that are watched."""
    user, net = shop.user, shop.user.cloud.network
    user.allow(ether_type="IPv6", protocol="tcp", port_range_min=PORT, port_range_max=PORT)
    front, back = (net.create_network(name=name) for name in ("front6", "back6"))
    subnets = [
        net.create_subnet(network_id=on.id, cidr=cidr, ip_version=6)
        for on, cidr in ((front, "fd72:a::/64"), (back, "fd72:b::/64"))
    ]
    for subnet in subnets:
        net.add_interface_to_router(user.router, subnet=subnet.id)
    begun = [
        user.begin_server(name, networks=[{"uuid": on.id}])
        for name, on in (("six", back), ("seven", back), ("asker6", front))
    ]
    six, seven, asker = (user.settled(one) for one in begun)
    within = Shop(user, (six, seven), asker)
    for server in within.servers:
        within.serve(server)
    watched = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1}
    pool = {
        "protocol": "TCP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": within.ends(),
        "healthmonitor": watched,
    }
    of_ovn = {"protocol": "TCP", "protocol_port": 80, "default_pool": pool}
    of_a_proxy = {**of_ovn, "protocol_port": 81, "connection_limit": 100}
    made = user.cloud.load_balancer.create_load_balancer(
        name="six", vip_subnet_id=subnets[0].id, listeners=[of_ovn, of_a_proxy]
    )
    for port in (80, 81):
        eventually(
            lambda port=port: within.answers(made.vip_address, port=port),  # type: ignore[misc]
            within_s=HANG_S,
            what=f"port {port} answers",
        )
        eventually(
            lambda port=port: set(within.ask(made.vip_address, 20, port=port)) == {"six", "seven"},  # type: ignore[misc]
            within_s=HANG_S,
            what="both members answer",
        )
    user.cloud.load_balancer.delete_load_balancer(made.id, cascade=True)


def _balancer(shop: Shop) -> Any:
    pool = {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": shop.ends()}
    return shop.user.cloud.load_balancer.create_load_balancer(
        name="shop",
        vip_subnet_id=shop.user.subnet.id,
        listeners=[{"protocol": "TCP", "protocol_port": 80, "default_pool": pool}],
    )


def _is_active(shop: Shop, balancer: Any) -> bool:
    now = shop.user.cloud.load_balancer.get_load_balancer(balancer.id)
    return bool(now.provisioning_status == "ACTIVE")
