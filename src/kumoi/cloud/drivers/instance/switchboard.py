"""Changes of the host's one switch for many servers, batched.

A switch is used from one thread at a time, and each transaction costs the same whether it plugs one
port or twenty. So changes that are asked for while a transaction is under way wait, and the next
transaction makes all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from kumoi.base.errors import Bug
from kumoi.cloud.drivers.network.interface import Switch


@dataclass(slots=True, eq=False)
class _Change:
    ensured: Mapping[str, str]
    deleted: Collection[str]
    done: bool = False
    error: BaseException | None = field(default=None)


class SharedSwitch:
    """A switch for several users, each of which uses it from one thread at a time."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._lock = threading.Lock()

    def ensure_ports(self, ports: Mapping[str, str]) -> None:
        with self._lock:
            self._switch.ensure_ports(ports)

    def delete_ports(self, names: Collection[str]) -> None:
        with self._lock:
            self._switch.delete_ports(names)

    def list_ports(self) -> dict[str, str]:
        with self._lock:
            return self._switch.list_ports()


class Switchboard:
    """A switch that many threads may use."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._switch_lock = threading.Lock()
        self._waiting_lock = threading.Lock()
        self._waiting: list[_Change] = []

    def change(self, *, ensured: Mapping[str, str], deleted: Collection[str]) -> None:
        """Unplug, then plug. Raises what the switch raised."""
        if not ensured and not deleted:
            return
        change = _Change(ensured, deleted)
        with self._waiting_lock:
            self._waiting.append(change)
        with self._switch_lock:
            if not change.done:  # Else the batch of another thread had it.
                self._make_waiting()
        if not change.done:
            raise Bug("a change of the switch was forgotten")
        if change.error is not None:
            raise change.error

    def list_ports(self) -> dict[str, str]:
        with self._switch_lock:
            return self._switch.list_ports()

    def _make_waiting(self) -> None:
        """All waiting changes, in one go. With the switch's lock held."""
        with self._waiting_lock:
            batch, self._waiting = self._waiting, []
        ensured = {name: port for change in batch for name, port in change.ensured.items()}
        deleted = {name for change in batch for name in change.deleted}
        error: BaseException | None = None
        try:
            if deleted:
                self._switch.delete_ports(sorted(deleted))
            if ensured:
                self._switch.ensure_ports(ensured)
        except BaseException as cause:  # noqa: BLE001 - raised again in each waiting thread
            error = cause
        for change in batch:
            change.error = error
            change.done = True
