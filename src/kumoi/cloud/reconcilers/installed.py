"""Which revisions of load balancers all hosts have flows for. Called by network.py.

Who asks a new address in the instant between the engine's word and the switch's flows asks for its neighbour in
vain, and a kernel asks that again after a second. So a balancer counts as made once hosts say that they have what
the engine was told. Nobody waits for a host that says nothing: not longer than WAIT_S, and not a second time
before it speaks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class _Told:
    sequence: int
    until_s: float
    revisions: Mapping[str, int]


@dataclass(slots=True)
class InstalledBalancers:
    """`revisions` are those of balancers, by id, that hosts have."""

    revisions: Mapping[str, int] = field(default_factory=dict)
    _told: deque[_Told] = field(default_factory=deque)
    _silent_before: int = 0

    @property
    def told(self) -> Mapping[str, int]:
        """The revisions that the engine has."""
        return self._told[-1].revisions if self._told else self.revisions

    def tell(self, sequence: int, revisions: Mapping[str, int], *, now_s: float) -> None:
        """The engine has these, all of them, and says so of hosts by this number."""
        self._told.append(_Told(sequence, now_s + WAIT_S, revisions))

    def hear(self, sequence: int, *, now_s: float) -> bool:
        """All hosts have what was told by this number. Whether there are other revisions now."""
        if sequence >= self._silent_before:
            self._silent_before = 0
        heard = False
        while self._told and (
            self._told[0].sequence <= sequence
            or self._silent_before
            or self._told[0].until_s <= now_s
        ):
            told = self._told.popleft()
            if told.sequence > sequence:
                self._silent_before = max(self._silent_before, told.sequence)
            self.revisions, heard = told.revisions, True
        return heard
