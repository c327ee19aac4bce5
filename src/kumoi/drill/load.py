"""Clients of the APIs, all the while: they read, log in, make things and delete them, and note what was answered.

They are openstacksdk with the two retries that its settings have, and add none of their own.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

if TYPE_CHECKING:
    from openstack.connection import Connection

RETRIES = {"connect_retries": 5, "status_code_retries": 5}
"""As many as openstacksdk has where it has any by itself; pauses are its own."""
PAUSE_S = 0.05  # So that the machine has something left for what is drilled.
KEPT = 10  # Things of each writer, before it deletes the oldest.
WRITERS = 2
TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class LoadCall:
    """`trouble` is why it failed, "" where it did not. Times are of the monotonic clock."""

    name: str
    began_s: float
    ended_s: float
    trouble: str


@dataclass(frozen=True, slots=True)
class LoadCalls:
    """Those that went on at some moment of a span of time."""

    count: int
    failed: int
    slowest_s: float
    slowest: str
    troubles: tuple[str, ...]


def within(calls: list[LoadCall], began_s: float, ended_s: float) -> LoadCalls:
    found = [call for call in calls if call.ended_s >= began_s and call.began_s <= ended_s]
    troubles = [f"{call.name}: {call.trouble}" for call in found if call.trouble]
    took = max(((call.ended_s - call.began_s, call.name) for call in found), default=(0.0, ""))
    return LoadCalls(len(found), len(troubles), *took, tuple(troubles))


@dataclass(slots=True)
class Journal:
    """What was acknowledged: things made that were not asked to be deleted, and things deleted, by id. A creation
    that was cut and tried again may have made two of a name.
    """

    made: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    def lost(self, there: set[str]) -> list[str]:
        """Acknowledged writes of which nothing is to be seen."""
        return sorted((self.made - there) | (self.deleted & there))


@dataclass(slots=True)
class Load:
    """`connect` makes a client. It begins with `start` and ends with `stop`."""

    connect: Callable[[], Connection]
    calls: list[LoadCall] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _under_way: dict[int, float] = field(default_factory=dict)

    def start(self) -> None:
        work: list[Callable[[], None]] = [self._read, self._log_in]
        work += [partial(self._write, number) for number in range(WRITERS)]
        self._threads = [threading.Thread(target=each, daemon=True) for each in work]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def settle(self, began_before_s: float) -> None:
        """Until every call that began before then was answered."""
        ends_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < ends_s:
            with self._lock:
                if all(began_s > began_before_s for began_s in self._under_way.values()):
                    return
            time.sleep(PAUSE_S)

    def lost(self, cloud: Connection) -> list[str]:
        """Ids of acknowledged things that are not there, and of deleted ones that are. Who looks asks until it is
        answered.
        """
        with self._lock:
            journal = Journal(set(self.journal.made), set(self.journal.deleted))
        there = {network.id for network in cloud.network.networks()}
        lost = journal.lost(there)
        with self._lock:  # Some were deleted while they were looked for.
            return [each for each in lost if (each in self.journal.made) == (each in journal.made)]

    def _read(self) -> None:
        cloud = self.connect()
        reads: Mapping[str, Callable[[], Any]] = {
            "list servers": lambda: list(cloud.compute.servers()),
            "list images": lambda: list(cloud.image.images()),
            "list ports": lambda: list(cloud.network.ports()),
        }
        for name in itertools.cycle(reads):
            if self._over.is_set():
                return
            self._call(name, reads[name])

    def _log_in(self) -> None:
        while not self._over.is_set():
            self._call("log in", lambda: self.connect().authorize())

    def _write(self, number: int) -> None:
        cloud = self.connect()
        kept: list[str] = []
        for name in _names(number):
            if self._over.is_set():
                return
            made = self._call("create network", partial(cloud.network.create_network, name=name))
            if made is not None:
                kept.append(made.id)
                with self._lock:
                    self.journal.made.add(made.id)
            if len(kept) > KEPT:
                self._delete(cloud, kept.pop(0))

    def _delete(self, cloud: Connection, network_id: str) -> None:
        with self._lock:  # From now on nobody knows, until it is answered.
            self.journal.made.discard(network_id)
        done = self._call(
            "delete network", lambda: cloud.network.delete_network(network_id) or True
        )
        if done is not None:
            with self._lock:
                self.journal.deleted.add(network_id)

    def _call(self, name: str, ask: Callable[[], Any]) -> Any:
        """Its answer; None where it failed."""
        me, trouble, answer = threading.get_ident(), "", None
        began_s = time.monotonic()
        with self._lock:
            self._under_way[me] = began_s
        try:
            answer = ask()
        except (SDKException, ClientException, OSError) as error:
            trouble = str(error) or type(error).__name__
        with self._lock:
            self.calls.append(LoadCall(name, began_s, time.monotonic(), trouble))
            del self._under_way[me]
        self._over.wait(PAUSE_S)
        return answer


def _names(number: int) -> Iterator[str]:
    return (f"drill-{number}-{count}" for count in itertools.count())
