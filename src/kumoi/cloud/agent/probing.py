"""Probes the members of this host's balancers, and knows their health.

`Probing` decides whom to probe when; prober.py does it, in a process without rights. Used inside the
event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from kumoi.base import files, log
from kumoi.base.backoff import Backoff
from kumoi.base.clock import Clock
from kumoi.cloud.agent import health
from kumoi.cloud.agent.health import Health
from kumoi.cloud.agent.prober import MESSAGE_MAX, ProbeAnswer, ProbeRequest
from kumoi.cloud.hostapi.load_balancer import BalancerThing, MemberSpec, MonitorSpec, PoolSpec

NO_STATION = Backoff(first_s=0.02, most_s=0.4, factor=1.1, jitter=0.0)
FIRST_PROBES = 10
FIRST_AGAIN_S = 0.1
"""A new member's first probes begin so many and so far apart, whatever became of those before."""
LATE_S = 1.0
"""How much later than its timeout an answer may come from the prober."""
RESTART_S = 1.0


class Unanswered(Exception):
    """Nothing is known of the member: the probe was not made."""


class Probe(Protocol):
    """Makes one probe, from the balancer's station. Raises Unanswered."""

    async def __call__(self, balancer_id: str, request: ProbeRequest, /) -> bool: ...


class _Target(NamedTuple):
    """What is probed, and how. The `certificate` is the pool's own, which members may ask for."""

    balancer_id: str
    member: MemberSpec
    monitor: MonitorSpec
    certificate: str


@dataclass(slots=True)
class _Watched:
    target: _Target
    task: asyncio.Task[None]


@dataclass(slots=True)
class Probing:
    """`changed` is called with a balancer's id when a member of it has another state."""

    probe: Probe
    clock: Clock
    changed: Callable[[str], None] = lambda _: None
    known: dict[str, Health] = field(default_factory=dict)
    _watched: dict[str, dict[str, _Watched]] = field(default_factory=dict)

    def want(self, balancer: BalancerThing) -> None:
        """Probe the members of this balancer as it says from now on. One that is probed otherwise
        than before keeps the state it had.
        """
        wanted = {
            member.id: _Target(balancer.id, member, pool.monitor, _shown(pool))
            for pool in balancer.pools
            if pool.monitor is not None
            for member in pool.members
        }
        watched = self._watched.setdefault(balancer.id, {})
        for key in list(watched):
            if wanted.get(key) != watched[key].target:
                watched.pop(key).task.cancel()
                if key not in wanted:
                    self.known.pop(key, None)
        for key, target in wanted.items():
            if key not in watched:
                task = asyncio.get_running_loop().create_task(self._watch(target))
                watched[key] = _Watched(target, task)

    def forget_others(self, balancer_ids: Iterable[str]) -> None:
        """Probe no member of any but these balancers."""
        for key in self._watched.keys() - set(balancer_ids):
            for member_id, watched in self._watched.pop(key).items():
                watched.task.cancel()
                self.known.pop(member_id, None)

    def states(self, balancer: BalancerThing) -> Mapping[str, str]:
        """Of its members whose state is known."""
        watched = self._watched.get(balancer.id, {})
        return {
            key: self.known[key].state
            for key in sorted(watched)
            if key in self.known and self.known[key].state
        }

    async def _watch(self, target: _Target) -> None:
        key, monitor = target.member.id, target.monitor
        while True:
            began_s = self.clock.monotonic()
            now = self.known.get(key, Health())
            good = await (self._ask(target) if now.streak else self._ask_first(target))
            then = self.known[key] = health.after(now, monitor, good=good)
            if then.state != now.state:
                log.event("member.probed", member=key, state=then.state)
                self.changed(target.balancer_id)
            took_s = self.clock.monotonic() - began_s
            await asyncio.sleep(max(0.0, health.again_s(then, monitor) - took_s))

    async def _ask_first(self, target: _Target) -> bool:
        """A new member: its network may be a moment late, and what is sent before is never answered.
        So its first probes do not wait for each other, and one that goes well is enough.
        """
        if await self._ask(target, timeout_s=FIRST_AGAIN_S):
            return True
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(self._ask(target, after_s=number * FIRST_AGAIN_S))
                for number in range(FIRST_PROBES)
            ]
            for answer in asyncio.as_completed(asked):
                if await answer:
                    for other in asked:
                        other.cancel()
                    return True
        return False

    async def _ask(
        self, target: _Target, *, after_s: float = 0.0, timeout_s: float | None = None
    ) -> bool:
        """One probe, as soon as there is a station to make it from."""
        await asyncio.sleep(after_s)
        request = _request(target, timeout_s or target.monitor.timeout_s)
        failures = 0
        while True:
            try:
                return await self.probe(target.balancer_id, request)
            except Unanswered:
                failures += 1
                await asyncio.sleep(NO_STATION.after(failures))


def _request(target: _Target, timeout_s: float) -> ProbeRequest:
    member, monitor = target.member, target.monitor
    return ProbeRequest(
        number=0,
        type=monitor.type,
        address=member.monitor_address or member.address,
        port=member.monitor_port or member.port,
        timeout_s=timeout_s,
        http_method=monitor.http_method,
        url_path=monitor.url_path,
        expected_codes=monitor.expected_codes,
        http_version=monitor.http_version,
        domain_name=monitor.domain_name,
        certificate=target.certificate,
    )


def _shown(pool: PoolSpec) -> str:
    """As its proxy shows it to members, so that who is probed is asked as he will be."""
    return pool.tls_with.certificate if pool.tls and pool.tls_with is not None else ""


_KINDS = {
    "PING": (socket.SOCK_DGRAM, None),
    "UDP-CONNECT": (socket.SOCK_DGRAM, 0),
}
_PING = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}


class ProberProcess:
    """The process that probes: started when it is first needed, and again when it ended. `start` starts
    it with the other end of a pair of sockets, `opened` makes a socket in a balancer's station.
    """

    def __init__(
        self,
        start: Callable[[int], object],
        opened: Callable[[str, int, int, int], socket.socket],
    ) -> None:
        self._start = start
        self._opened = opened
        self._own: socket.socket | None = None
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._number = 0
        self._not_before_s = 0.0

    async def __call__(self, balancer_id: str, request: ProbeRequest) -> bool:
        """Raises Unanswered."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in request.address else socket.AF_INET
        kind, protocol = _KINDS.get(request.type, (socket.SOCK_STREAM, 0))
        number = _PING[family] if protocol is None else protocol
        try:
            opened = self._opened(balancer_id, family, kind, number)
        except OSError as cause:
            raise Unanswered from cause
        self._number += 1
        request = msgspec.structs.replace(request, number=self._number)
        answer: asyncio.Future[bool] = loop.create_future()
        self._waiting[request.number] = answer
        try:
            with opened:
                self._send(request, opened)
            async with asyncio.timeout(request.timeout_s + LATE_S):
                return await answer
        except (TimeoutError, OSError) as cause:
            raise Unanswered from cause
        finally:
            self._waiting.pop(request.number, None)

    def close(self) -> None:
        """It ends when its peer is gone."""
        if self._own is not None:
            asyncio.get_running_loop().remove_reader(self._own)
            self._own.close()
            self._own = None

    def _send(self, request: ProbeRequest, opened: socket.socket) -> None:
        if self._own is None:
            self._begin()
        if self._own is None:
            raise Unanswered
        message = msgspec.json.encode(msgspec.structs.replace(request, certificate=""))
        with contextlib.ExitStack() as passing:
            descriptors = [opened.fileno()]
            if request.certificate:
                descriptors.append(passing.enter_context(files.in_memory(request.certificate)))
            socket.send_fds(self._own, [message], descriptors)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before_s:
            return
        self._not_before_s = loop.time() + RESTART_S
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._start(other.fileno())
        own.settimeout(0)
        self._own = own
        loop.add_reader(own, self._receive)

    def _receive(self) -> None:
        if self._own is None:
            return
        try:
            content = self._own.recv(MESSAGE_MAX)
        except BlockingIOError:
            return
        except ConnectionError:
            content = b""
        if not content:
            log.warning("prober.ended")
            self.close()
            return
        answer = msgspec.json.decode(content, type=ProbeAnswer)
        waiting = self._waiting.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.good)
