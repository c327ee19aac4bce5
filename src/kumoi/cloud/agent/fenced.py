"""The servers of this host that the fence stops when the lease has ended, and whether they may be started.

A server is fenced once its control group stands in the fence's file and the fence is alive; only then does
the host report it so, and only such a server is ever healed elsewhere by itself. It is started while the
host has its lease and the control plane has said, since that lease began, what is wanted here: it may have
moved in between. Where there is no fence, nothing is fenced and everything as without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Protocol

from kumoi import ha_policy
from kumoi.base import log
from kumoi.cloud.agent import fence_kill
from kumoi.cloud.agent.fence_state import (
    GUARD_AFTER_S,
    STOP_AFTER_S,
    FenceFiles,
    FenceState,
    boottime_s,
)
from kumoi.cloud.drivers.instance import fence
from kumoi.cloud.hostapi.messages import InstanceSpec
from kumoi.ha_policy import HaPolicy

LOOK_EVERY_S = 0.5


class Fencing(Protocol):
    """What servers are asked about."""

    def want(self, server: InstanceSpec) -> None:
        """A spec was received."""
        ...

    def keep_only(self, server_ids: Collection[str]) -> None:
        """Nothing is there of any other server."""
        ...

    def has(self, server_id: str) -> bool:
        """Whether it is stopped when the lease has ended."""
        ...

    def may_start(self, server_id: str) -> bool: ...

    def was_stopped(self, server_id: str) -> bool:
        """By the fence, and not started since."""
        ...

    def started(self, server_id: str) -> None: ...

    def tasks(self, wake: Callable[[str], None]) -> Collection[Coroutine[Any, Any, None]]: ...


class NoFence:
    """Of a host whose cloud has its control plane on one host."""

    def want(self, server: InstanceSpec) -> None:
        """Nothing follows."""

    def keep_only(self, server_ids: Collection[str]) -> None:
        """There are none."""

    def has(self, server_id: str) -> bool:  # noqa: ARG002 - the contract's
        return False

    def may_start(self, server_id: str) -> bool:  # noqa: ARG002 - the contract's
        return True

    def was_stopped(self, server_id: str) -> bool:  # noqa: ARG002 - the contract's
        return False

    def started(self, server_id: str) -> None:
        """Nobody asks."""

    def tasks(self, wake: Callable[[str], None]) -> Collection[Coroutine[Any, Any, None]]:  # noqa: ARG002 - the contract's
        return ()


class Fenced:
    """`default` is the policy of servers that have none of their own. Used inside the event loop, but for
    what only asks.
    """

    def __init__(
        self,
        files: FenceFiles,
        host_name: str,
        default: str,
        *,
        now_s: Callable[[], float] = boottime_s,
        kill: Callable[[str], int] = fence_kill.kill,
    ) -> None:
        self._files = files
        self._host_name = host_name
        self._default = default
        self._now_s = now_s
        self._kill = kill
        try:
            self._groups = files.read_groups()
        except (OSError, ValueError):
            self._groups = {}
        self._state = files.read_state()
        self._asked_s = 0.0  # When the question was sent that the control plane answered last.
        self._could_start = False
        self._guarded = False
        self.begun = asyncio.Event()
        """Set when there is a lease that the control plane has not been asked in yet."""

    def want(self, server: InstanceSpec) -> None:
        """A server that is to be healed no more stays fenced until it is gone: that harms only while this
        host is cut off, and the other way round it could run twice.
        """
        if (
            server.metadata.get(ha_policy.KEY, self._default) == HaPolicy.REBUILD
            and server.id not in self._groups
        ):
            self._write({**self._groups, server.id: self._group(server.id)})

    def keep_only(self, server_ids: Collection[str]) -> None:
        kept = {key: group for key, group in self._groups.items() if key in server_ids}
        if kept != self._groups:
            self._write(kept)

    def has(self, server_id: str) -> bool:
        return server_id in self._groups and self._now_s() - self._state.sent_s < STOP_AFTER_S

    def may_start(self, server_id: str) -> bool:
        return server_id not in self._groups or self._can_start(self._files.read_state())

    def was_stopped(self, server_id: str) -> bool:
        return self._files.was_stopped(server_id)

    def started(self, server_id: str) -> None:
        self._files.forget_stopped(server_id)

    def answered(self, asked_s: float) -> None:
        """The control plane answered a question of that time about what is wanted."""
        self._asked_s = max(self._asked_s, asked_s)

    def tasks(self, wake: Callable[[str], None]) -> Collection[Coroutine[Any, Any, None]]:
        return (self._watch(wake),)

    def look(self) -> bool:
        """Whether servers may be started that could not be before."""
        state = self._files.read_state()
        if (
            self._state.since and not state.since
        ):  # Lost or torn: what was known of it still counts.
            state = self._state
        self._state = state
        self._guard(state)
        if state.has_lease and self._asked_s < state.begun_s:
            self.begun.set()
        could, self._could_start = self._could_start, self._can_start(state)
        return self._could_start and not could

    async def _watch(self, wake: Callable[[str], None]) -> None:
        while True:
            if self.look():
                for server_id in self._groups:
                    wake(server_id)
            await asyncio.sleep(LOOK_EVERY_S)

    def _can_start(self, state: FenceState) -> bool:
        return state.may_start(self._now_s()) and self._asked_s >= state.begun_s

    def _guard(self, state: FenceState) -> None:
        """The fence is frozen, or gone for long: do what it should have done."""
        silent = state.since != 0 and self._now_s() - state.sent_s >= GUARD_AFTER_S
        if not silent or not state.has_lease:  # One that is alive has written that the lease ended.
            self._guarded = False
            return
        stopped = [key for key, group in self._groups.items() if self._kill(group)]
        if stopped:
            self._files.note_stopped(stopped)
        if not self._guarded:
            log.warning("fence.silent", servers=stopped)
        self._guarded = True

    def _write(self, groups: dict[str, str]) -> None:
        """Raises OSError: what could not be written is not fenced."""
        self._files.write_groups(groups)
        self._groups = groups

    def _group(self, server_id: str) -> str:
        return f"{fence.of_servers(self._host_name)}/{server_id}"
