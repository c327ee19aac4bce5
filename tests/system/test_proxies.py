"""The proxy of a balancer as a host keeps it: real processes in a network namespace, without a switch.

The far end of the station's link has the gateway's address; members and clients are there.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from tests import certificates
from tests.system.live import eventually

from kumoi.base import namespace, process
from kumoi.base.errors import Invalid, Transient
from kumoi.cloud.agent.kinds.load_balancer_plan import SeenBalancer, TellProxy, plan
from kumoi.cloud.domain.load_balancer import tls, tls_context
from kumoi.cloud.drivers.instance import fence, kernel
from kumoi.cloud.drivers.instance.lxc.config import OOM_SCORE as OOM_OF_SERVERS
from kumoi.cloud.drivers.load_balancer.haproxy import tls as haproxy_tls
from kumoi.cloud.drivers.load_balancer.haproxy.apply import (
    BEFORE_MAX,
    PRIORITY,
    PROGRAM,
    Proxies,
    ProxyLaunch,
)
from kumoi.cloud.drivers.load_balancer.proxy_group import ProxyGroup
from kumoi.cloud.drivers.load_balancer.station import Stations, link_name
from kumoi.cloud.drivers.network.fake import FakeSwitch
from kumoi.cloud.hostapi.load_balancer import (
    BalancerThing,
    L7PolicySpec,
    L7RuleSpec,
    MemberSpec,
    MemberTlsSpec,
    PoolSpec,
    ProxiedListener,
    StationLink,
    TlsSpec,
)
from kumoi.hosts.units import launch
from kumoi.hosts.units.confinement import INET, UNIX, Confinement, launched

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

HOST, ID = "ktestlb", "00000000-0000-4000-8000-0000000000aa"
VIP, MEMBERS_AT = "10.9.0.5", "10.9.1.1"
LINK = StationLink(
    id="s", port_id=ID, mac="fa:16:3f:00:00:09", mtu=1442, address="169.254.0.2/29",
    gateway="169.254.0.1", gateway_mac="fa:16:3f:00:00:01", first_port=32_768,
    first_free_port=33_792, last_port=49_151,
)  # fmt: skip
MEMORY_KIB = 15 * 1024
FLOOD = 900
HANG_S = 30.0
MATCH_MAX_S = 1.0  # Fifty times what was seen, of processor.
HTTP = ProxiedListener(id="http", protocol="HTTP", port=80, station_port=32_768, pool_id="web")


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = str(self.connection.getsockname()[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Quiet: a proxy that was killed has reset its connections."""


@dataclass
class Host:
    """One that has a namespace of its own, and an agent that may be another one later."""

    directory: Path
    outside: Path
    stations: Stations
    proxies: Proxies
    threads: list[threading.Thread] = field(default_factory=list)
    kept: list[socket.socket] = field(default_factory=list)

    def inside(self, work: Callable[[], Any]) -> Any:
        """Done where members and clients are."""
        return namespace.within(self.outside, work)

    def member(self, shows: str = "", asks_for: str = "") -> MemberSpec:
        """With a certificate that it `shows` it speaks TLS, with clients signed by whom it `asks_for`."""
        server = self.inside(lambda: Server((MEMBERS_AT, 0), Answer))
        if shows:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            kept = self.directory / "member.pem"
            kept.write_text(shows)
            context.load_cert_chain(kept)
            if asks_for:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(cadata=asks_for)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        port = server.server_address[1]
        return MemberSpec(id=f"m{port}", address=MEMBERS_AT, port=port)

    def connect(self) -> socket.socket:
        made: socket.socket = self.inside(lambda: socket.create_connection((VIP, 32_768), HANG_S))
        return made

    def settle(self, wanted: BalancerThing) -> list[str]:
        """What it did."""
        seen = self.observe()
        sock = str(self.proxies.command_socket(ID))
        directory = str(self.stations.directory_of(ID))
        actions = plan(wanted, seen, {}, socket=sock, directory=directory)
        for action in actions:
            match str(action).split()[0]:
                case "start" | "replace":
                    self.proxies.start(wanted, {})
                case "tell":
                    assert isinstance(action, TellProxy)
                    self.proxies.tell(ID, action.commands)
                case "answer":
                    self.stations.answer_pings(wanted)
                case "stop":
                    self.proxies.stop(ID)
        return [str(action).partition(":")[0] for action in actions]

    def observe(self) -> SeenBalancer:
        station = self.inside(lambda: self.stations.observe(ID))
        assert station is not None
        return SeenBalancer(station, self.proxies.observe(ID))

    def pid(self) -> int:
        seen = self.proxies.observe(ID)
        return 0 if seen is None else seen.pid

    def another_agent(self) -> None:
        """As after a restart: nothing is remembered."""
        for one in self.proxies._listening.pop(ID, {}).values():
            one.close()


@pytest.fixture
def host() -> Iterator[Host]:
    """Its directory has a short name: that of a socket ends after 97 characters."""
    tmp_path = Path(tempfile.mkdtemp(prefix=HOST, dir="/var/tmp"))
    tmp_path.chmod(0o755)
    outside = namespace.NAMESPACES / HOST
    namespace.remove(outside)
    process.run(["ip", "netns", "add", HOST])
    user = pwd.getpwnam("nobody")

    def launch(wanted: ProxyLaunch) -> subprocess.Popen[bytes]:
        confined = Confinement(
            user="nobody",
            group="nogroup",
            state=str(wanted.state),
            writes=(str(wanted.state),),
            reads=(str(wanted.config),),
            families=(UNIX, INET),
        )
        argv = launched(confined, wanted.argv, namespace=str(wanted.namespace))
        return process.start(argv, log=tmp_path / "proxy.log", descriptors=wanted.descriptors)

    stations = Stations(host_name=HOST, directory=tmp_path / "lb", switch=FakeSwitch())
    state = tmp_path / "run"
    state.mkdir()
    group = ProxyGroup(HOST, ram_mib=0)
    group.ensure()
    proxies = Proxies(stations, state, (user.pw_uid, user.pw_gid), launch, group)
    made = Host(tmp_path, outside, stations, proxies)
    balancer = BalancerThing(id=ID, generation=1, address=VIP, station=LINK)
    made.inside(lambda: stations.make(balancer))
    stations.plug(balancer)
    name = link_name(ID)
    for words in (
        ["link", "set", name, "address", LINK.gateway_mac],
        ["address", "add", "169.254.0.1/29", "dev", name],
        ["address", "add", f"{MEMBERS_AT}/32", "dev", name],
        ["link", "set", "lo", "up"],
        ["route", "add", VIP, "via", "169.254.0.2"],
    ):
        process.run(["ip", "-n", HOST, *words])
    try:
        yield made
    finally:
        for one in made.kept:
            one.close()
        print((tmp_path / "proxy.log").read_text() if (tmp_path / "proxy.log").exists() else "")  # noqa: T201
        proxies.stop(ID)
        namespace.remove(stations.namespace(ID))
        namespace.remove(outside)
        group.remove()
        shutil.rmtree(tmp_path)


def served(*members: MemberSpec, **listener: Any) -> BalancerThing:
    return BalancerThing(
        id=ID,
        generation=1,
        address=VIP,
        station=LINK,
        listeners=[msgspec.structs.replace(HTTP, **listener)],
        pools=[PoolSpec(id="web", protocol="HTTP", members=list(members))],
    )


def ask(peer: socket.socket) -> str:
    """On a connection that is kept; empty where it was closed instead."""
    return exchange(peer)[1]


def exchange(peer: socket.socket) -> tuple[bool, str]:
    """Whether the connection stays for another request, and what was answered."""
    peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.partition(b"\r\n\r\n")[2]:
        some = peer.recv(4_096)
        if not some:
            return False, ""
        answer += some
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], answer
    return b"connection: close" not in head.lower(), body.decode()


def test_it_serves_and_is_told_of_members_without_another_process(host: Host) -> None:
    red, blue = host.member(), host.member()
    assert host.settle(served(red)) == ["start proxy"]
    pid = host.pid()
    with host.connect() as kept:
        assert {ask(kept), ask(kept)} == {str(red.port)}
        assert host.settle(served(red, blue)) == ["tell proxy"]
        assert {ask(kept), ask(kept)} == {str(red.port), str(blue.port)}
        assert host.settle(served(blue)) == ["tell proxy"]
        assert {ask(kept), ask(kept)} == {str(blue.port)}
        assert host.settle(served(blue)) in ([], ["tell proxy"])  # Its last connection may live.
    assert host.pid() == pid
    assert Path(f"/proc/{pid}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert os.getpriority(os.PRIO_PROCESS, pid) == PRIORITY
    score = int(Path(f"/proc/{pid}/oom_score_adj").read_text())
    assert OOM_OF_SERVERS < score == launch.OOM_OF_PROXIES < launch.OOM_OF_HELPERS


@pytest.mark.parametrize("pattern", ["^/(a|a)*[bc]$", "^/(a|aa)+$", "^/((a+)+)+[bc]$"])
def test_a_pattern_that_goes_back_and_forth_costs_little(host: Host, pattern: str) -> None:
    """Each of these takes 2 to the 100 steps for this path, but for the limit of the proxy's engine."""
    rule = L7RuleSpec(id="rule", type="PATH", compare_type="REGEX", value=pattern)
    policy = L7PolicySpec(action="REJECT", rules=[rule])
    host.settle(served(host.member(), policies=[policy]))
    before_s = _computed_s(host.pid())
    with host.connect() as peer:
        peer.sendall(f"GET /{'a' * 100}! HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert peer.recv(4_096).startswith(b"HTTP/1.1 200")
    assert _computed_s(host.pid()) - before_s < MATCH_MAX_S


def _computed_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_another_listener_replaces_the_process_and_no_connection_is_lost(host: Host) -> None:
    red = host.member()
    host.settle(served(red))
    with host.connect() as kept:
        assert ask(kept) == str(red.port)
        before = host.pid()
        assert host.settle(served(red, connection_limit=100)) == ["replace proxy"]
        assert host.pid() != before
        assert ask(kept) == str(red.port)  # The old one answers, and says that it closes.
    with host.connect() as new:
        assert ask(new) == str(red.port)
    path = host.stations.namespace(ID)
    eventually(
        lambda: len(namespace.processes(path)) == 1, within_s=HANG_S, what="the old one ends"
    )


def test_a_proxy_is_small(host: Host) -> None:
    red = host.member()
    host.settle(served(red))
    for _ in range(100):
        with host.connect() as peer:
            assert ask(peer) == str(red.port)
    words = Path(f"/proc/{host.pid()}/status").read_text().split()
    assert int(words[words.index("VmRSS:") + 1]) <= MEMORY_KIB


class SmallGroup(ProxyGroup):
    """Of a machine with little memory, and room for as many as it is said to have MiB."""

    @property
    def most_mib(self) -> int:
        return 10  # Of which it takes 4 before there is a connection, and each takes a hundredth.

    @property
    def most_proxies(self) -> int:
        return self.ram_mib


def killed_for_memory() -> int:
    """How many processes of the group the kernel has ended."""
    for file in ("memory/{}/memory.oom_control", "{}/memory.events"):
        path = fence.ROOT / file.format(f"{HOST}.proxies")
        if path.exists():
            return int(re.search(r"^oom_kill (\d+)", path.read_text(), re.MULTILINE)[1])  # type: ignore[index]
    raise AssertionError("the group is not there")


def never_reads(host: Host) -> MemberSpec:
    def listen() -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        made.bind((MEMBERS_AT, 0))
        made.listen(FLOOD)
        return made

    host.kept.append(host.inside(listen))
    return MemberSpec(id="deaf", address=MEMBERS_AT, port=host.kept[-1].getsockname()[1])


def test_a_flood_of_connections_ends_the_proxy_and_it_begins_again(host: Host) -> None:
    """Without a bound it took what servers and the control plane need."""
    host.proxies.group = SmallGroup(HOST, ram_mib=2)
    host.proxies.group.ensure()
    wanted = served(never_reads(host))
    host.settle(wanted)
    pid, began = host.pid(), killed_for_memory()
    for _ in range(FLOOD):
        if not Path(f"/proc/{pid}/fd/0").exists():
            break
        with contextlib.suppress(OSError):
            host.kept.append(host.connect())
            host.kept[-1].settimeout(0)
            host.kept[-1].send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n")
            host.kept[-1].send(bytes(40_000))
    eventually(lambda: host.pid() != pid, within_s=HANG_S, what="the proxy to end")
    assert killed_for_memory() > began
    red = host.member()
    assert host.settle(served(red)) == ["start proxy"]
    with host.connect() as peer:
        assert ask(peer) == str(red.port)


def test_there_are_no_more_proxies_than_have_room(host: Host) -> None:
    host.proxies.group = SmallGroup(HOST, ram_mib=1)
    with process.start(["sleep", "60"], log=host.directory / "sleep.log") as other:
        host.proxies.group.join(other.pid)
        with pytest.raises(Transient, match="as many proxies"):
            host.settle(served(host.member()))
        other.kill()
    assert host.settle(served(host.member())) == ["start proxy"]


def test_one_that_an_agent_of_before_started_is_bounded_as_well(host: Host) -> None:
    red = host.member()
    host.settle(served(red))
    tops = [path for path in (fence.ROOT / "memory", fence.ROOT / "pids") if path.exists()]
    for top in tops or [fence.ROOT]:
        (top / "cgroup.procs").write_text(f"{host.pid()}\n")
    pid = host.pid()
    assert f"/{HOST}.proxies" not in Path(f"/proc/{pid}/cgroup").read_text()
    host.another_agent()
    assert host.pid() == pid
    assert f"/{HOST}.proxies" in Path(f"/proc/{pid}/cgroup").read_text()


def test_of_those_that_others_took_over_from_the_last_few_stay(host: Host) -> None:
    """Each change of a listener left one for an hour, and a connection that does nothing keeps it. Both
    take connections for a moment, so now and then one is the older's and the newer has none.
    """
    red = host.member()
    path = host.stations.namespace(ID)
    counts = []
    with contextlib.ExitStack() as kept:
        for turn in range(BEFORE_MAX + 7):
            host.settle(served(red, connection_limit=100 + turn))
            assert ask(kept.enter_context(host.connect())) == str(red.port)
            counts.append(len(namespace.processes(path)))
    assert max(counts) == BEFORE_MAX + 1


@dataclass
class Load:
    """Requests all the while, on new connections and on kept ones. A connection whose answer says that
    it closes is not asked again; where one is `lost` nevertheless, its request is sent once more, as
    HTTP allows. With `tls` it is asked by that.
    """

    host: Host
    tls: ssl.SSLContext | None = None
    answered: list[int] = field(default_factory=lambda: [0] * 4)
    lost: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def work(self, number: int) -> None:
        keeps = number % 2 == 0
        with self.host.outside.open("rb") as opened:
            kernel.enter_network(opened.fileno())
        kept: socket.socket | None = None
        while not self.stop.is_set():
            try:
                kept = self.request(kept)
            except (OSError, AssertionError) as error:
                self.lost.append(repr(error))
                try:
                    kept = self.request(None)
                except (OSError, AssertionError) as again:
                    kept = None
                    self.failures.append(f"keeps={keeps}: {error!r}, then {again!r}")
            self.answered[number] += 1
            if kept is not None and not keeps:
                kept.close()
                kept = None

    def request(self, kept: socket.socket | None) -> socket.socket | None:
        """On that connection or a new one; gives the one that stays. Raises OSError."""
        peer = kept or self.connect()
        stays, answer = exchange(peer)
        if not answer:
            raise ConnectionResetError("closed")
        if stays:
            return peer
        peer.close()
        return None

    def connect(self) -> socket.socket:
        peer = socket.create_connection((VIP, 32_768), HANG_S)
        return peer if self.tls is None else self.tls.wrap_socket(peer)

    def wait_for_all(self) -> None:
        """Until each client has done with what it was at, and with one more."""
        before = list(self.answered)
        eventually(
            lambda: all(now > then + 1 for now, then in zip(self.answered, before, strict=True)),
            within_s=HANG_S,
            what="each client goes on",
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self.work, args=[number])
            for number in range(len(self.answered))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()


def test_no_connection_is_lost_while_members_listeners_and_agents_come_and_go(host: Host) -> None:
    """Nobody has to send a request twice."""
    red, blue = host.member(), host.member()
    host.settle(served(red, blue))
    load = Load(host)
    with load.running():
        for turn in range(12):
            host.settle(served(*((red,), (red, blue), (blue,))[turn % 3]))
            if turn % 2:
                host.another_agent()
            assert host.settle(served(red, blue, connection_limit=100 + turn)) == ["replace proxy"]
    assert load.lost == []
    assert sum(load.answered) > 100


def test_no_request_is_lost_while_processes_die(host: Host) -> None:
    """What a process had accepted dies with it; what begins later waits for the next one."""
    red = host.member()
    host.settle(served(red))
    load = Load(host)
    with load.running():
        for turn in range(6):
            before = host.pid()
            if turn % 2:
                host.another_agent()
                host.observe()
            os.kill(before, signal.SIGKILL)
            eventually(lambda: host.pid() == 0, within_s=HANG_S, what="it has died")
            assert host.settle(served(red)) == ["start proxy"]
            load.wait_for_all()
    assert load.failures == []
    assert load.lost


def test_a_station_is_made_anew_where_one_was_and_stops_to_answer_pings_without(
    host: Host,
) -> None:
    wanted = served()
    host.inside(lambda: host.stations.make(wanted))
    assert host.settle(msgspec.structs.replace(wanted, listeners=[])) == []
    silent = msgspec.structs.replace(
        wanted, listeners=[], station=msgspec.structs.replace(LINK, answers_ping=False)
    )
    assert host.settle(silent) == ["answer no pings"]
    assert host.settle(silent) == []


def pem(name: str) -> str:
    """A certificate that it signed itself, with its key."""
    key, made = certificates.signed(name)
    return (certificates.key_pem(key) + certificates.certificate_pem(made)).decode()


def any_server(*alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def shown(peer: ssl.SSLSocket) -> str:
    """Whose certificate it is."""
    found = x509.load_der_x509_certificate(peer.getpeercert(binary_form=True) or b"")
    return found.subject.rfc4514_string().removeprefix("CN=")


def terminated(*members: MemberSpec, **tls: Any) -> BalancerThing:
    return served(*members, protocol="TERMINATED_HTTPS", tls=TlsSpec(**tls))


def test_it_ends_tls_with_the_certificate_that_the_client_asks_for(host: Host) -> None:
    red = host.member()
    tls = TlsSpec(certificates=[pem("first.test"), pem("second.test")], versions=["TLSv1.3"])
    host.settle(served(red, protocol="TERMINATED_HTTPS", tls=tls))
    for name, expected in (
        ("first.test", "first.test"),
        ("second.test", "second.test"),
        ("other.test", "first.test"),
    ):
        with any_server().wrap_socket(host.connect(), server_hostname=name) as peer:
            assert shown(peer) == expected
            assert peer.version() == "TLSv1.3"
            assert ask(peer) == str(red.port)


def test_another_certificate_takes_over_and_no_connection_is_lost(host: Host) -> None:
    red = host.member()
    wanted = terminated(red, certificates=[pem("first.test"), pem("beside.test")])
    host.settle(wanted)
    keys = sorted(host.stations.directory_of(ID).glob("*.pem"))
    assert len(keys) == 2
    for key in keys:
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    with any_server().wrap_socket(host.connect()) as kept:
        assert (shown(kept), ask(kept)) == ("first.test", str(red.port))
        other = terminated(red, certificates=[pem("second.test")])
        assert host.settle(other) == ["replace proxy"]
        assert ask(kept) == str(red.port)
    with any_server().wrap_socket(host.connect()) as new:
        assert (shown(new), ask(new)) == ("second.test", str(red.port))
    assert sorted(host.stations.directory_of(ID).glob("*.pem")) == keys[:1]


def test_certificates_that_change_under_load_cost_no_connection(host: Host) -> None:
    red = host.member()
    pems = [pem("first.test"), pem("second.test")]
    host.settle(terminated(red, certificates=pems[:1]))
    load = Load(host, any_server())
    with load.running():
        for turn in range(1, 7):
            changed = terminated(red, certificates=[pems[turn % 2]])
            assert host.settle(changed) == ["replace proxy"]
            load.wait_for_all()
            with any_server().wrap_socket(host.connect()) as peer:
                assert shown(peer) == ("first.test", "second.test")[turn % 2]
    assert load.lost == []


ODD: dict[str, Callable[[], tuple[Any, x509.Certificate]]] = {
    "short RSA": lambda: own(rsa.generate_private_key(65_537, 1_024)),
    "RSA": lambda: own(rsa.generate_private_key(65_537, 2_048)),
    "Ed25519": lambda: own(ed25519.Ed25519PrivateKey.generate(), digest=None),
    "Ed448": lambda: own(ed448.Ed448PrivateKey.generate(), digest=None),
    "a short curve": lambda: own(ec.generate_private_key(ec.SECP192R1())),
    "a curve that no client has": lambda: own(ec.generate_private_key(ec.SECP256K1())),
    "a curve of BSI": lambda: own(ec.generate_private_key(ec.BrainpoolP256R1())),
    "ended": lambda: own(ec.generate_private_key(ec.SECP256R1()), days=-30),
    "thousands of names": lambda: own(
        ec.generate_private_key(ec.SECP256R1()),
        names=[f"n{number}.test" for number in range(5_000)],
    ),
}


def own(key: Any, **said: Any) -> tuple[Any, x509.Certificate]:
    return key, certificates.signed_by(key, **said)


CHAINS: dict[str, list[str]] = {
    "itself again": ["RSA", "RSA"],
    "short RSA above it": ["RSA", "short RSA"],
}


@pytest.mark.parametrize("what", [*ODD, *CHAINS])
def test_what_the_api_takes_of_certificates_the_proxy_loads(tmp_path: Path, what: str) -> None:
    """One that it does not load kept the balancer from its next start, with all its listeners."""
    made = [ODD[name]() for name in CHAINS.get(what, [what])]
    chain = b"".join(certificates.certificate_pem(one) for _, one in made)
    text = (certificates.key_pem(made[0][0]) + chain).decode()
    (tmp_path / "own.pem").write_text(text)
    config = f"frontend x\n  mode http\n  bind 127.0.0.1:1 ssl crt {tmp_path}/own.pem\n"
    (tmp_path / "config").write_text(f"defaults\n  timeout client 1s\n{config}")
    checked = process.run([PROGRAM, "-c", "-f", str(tmp_path / "config")], check=False)
    try:
        tls_context.require_bundle(text, "default_tls_container_ref", "it")
    except Invalid as error:
        assert error.field == "default_tls_container_ref"
        assert checked.status != 0, error.message
    else:
        assert checked.status == 0, checked.err


CIPHERS = (
    "HIGH", "nonsense", "@SECLEVEL=0:ALL", "HIGH:nonsense", ":", "!ALL", "TLS_AES_256_GCM_SHA384", "TLS_NONSENSE",
    "TLS_AES_256_GCM_SHA384:TLS_NONSENSE", tls.DEFAULT_CIPHERS,
)  # fmt: skip


@pytest.mark.parametrize("ciphers", CIPHERS)
def test_what_the_api_takes_of_ciphers_the_proxy_knows(tmp_path: Path, ciphers: str) -> None:
    (tmp_path / "own.pem").write_text(pem("first.test"))
    wanted = terminated(certificates=["as it is"], ciphers=ciphers).listeners[0]
    words = " ".join([*haproxy_tls.options(wanted, str(tmp_path))]).replace("http.0.pem", "own.pem")
    config = f"frontend x\n  mode http\n  bind 127.0.0.1:1 {words}\n"
    (tmp_path / "config").write_text(f"defaults\n  timeout client 1s\n{config}")
    checked = process.run([PROGRAM, "-c", "-f", str(tmp_path / "config")], check=False)
    assert not tls_context.knows_ciphers(ciphers) or checked.status == 0, checked.err


def test_one_that_cannot_begin_is_noticed_at_once_and_the_one_before_goes_on(host: Host) -> None:
    """It was waited for, for 10 s, six times for each change: eight such balancers kept all servers of a host waiting."""
    red = host.member()
    host.settle(terminated(red, certificates=[pem("first.test")]))
    with pytest.raises(Transient, match="ended at its start"):
        host.settle(terminated(red, certificates=["no certificate"]))
    with any_server().wrap_socket(host.connect()) as peer:
        assert (shown(peer), ask(peer)) == ("first.test", str(red.port))


def test_it_agrees_on_a_protocol_and_asks_clients_for_certificates(host: Host) -> None:
    red, known = host.member(), pem("client.test")
    wanted = terminated(
        red,
        certificates=[pem("shop.test")],
        client_authority=known[known.index("-----BEGIN CERT") :],
        client_authentication="MANDATORY",
        alpn=["h2", "http/1.1"],
        versions=["TLSv1.2"],
    )
    host.settle(wanted)
    client = host.directory / "client.pem"
    client.write_text(known)
    for alpn in ("h2", "http/1.1"):
        context = any_server(alpn)
        context.load_cert_chain(client)
        with context.wrap_socket(host.connect()) as peer:
            assert (peer.selected_alpn_protocol(), peer.version()) == (alpn, "TLSv1.2")
    with pytest.raises(ssl.SSLError):
        any_server().wrap_socket(host.connect())
    client.write_text(pem("other.test"))
    context.load_cert_chain(client)
    with pytest.raises(ssl.SSLError):
        context.wrap_socket(host.connect())


def test_it_speaks_tls_to_members_that_it_can_trust_also_to_new_ones(host: Host) -> None:
    theirs, mine = pem("member.test"), pem("proxy.test")
    authority, own = (text[text.index("-----BEGIN CERT") :] for text in (theirs, mine))
    red, blue, alien = (
        host.member(theirs, own), host.member(theirs, own), host.member(pem("alien.test"))
    )  # fmt: skip
    said = MemberTlsSpec(certificate=mine, authority=authority, versions=["TLSv1.3"])

    def wanted(*members: MemberSpec) -> BalancerThing:
        pool = PoolSpec(id="web", protocol="HTTP", members=list(members), tls=True, tls_with=said)
        return msgspec.structs.replace(served(), pools=[pool])

    assert host.settle(wanted(red)) == ["start proxy"]
    for members, action in (((red,), []), ((blue,), ["tell proxy"])):
        assert host.settle(wanted(*members)) == action
        with host.connect() as peer:
            assert ask(peer) == str(members[0].port)
    host.settle(wanted(alien))
    with host.connect() as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert peer.recv(64).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize("is_same_agent", [True, False])
def test_connections_that_begin_while_a_dead_one_is_replaced_wait(
    host: Host, *, is_same_agent: bool
) -> None:
    red = host.member()
    host.settle(served(red))
    if not is_same_agent:
        host.another_agent()
    assert host.settle(served(red)) == []
    before = host.pid()
    os.kill(before, signal.SIGKILL)
    eventually(lambda: host.pid() == 0, within_s=HANG_S, what="it has died")
    with host.connect() as waiting:
        assert host.settle(served(red)) == ["start proxy"]
        assert ask(waiting) == str(red.port)
