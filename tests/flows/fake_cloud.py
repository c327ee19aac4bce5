"""A cloud that behaves: it holds what was made, refuses what a real one refuses, takes a while to
build a server, and can be told to fail, or to be the moment of a kill.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from kumoi.base.errors import Permanent, Transient
from kumoi.pipeline.cloud import (
    BALANCING,
    SERVICES,
    CloudFlavor,
    CloudKey,
    CloudResource,
    FloatingIpWanted,
    KeypairWanted,
    Made,
    Noun,
    Room,
    ServerWanted,
    WantedResource,
)

BUILD_LOOKS = 2  # A server is ACTIVE when it has been looked at so often.
REFUSED = "the cloud does not take the credential"
LOOSE = {Noun.PORT: Noun.SERVER, Noun.LOAD_BALANCER: Noun.LOAD_BALANCER}
"""Whose users keep it from being deleted, as in Nova, Neutron and Octavia: a floating IP goes loose."""


@dataclass
class FakeObject:
    """One object. `on` are the ids of what it needs."""

    resource: CloudResource
    on: set[str] = field(default_factory=set)
    looks: int = 0
    user_data: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeCloud:
    """`before` and `after` are called around every call with its name; either may raise."""

    images: set[str] = field(default_factory=lambda: {"debian-12", "debian-12-runner"})
    flavors: set[str] = field(default_factory=lambda: {"small"})
    services: set[str] = field(default_factory=lambda: {BALANCING, *SERVICES})
    before: Callable[[str], None] = lambda _call: None
    after: Callable[[str], None] = lambda _call: None
    refuses: bool = False  # Whoever asks, as when the project is gone.
    left: dict[str, int] = field(default_factory=dict)  # Of the quota.
    broken_server: str = ""  # A short name whose build ends in ERROR.
    made: dict[str, FakeObject] = field(default_factory=dict)
    created: int = 0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def offers(self, service: str) -> bool:
        self._begin("offers")
        return service in self.services

    def find_image(self, name: str) -> str | None:
        self._begin("find_image")
        return f"image-{name}" if name in self.images else None

    def find_flavor(self, name: str) -> CloudFlavor | None:
        self._begin("find_flavor")
        return CloudFlavor(f"flavor-{name}", 1, 512) if name in self.flavors else None

    def room(self) -> Room:
        self._begin("room")
        return Room(self.left)

    def find_external_network(self) -> str | None:
        self._begin("find_external_network")
        return "public"

    def list_resources(self, noun: Noun, prefix: str) -> list[CloudResource]:
        with self._lock:
            self._begin("list_resources")
            found = [
                self._state(made)
                for made in self.made.values()
                if made.resource.noun == noun and made.resource.name.startswith(prefix)
            ]
            self.after("list_resources")
            return found

    def create(self, wanted: WantedResource, made: Made) -> CloudResource:
        call = f"create {wanted.noun}"
        with self._lock:
            self._begin(call)
            on = self._needed(wanted, made)
            if isinstance(wanted.spec, KeypairWanted):
                if not wanted.spec.public_key.startswith("ssh-ed25519 "):
                    raise Permanent("not a key")
            elif any(each.resource.key == wanted.key for each in self.made.values()):
                raise AssertionError(f"{wanted.key} is made twice")
            number = next(self._numbers)
            new = FakeObject(
                CloudResource(
                    wanted.noun,
                    wanted.name,
                    f"{wanted.noun}-{number}",
                    address=f"10.0.0.{number}",
                    parent_id=f"parent-{number}",
                ),
                on,
                metadata=dict(wanted.tags),
            )
            if isinstance(wanted.spec, ServerWanted):
                new.user_data = wanted.spec.user_data
            self._take(new, wanted, made)
            self.made[new.resource.id] = new
            self.created += 1
            self.after(call)
            return self._state(new)

    def change(self, wanted: WantedResource, found: CloudResource, made: Made) -> CloudResource:
        call = f"change {wanted.noun}"
        with self._lock:
            self._begin(call)
            changed = self.made[found.id]
            changed.on = self._needed(wanted, made)
            self._take(changed, wanted, made)
            self.after(call)
            return changed.resource

    def delete_resource(self, resource: CloudResource) -> None:
        with self._lock:
            self._begin("delete_resource")
            users = [made for made in self.made.values() if resource.id in made.on]
            only = LOOSE.get(resource.noun)
            if only is not None:
                users = [made for made in users if made.resource.noun == only]
            if users and resource.noun != Noun.KEYPAIR:
                raise Transient(f"{resource.noun} is in use by {users[0].resource.name}")
            self.made.pop(resource.id, None)
            self.after("delete_resource")

    def named(self, noun: Noun) -> dict[str, FakeObject]:
        """What is there of a kind, by name."""
        return {
            each.resource.name: each for each in self.made.values() if each.resource.noun == noun
        }

    def _begin(self, call: str) -> None:
        if self.refuses:
            raise Permanent(REFUSED)
        self.before(call)

    def _needed(self, wanted: WantedResource, made: Made) -> set[str]:
        """The ids of what it needs, each of which must be there."""
        gone = [need for need in wanted.needs if need not in made]
        ids = {made[need].id for need in wanted.needs if need in made}
        gone_ids = ids - self.made.keys()
        if gone or gone_ids:
            raise Permanent(f"{wanted.name} needs what is not there: {gone or gone_ids}")
        return ids

    def _take(self, new: FakeObject, wanted: WantedResource, made: Made) -> None:
        """Inputs as a cloud tells them: others by their ids."""
        inputs = dict(wanted.inputs)
        for name, noun in (("networks", Noun.NETWORK), ("groups", Noun.SECURITY_GROUP)):
            if name in inputs and wanted.noun != Noun.SERVER:
                others = [made[CloudKey(noun, each)] for each in inputs[name].split()]
                inputs[name] = " ".join(
                    each.parent_id if name == "networks" else each.id for each in others
                )
        if wanted.noun == Noun.FLOATING_IP:
            on = made[cast("FloatingIpWanted", wanted.spec).on]
            inputs["on"] = on.parent_id if on.noun == Noun.LOAD_BALANCER else on.id
        new.resource = replace(new.resource, inputs=inputs)

    def _state(self, made: FakeObject) -> CloudResource:
        if made.resource.noun not in (Noun.SERVER, Noun.LOAD_BALANCER):
            return made.resource
        made.looks += 1
        if self.broken_server and made.resource.name.endswith(self.broken_server):
            return replace(made.resource, status="ERROR", fault="no valid host was found")
        status = "ACTIVE" if made.looks > BUILD_LOOKS else "BUILD"
        return replace(made.resource, status=status)
