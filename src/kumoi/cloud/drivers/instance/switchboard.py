"""Many servers' wishes to the host's one switch, put together.

A switch is used from one thread at a time and each transaction costs the same, whether it plugs one
port or twenty. So whoever comes while a transaction is under way waits, and the next one carries
all that came meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from kumoi.base.errors import Bug
from kumoi.cloud.drivers.network.interface import Switch


@dataclass(slots=True, eq=False)
class _Wish:
    ensured: Mapping[str, str]
    deleted: Collection[str]
    done: bool = False
    error: BaseException | None = field(default=None)


class Switchboard:
    """A switch that many threads may use."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._wishes: list[_Wish] = []

    def change(self, *, ensured: Mapping[str, str], deleted: Collection[str]) -> None:
        """Unplug, then plug. Raises what the switch raised."""
        if not ensured and not deleted:
            return
        wish = _Wish(ensured, deleted)
        with self._guard:
            self._wishes.append(wish)
        with self._turn:
            if not wish.done:
                self._carry_out()
        if not wish.done:
            raise Bug("a wish to the switch was forgotten")
        if wish.error is not None:
            raise wish.error

    def list_ports(self) -> dict[str, str]:
        with self._turn:
            return self._switch.list_ports()

    def _carry_out(self) -> None:
        with self._guard:
            batch, self._wishes = self._wishes, []
        ensured = {name: port for wish in batch for name, port in wish.ensured.items()}
        deleted = {name for wish in batch for name in wish.deleted}
        error: BaseException | None = None
        try:
            if deleted:
                self._switch.delete_ports(sorted(deleted))
            if ensured:
                self._switch.ensure_ports(ensured)
        except BaseException as cause:  # noqa: BLE001 - handed on to each who waits, as it is
            error = cause
        for wish in batch:
            wish.error = error
            wish.done = True
