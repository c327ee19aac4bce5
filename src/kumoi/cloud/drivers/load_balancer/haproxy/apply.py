"""The HAProxy processes of a host: one in each station whose balancer has listeners that need it.

A process is found by its command socket and asked what it is; nothing is remembered of it. Its
listening sockets are made here and inherited, and kept open here too: when a process dies, connections
that begin wait in them for the next one, and an agent that dies takes them back from the process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kumoi.base import files, namespace
from kumoi.base.errors import Transient
from kumoi.base.files import Promise
from kumoi.cloud.drivers.instance import kernel
from kumoi.cloud.drivers.load_balancer.haproxy.config import ProxyServer, render
from kumoi.cloud.drivers.load_balancer.haproxy.plan import read_counters, read_servers
from kumoi.cloud.drivers.load_balancer.proxy_group import ProxyGroup
from kumoi.cloud.drivers.load_balancer.station import Stations
from kumoi.cloud.hostapi.load_balancer import (
    BalancerThing,
    ListenerCounters,
    ProxiedListener,
)
from kumoi.hosts.units import launch

PROGRAM = "/usr/sbin/haproxy"
BACKLOG = 4_096
ANSWER_S = 2.0
START_S = 10.0
POLL_S = 0.005
BEFORE_MAX = 3
"""Of one balancer, processes that another took over from and that have connections still."""
PRIORITY = 5
"""As nice(1) counts: a third of what a process of the control plane has. What a proxy computes is its tenant's
to say, by connections and by patterns.
"""


@dataclass(frozen=True, slots=True)
class SeenProxy:
    """A process that takes commands. `signature` is of the configuration that it was started with."""

    pid: int
    signature: str
    servers: tuple[ProxyServer, ...] = ()
    counters: Mapping[str, ListenerCounters] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyLaunch:
    """What to start: in that network namespace, with `state` as its own directory and `config` to
    read, and those descriptors.
    """

    argv: tuple[str, ...]
    namespace: Path
    state: Path
    config: Path
    descriptors: Sequence[int]


@dataclass(slots=True)
class Proxies:
    """Of one host. `state` has a directory for each process, `launch` starts one, `group` has all of them; `owner` is
    the user and group that it runs as.
    """

    stations: Stations
    state: Path
    owner: tuple[int, int]
    launch: Callable[[ProxyLaunch], subprocess.Popen[bytes]]
    group: ProxyGroup
    _listening: dict[str, dict[int, socket.socket]] = field(default_factory=dict)

    def observe(self, balancer_id: str) -> SeenProxy | None:
        """One that an earlier agent started gives us its listening sockets, to be kept open too. An agent of the release
        before has put it into no group.
        """
        seen = self._look(balancer_id)
        if seen is not None and balancer_id not in self._listening:
            self._listening[balancer_id] = _listening_of(seen.pid)
            self.group.join(seen.pid)
        return seen

    def _look(self, balancer_id: str) -> SeenProxy | None:
        try:
            said = self._ask(balancer_id, "show info")
            servers = self._ask(balancer_id, "show servers state")
            counted = self._ask(balancer_id, "show stat -1 1 -1")
        except OSError:
            return None
        facts = dict(line.partition(": ")[::2] for line in said.splitlines())
        return SeenProxy(
            int(facts["Pid"]),
            facts.get("description", ""),
            tuple(read_servers(servers)),
            read_counters(counted),
        )

    def start(self, balancer: BalancerThing, states: Mapping[str, str]) -> None:
        """A process as wanted; one that runs hands over to it and ends after its last connection. Raises Transient."""
        before = self.observe(balancer.id)
        if before is None and not self.group.has_room():
            raise Transient("this host has as many proxies of balancers as have room in its memory")
        own = self.state / balancer.id
        own.mkdir(mode=0o700, exist_ok=True)
        os.chown(own, *self.owner)
        sockets = self._sockets(balancer)
        descriptors = {
            listener.id: sockets[listener.station_port].fileno() for listener in balancer.listeners
        }
        directory = self.stations.directory_of(balancer.id)
        config = directory / "haproxy.cfg"
        wanted = render(
            balancer,
            states,
            socket=str(self.command_socket(balancer.id)),
            directory=str(directory),
            descriptors=descriptors,
        )
        for name, content in wanted.files.items():
            files.replace(directory / name, content, promise=Promise.KILL, owner=self.owner)
        owner = (0, self.owner[1])
        files.replace(config, wanted.text, promise=Promise.KILL, mode=0o640, owner=owner)
        launched = ProxyLaunch(
            argv=(PROGRAM, "-db", "-f", str(config)),
            namespace=self.stations.namespace(balancer.id),
            state=own,
            config=config,
            descriptors=list(descriptors.values()),
        )
        child = self.launch(launched)
        self.group.join(child.pid)
        pid = self._wait(balancer.id, wanted.signature, child, other_than=before)
        _come_after_the_control_plane(pid)
        if before is not None:  # Not by the new one (-sf): its walls let it signal nobody.
            with contextlib.suppress(ProcessLookupError):
                os.kill(before.pid, signal.SIGUSR1)
            self._end_oldest(balancer.id, pid)
        self._forget(balancer)
        for path in directory.glob("*.pem"):
            if path.name not in wanted.files:
                path.unlink(missing_ok=True)

    def tell(self, balancer_id: str, commands: Sequence[str]) -> None:
        """What it says is not decided on: the next look shows what became of it."""
        try:
            self._ask(balancer_id, "; ".join(commands))
        except OSError as cause:
            raise Transient("the proxy of a balancer does not take commands") from cause

    def stop(self, balancer_id: str) -> None:
        """At once, with all its connections."""
        namespace.end(namespace.processes(self.stations.namespace(balancer_id)))
        for one in self._listening.pop(balancer_id, {}).values():
            one.close()
        shutil.rmtree(self.state / balancer_id, ignore_errors=True)

    def command_socket(self, balancer_id: str) -> Path:
        return self.state / balancer_id / "command"

    def _end_oldest(self, balancer_id: str, pid: int) -> None:
        """Of those before that one. Each change of a listener leaves one, as long as it has a connection."""
        found = namespace.processes(self.stations.namespace(balancer_id))
        before = sorted((one for one in found if one != pid), key=_started)
        namespace.end(before[:-BEFORE_MAX])

    def _ask(self, balancer_id: str, command: str) -> str:
        """Raises OSError."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(ANSWER_S)
            peer.connect(str(self.command_socket(balancer_id)))
            peer.sendall(f"{command}\n".encode())
            answer = b""
            while some := peer.recv(65_536):
                answer += some
        return answer.decode(errors="replace")

    def _wait(
        self,
        balancer_id: str,
        signature: str,
        child: subprocess.Popen[bytes],
        *,
        other_than: SeenProxy | None,
    ) -> int:
        """Its process id. Raises Transient, at once where it has ended: who waits keeps others of the host waiting."""
        until = time.monotonic() + START_S
        old = 0 if other_than is None else other_than.pid
        while time.monotonic() < until:
            seen = self._look(balancer_id)
            if seen is not None and seen.pid != old and seen.signature == signature:
                return seen.pid
            if child.poll() is not None:
                raise Transient("the proxy of a balancer ended at its start, as proxy.log says")
            time.sleep(POLL_S)
        raise Transient("the proxy of a balancer has not begun to take commands")

    def _sockets(self, balancer: BalancerThing) -> Mapping[int, socket.socket]:
        """The listening ones, by their port."""
        mine = self._listening.setdefault(balancer.id, {})
        for listener in balancer.listeners:
            if listener.station_port not in mine:
                mine[listener.station_port] = self._listen(balancer, listener)
        return mine

    def _listen(self, balancer: BalancerThing, listener: ProxiedListener) -> socket.socket:
        family = socket.AF_INET6 if ":" in balancer.address else socket.AF_INET
        made = self.stations.opened(balancer.id, family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((balancer.address, listener.station_port))
            made.listen(BACKLOG)
        except OSError as cause:
            made.close()
            raise Transient("listen at a balancer's address") from cause
        return made

    def _forget(self, balancer: BalancerThing) -> None:
        """Close what belongs to no listener any more."""
        mine = self._listening.get(balancer.id, {})
        wanted = {listener.station_port for listener in balancer.listeners}
        for port in list(mine.keys() - wanted):
            mine.pop(port).close()


def _started(pid: int) -> int:
    """When, in ticks since the machine's start; 0 for one that has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return 0


def _listening_of(pid: int) -> dict[int, socket.socket]:
    """Listening sockets of another process, by their port."""
    found: dict[int, socket.socket] = {}
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if not str(entry.readlink()).startswith("socket:"):
                    continue
                one = socket.socket(fileno=kernel.take_descriptor(pid, int(entry.name)))
                port = _listening_port(one)
                if port and port not in found:
                    found[port] = one
                else:
                    one.close()
    return found


def _listening_port(one: socket.socket) -> int:
    if one.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return 0
    return int(one.getsockname()[1])


def _come_after_the_control_plane(pid: int) -> None:
    """For the process, and for its session, which some kernels weigh instead. It also ends before servers do where
    the machine runs out of memory: how many there are is the tenant's to say, and another one begins at once.
    """
    launch.protect(str(pid), launch.OOM_OF_PROXIES)
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, PRIORITY)
        if os.getsid(pid) == pid:
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/autogroup").write_text(f"{PRIORITY}")
