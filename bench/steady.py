"""Clients of the APIs at a steady rate: openstacksdk with its own two settings for retries, and none of ours.

They are processes of their own, which one interpreter would not bear beside what it measures. A call is due at its moment,
whenever the one before was answered: who waited catches up.
"""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException, raise_from_response

from kumoi.drill import tenant
from kumoi.drill.load import Journal, LoadCall

if TYPE_CHECKING:
    from openstack.connection import Connection

PER_S = 200.0
PROCESSES, CLIENTS = 2, 16
WRITERS = 1  # Of the clients of a process.
LOGIN_EVERY = 200  # Calls of a reader.
KEPT = 10  # Networks of each writer, before it deletes the oldest.
BEGIN_S, END_S = 60.0, 120.0


@dataclass(slots=True)
class Steady:
    """`entry` is of clouds.yaml. It begins with `start`; `stop` gives what was answered since."""

    entry: Mapping[str, Any]
    _children: list[tuple[BaseProcess, Pipe]] = field(default_factory=list)

    def start(self) -> None:
        """Each client has logged in then."""
        context = multiprocessing.get_context("spawn")
        for number in range(PROCESSES):
            ours, theirs = context.Pipe()
            child = context.Process(target=_play, args=(theirs, dict(self.entry), number))
            child.start()
            self._children.append((child, ours))
        for _, pipe in self._children:
            if not pipe.poll(BEGIN_S):
                raise TimeoutError(f"no client is there after {BEGIN_S:g} s")
            pipe.recv()
        for _, pipe in self._children:
            pipe.send(time.monotonic())

    def stop(self) -> tuple[list[LoadCall], Journal]:
        """Once each call that was under way has been answered."""
        calls: list[LoadCall] = []
        journal = Journal()
        for _, pipe in self._children:
            pipe.send("stop")
        answered = [pipe.recv() for _, pipe in self._children if pipe.poll(END_S)]
        silent = len(self._children) - len(answered)
        for child, _ in self._children:
            child.kill()
            child.join()
        self._children.clear()
        if silent:
            raise TimeoutError(f"a call has no answer after {END_S:g} s")
        for theirs, written in answered:
            calls += theirs
            journal.made |= written.made
            journal.deleted |= written.deleted
        return calls, journal


def _play(pipe: Pipe, entry: Mapping[str, Any], number: int) -> None:
    """The child: its clients, until it is told to stop."""
    players = [_Client(entry, number * CLIENTS + each) for each in range(CLIENTS)]
    pipe.send("ready")
    began_s, over = pipe.recv(), threading.Event()
    threads = [threading.Thread(target=each.play, args=(began_s, over)) for each in players]
    for thread in threads:
        thread.start()
    pipe.recv()
    over.set()
    for thread in threads:
        thread.join()
    journal = Journal(
        set().union(*(each.journal.made for each in players)),
        set().union(*(each.journal.deleted for each in players)),
    )
    pipe.send(([call for each in players for call in each.calls], journal))


class _Client:
    """The first ones write, the others read and log in now and then."""

    def __init__(self, entry: Mapping[str, Any], number: int) -> None:
        self.calls: list[LoadCall] = []
        self.journal = Journal()
        self._entry = entry
        self._number = number
        self._cloud = tenant.connect(entry)
        self._cloud.authorize()
        self._kept: list[str] = []

    def play(self, began_s: float, over: threading.Event) -> None:
        clients = PROCESSES * CLIENTS
        writes = self._number % CLIENTS < WRITERS
        for turn, call in enumerate(self._writes() if writes else self._reads()):
            due_s = began_s + (turn * clients + self._number) / PER_S
            if over.wait(max(0.0, due_s - time.monotonic())):
                return
            self._ask(*call)

    def _reads(self) -> Iterator[tuple[str, Callable[[], object]]]:
        cloud = self._cloud
        reads = {
            "list servers": partial(_get, cloud.compute, "/servers"),
            "list images": partial(_get, cloud.image, "/images"),
            "list ports": partial(_get, cloud.network, "/ports"),
            "list networks": partial(_get, cloud.network, "/networks"),
        }
        for number, name in enumerate(itertools.cycle(reads), self._number):
            if number % LOGIN_EVERY == 0:
                yield "log in", lambda: tenant.connect(self._entry).authorize()
            else:
                yield name, reads[name]

    def _writes(self) -> Iterator[tuple[str, Callable[[], object]]]:
        for count in itertools.count():
            yield "create network", partial(self._create, f"steady-{self._number}-{count}")
            if len(self._kept) > KEPT:
                yield "delete network", partial(self._delete, self._kept.pop(0))

    def _create(self, name: str) -> None:
        made = self._cloud.network.create_network(name=name)
        self._kept.append(made.id)
        self.journal.made.add(made.id)

    def _delete(self, network_id: str) -> None:
        self.journal.made.discard(network_id)  # Nobody knows, until it is answered.
        self._cloud.network.delete_network(network_id)
        self.journal.deleted.add(network_id)

    def _ask(self, name: str, ask: Callable[[], object]) -> None:
        began_s, trouble = time.monotonic(), ""
        try:
            ask()
        except (SDKException, ClientException, OSError) as error:
            trouble = str(error) or type(error).__name__
        self.calls.append(LoadCall(name, began_s, time.monotonic(), trouble))


def _get(service: Any, path: str) -> None:
    """With the service's own retries, and without making objects of what comes."""
    raise_from_response(service.get(path))


def written_is_there(cloud: Connection, journal: Journal) -> list[str]:
    """Acknowledged writes that are lost."""
    return journal.lost({network.id for network in cloud.network.networks()})
