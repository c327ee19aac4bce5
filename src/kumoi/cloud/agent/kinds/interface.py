"""What the agent's one loop asks of a kind of thing.

A kind observes, plans and applies; when, how often, how many together and what becomes of failures
is the loop's business (tending.py). `Spec` is what is wanted of one thing, `Seen` what is there,
`Action` a step that prints well. What takes time is called in threads, of one thing by one thread at
a time, and of several things at once; what is a coroutine, or says so, runs inside the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from kumoi.cloud.hostapi.things import Thing

Spec = TypeVar("Spec")
Seen = TypeVar("Seen")
Action = TypeVar("Action")
AnyKind: TypeAlias = "AgentKind[Any, Any, Any]"


class AgentKind(Protocol[Spec, Seen, Action]):
    """Raises Transient when a later try may help, and Permanent, with a text for operators, when
    none will.
    """

    @property
    def name(self) -> str:
        """As in a thing's `kind`."""
        ...

    def read(self, thing: Thing) -> Spec:
        """Raises NotUnderstood. Inside the loop."""
        ...

    def heard(self, spec: Spec) -> None:
        """It is wanted so: begin what may begin early. Inside the loop."""
        ...

    def list_all(self) -> Mapping[str, Seen]:
        """All that has anything on this host, by id."""
        ...

    def observe(self, thing_id: str, spec: Spec | None) -> Seen | None:
        """One of them. No spec: it is to go."""
        ...

    def plan(self, spec: Spec, seen: Seen | None) -> Sequence[Action]:
        """What to do, in order; pure."""
        ...

    async def prepare(self, spec: Spec, actions: Sequence[Action]) -> None:
        """Wait for what the actions need."""
        ...

    def apply(self, spec: Spec, actions: Sequence[Action]) -> None: ...

    def delete(self, thing_id: str) -> None:
        """Leave nothing of it."""
        ...

    def take_back(self, spec: Spec, actions: Sequence[Action]) -> None:
        """It has failed at these actions: give up what they claimed."""
        ...

    def status(self, seen: Seen | None) -> msgspec.Struct:
        """What the control plane is told when nothing is left to do."""
        ...

    def watched_pid(self, seen: Seen) -> int:
        """The process whose end means that the thing must be looked at; 0 for none."""
        ...

    async def tidy(self, wanted: Callable[[], Collection[Spec]], seen: Mapping[str, Seen]) -> None:
        """After each look around: remove what belongs to no thing. `seen` is what the look found;
        of things that are not understood `wanted` says nothing, and nothing may be taken from them.
        """
        ...

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What runs as long as the agent does."""
        ...
