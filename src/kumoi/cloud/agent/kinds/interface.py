"""What the agent's one loop asks of a kind of thing.

A kind observes, plans and applies; the loop decides when, how often, how many at once, and what
follows a failure (tending.py). `Spec` is what is wanted of one thing, `Seen` what is there, `Action` a
step that prints well. Methods are called in threads: for one thing by one thread at a time, for
several things at once. Coroutines, and methods that say so, run inside the event loop.
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

    def announce(self, spec: Spec) -> None:
        """A spec was received: start early what may start early. Inside the loop."""
        ...

    def list_all(self) -> Mapping[str, Seen]:
        """Everything of this kind that has anything on this host, by id."""
        ...

    def observe(self, thing_id: str, spec: Spec | None) -> Seen | None:
        """One of them. A spec of None: it must go."""
        ...

    def plan(self, spec: Spec, seen: Seen | None) -> Sequence[Action]:
        """What to do, in order; pure."""
        ...

    def is_prepared(self, spec: Spec, actions: Sequence[Action]) -> bool:
        """Whether what the actions need is there."""
        ...

    async def prepare(self, spec: Spec, actions: Sequence[Action]) -> None:
        """Wait for what the actions need. It may take long, and other things do not wait for it."""
        ...

    def apply(self, spec: Spec, actions: Sequence[Action]) -> None: ...

    def delete(self, thing_id: str) -> None:
        """Leave nothing of it."""
        ...

    def take_back(self, spec: Spec, seen: Seen | None, actions: Sequence[Action]) -> None:
        """These actions failed for good, and some may not have begun: release what they have claimed,
        and nothing of what was there before them, `seen`.
        """
        ...

    def status(self, seen: Seen | None) -> msgspec.Struct:
        """What to report when nothing is left to do, or the rest has failed for good."""
        ...

    def watched_pid(self, seen: Seen) -> int:
        """The process whose end means that the thing must be looked at; 0 for none."""
        ...

    async def tidy(self, wanted: Callable[[], Collection[Spec]], seen: Mapping[str, Seen]) -> None:
        """After each look around: remove what belongs to no thing. `seen` is what `list_all` gave.
        `wanted` does not name things that are not understood, and nothing may be taken from those.
        """
        ...

    def tasks(self, wake: Callable[[str], None]) -> Sequence[Coroutine[Any, Any, None]]:
        """Coroutines that run as long as the agent does. `wake` has the loop look at a thing of this
        kind, by its id: it is another than was reported, or another than is wanted.
        """
        ...
