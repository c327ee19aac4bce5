"""Servers: each observed, planned and made by the driver that its spec names.

`server_plan.plan` says what to do, the driver does it. What belongs to servers alone is served here
too: their images (images.py), snapshots and consoles.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from kumoi.base import log
from kumoi.base.errors import Bug, Transient
from kumoi.cloud.agent import port_use
from kumoi.cloud.agent.consoles import Consoles
from kumoi.cloud.agent.departures import Departures
from kumoi.cloud.agent.fenced import Fencing
from kumoi.cloud.agent.images import Images
from kumoi.cloud.agent.kinds.server_plan import (
    Action,
    Build,
    Pause,
    Settle,
    Start,
    Stop,
    plan,
    status,
)
from kumoi.cloud.agent.snapshots import Snapshots
from kumoi.cloud.drivers.instance.interface import InstanceDriver, ObservedInstance
from kumoi.cloud.hostapi.messages import (
    ImageContent,
    InstanceSpec,
    InstanceState,
    ServerStatus,
    read_server,
)
from kumoi.cloud.hostapi.things import NotUnderstood, Thing

WATCH_S = 0.5


class ServerKind:
    """`drivers` are this host's, by the name that specs use; `host_boot` is the identity of this
    boot of the host. Without `departures` no disk leaves it.
    """

    name = "server"

    def __init__(
        self,
        *,
        drivers: Mapping[str, InstanceDriver],
        images: Images,
        snapshots: Snapshots,
        consoles: Consoles,
        host_boot: str,
        fenced: Fencing,
        departures: Departures | None = None,
    ) -> None:
        self._drivers = drivers
        self._images = images
        self._snapshots = snapshots
        self._consoles = consoles
        self._host_boot = host_boot
        self._departures = departures
        self._watched: dict[str, frozenset[int]] = {}
        self._fenced = fenced

    def read(self, thing: Thing) -> InstanceSpec:
        server = read_server(thing)
        if server.driver not in self._drivers:
            raise NotUnderstood(f"it has no driver {server.driver}")
        return server

    def announce(self, server: InstanceSpec) -> None:
        for image in _images_of(server):
            self._images.learn_id(image)
        self._snapshots.want(server)
        try:
            self._fenced.want(server)
        except OSError as error:
            log.failure("server.not_fenced", error, server=server.id)
        self._consoles.servers[server.id] = server.driver
        self._note_moving(server)

    def list_all(self) -> Mapping[str, ObservedInstance]:
        return {
            server_id: self._with_use(seen)
            for driver in self._drivers.values()
            for server_id, seen in driver.list_instances().items()
        }

    def observe(self, thing_id: str, spec: InstanceSpec | None) -> ObservedInstance | None:
        if spec is not None:
            seen_ = self._driver(spec).observe(thing_id)
            return None if seen_ is None else self._with_use(seen_)
        seen = (driver.observe(thing_id) for driver in self._drivers.values())
        return next((instance for instance in seen if instance is not None), None)

    def plan(self, spec: InstanceSpec, seen: ObservedInstance | None) -> Sequence[Action]:
        """Without a start where the host may have lost the server. One that the fence stopped did not end
        by itself.
        """
        ended_by_fence = self._fenced.was_stopped(spec.id)
        actions = plan(spec, seen, host_boot="" if ended_by_fence else self._host_boot)
        if self._fenced.may_start(spec.id):
            return actions
        starts = (n for n, action in enumerate(actions) if isinstance(action, Start))
        return actions[: next(starts, len(actions))]

    def is_prepared(self, spec: InstanceSpec, actions: Sequence[Action]) -> bool:
        needed = _images_for(spec, actions)
        return all(self._images.is_ready(image, spec.driver) for image in needed)

    async def prepare(self, spec: InstanceSpec, actions: Sequence[Action]) -> None:
        for image in _images_for(spec, actions):
            await self._images.ensure(image, spec.driver, owner=spec.owner)

    def apply(self, spec: InstanceSpec, actions: Sequence[Action]) -> None:
        driver = self._driver(spec)
        for action in actions:
            match action:
                case Stop(grace_s):
                    driver.ensure_stopped(spec.id, grace_s=grace_s)
                case Build():
                    driver.ensure_built(spec)
                case Start():
                    if not self._fenced.may_start(spec.id):
                        raise Transient("start a server: this host has no lease any more")
                    driver.ensure_running(spec)
                    self._fenced.started(spec.id)
                case Settle():
                    driver.ensure_ports(spec)
                case Pause():
                    driver.ensure_paused(spec.id)
                case _:
                    raise Bug(f"no way to {action}")

    def delete(self, thing_id: str) -> None:
        for driver in self._drivers.values():
            if driver.observe(thing_id) is not None:
                driver.delete_instance(thing_id)

    def take_back(
        self, spec: InstanceSpec, seen: ObservedInstance | None, actions: Sequence[Action]
    ) -> None:
        """Remove a server that was never built. Stop any other if these actions started it, and leave
        its disk alone.
        """
        if seen is None or seen.build is None:
            self._driver(spec).delete_instance(spec.id)
            return
        now = self._driver(spec).observe(spec.id)
        has_start = any(isinstance(action, Start) for action in actions)
        if has_start and now is not None and not _is_same_run(seen, now):
            self._driver(spec).ensure_stopped(spec.id, grace_s=0)

    def status(self, seen: ObservedInstance | None) -> ServerStatus:
        found = status(seen)
        if seen is None or not self._fenced.has(seen.server_id):
            return found
        return msgspec.structs.replace(found, fenced=True)

    def watched_pid(self, seen: ObservedInstance) -> int:
        return seen.keeper_pid

    async def tidy(
        self, wanted: Callable[[], Collection[InstanceSpec]], seen: Mapping[str, ObservedInstance]
    ) -> None:
        """A server that is here and whose spec is not understood keeps the ports that it has."""

        def ports() -> frozenset[str]:
            servers = wanted()
            others = [seen[key] for key in seen.keys() - {server.id for server in servers}]
            return frozenset(
                [port.id for server in servers for port in server.ports]
                + [port_id for instance in others for port_id in instance.ports]
                + [port.id for instance in others for port in instance.wired or ()]
            )

        def images() -> frozenset[str]:
            return frozenset(image.sha256 for server in wanted() for image in _images_of(server))

        for driver in self._drivers.values():
            await asyncio.to_thread(driver.sweep, ports)
        self._consoles.servers = {server.id: server.driver for server in wanted()}
        self._forget_moved({server.id for server in wanted()})
        await self._images.tidy(images)
        self._fenced.keep_only(seen.keys() | {server.id for server in wanted()})

    def tasks(self, wake: Callable[[str], None]) -> Sequence[Coroutine[Any, Any, None]]:
        own = [self._images.run(), self._snapshots.run(), self._consoles.run(), self._watch(wake)]
        own += self._fenced.tasks(wake)
        return own if self._departures is None else [*own, self._departures.run()]

    # Moving to another host.

    def _note_moving(self, server: InstanceSpec) -> None:
        """Who may fetch its disk, and which ports are to be watched."""
        if server.watched:
            self._watched[server.id] = frozenset(server.watched)
        else:
            self._watched.pop(server.id, None)
        if self._departures is None:
            return
        if server.departure is not None:
            self._departures.leaving[server.id] = (server.driver, server.departure)
        else:
            self._departures.leaving.pop(server.id, None)

    def _forget_moved(self, wanted: Collection[str]) -> None:
        leaving = {} if self._departures is None else self._departures.leaving
        for known in (self._watched, leaving):
            for server_id in set(known) - set(wanted):
                del known[server_id]

    def _with_use(self, seen: ObservedInstance) -> ObservedInstance:
        ports = self._watched.get(seen.server_id)
        if not ports or not seen.pid:
            return seen
        use = port_use.of_process(seen.pid, ports)
        return dataclasses.replace(seen, connections=use.connections, listening=use.listening)

    async def _watch(self, wake: Callable[[str], None]) -> None:
        """The kernel does not say when a connection ends."""
        while True:
            for server_id in list(self._watched):
                wake(server_id)
            await asyncio.sleep(WATCH_S)

    def _driver(self, spec: InstanceSpec) -> InstanceDriver:
        return self._drivers[spec.driver]


def _images_for(server: InstanceSpec, actions: Sequence[Action]) -> list[ImageContent]:
    is_needed = any(isinstance(action, Build | Start) for action in actions)
    return _images_of(server) if is_needed else []


def _images_of(server: InstanceSpec) -> list[ImageContent]:
    """Those that it is made from and started from."""
    return [image for image in (server.image, server.rescue) if image is not None]


def _is_same_run(before: ObservedInstance, now: ObservedInstance) -> bool:
    """Whether the server has neither ended nor been started in between."""
    same = (before.keeper_pid or before.pid) == (now.keeper_pid or now.pid)
    return same and InstanceState.STOPPED not in (before.state, now.state)
