"""What the fuzz tests ask: an app in this process that bodies are sent to, what they have made there, and what
the process holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from kumoi.engine.http.routing import Route
from kumoi.engine.http.service import Service
from tests.security.bodies import (
    JUNK,
    KNOWN_MAX,
    NOWHERE,
    Known,
    Make,
    any_json,
    encoded,
    of_shape,
    one_of,
    shapes_read,
    spoilt,
    wraps_of,
)
from tests.security.in_process import LATEST, InProcessCloud, StatementCounter

BODIES = 200
"""Sent to each route."""
REFUSED, OURS = 400, 500
SAID_SO = {501, 503}
OCTETS = "application/octet-stream"
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
HALVES = ("first half", "second half")
BLOCKS_MAX = 2.5
"""That the process may grow by for each body of the second half."""
BYTES_MAX = 64 << 20
"""By all of them: what was freed is kept for later, in pieces, and is less than this."""


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """By this process: blocks that Python's allocator gave out, and bytes of memory."""

    blocks: float
    bytes: int

    @classmethod
    def now(cls) -> ProcessMemory:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(sys.getallocatedblocks(), pages * os.sysconf("SC_PAGE_SIZE"))


class Place(Protocol):
    """Whom the token is of."""

    token: str
    project_id: str


AtPlace = TypeVar("AtPlace", bound=Place)


@dataclass
class Fuzzed(Generic[AtPlace]):
    """`by_words` has ids of what was made, by the last word of its collection's path; `before` is what was held when
    half of the bodies had been sent, and `since` counts those that were sent afterwards.
    """

    at: AtPlace
    app: Any
    runner: asyncio.Runner
    known: Known = field(default_factory=Known)
    by_words: dict[str, deque[str]] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    counter: StatementCounter | None = None
    sources: Iterator[int] = field(default_factory=itertools.count)
    authorization: str = ""
    headers: Sequence[tuple[bytes, bytes]] = ()
    before: ProcessMemory | None = None
    since: int = 0

    def ask(self, method: str, path: str, body: bytes, *, query: str = "") -> tuple[int, bytes]:
        """Each from another address, so that none has used up its failed logins."""
        kind = b"application/json"
        if method == "PATCH" and path.startswith("/image"):
            kind = b"application/openstack-images-v2.1-json-patch"
        if path.startswith("/image") and path.endswith(("/file", "/stage")):
            kind = OCTETS.encode()
        number = next(self.sources)
        self.since += 1
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "client": (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1),
            "headers": [
                (b"x-auth-token", self.at.token.encode()),
                (b"openstack-api-version", LATEST.encode()),
                (b"content-type", kind),
                (b"authorization", self.authorization.encode()),
                (b"content-length", str(len(body)).encode()),
                *self.headers,
            ],
        }
        return self.runner.run(self._call(scope, body))

    async def _call(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        said: dict[str, Any] = {"status": 0}
        content = bytearray()
        asked = iter(({"type": "http.request", "body": body},))

        async def receive() -> dict[str, Any]:
            return next(asked, {"type": "http.disconnect"})

        async def send(message: dict[str, Any]) -> None:
            said.update(message)
            content.extend(message.get("body", b""))

        await self.app(scope, receive, send)
        return said["status"], bytes(content)

    def learn(self, words: str, content: bytes) -> None:
        """What an answer to a route with these words tells to have been made."""
        found = list(dict.fromkeys(ID.findall(content[:2_000].decode(errors="replace"))))[:2]
        with contextlib.suppress(msgspec.DecodeError):
            shown = msgspec.json.decode(content[:100_000])
            self.known.learn(shown)
            found = found or [inner["id"] for inner in _inside(shown) if "id" in inner]
        made = [str(each) for each in found if each != self.at.project_id]
        self.known.ids.extend(made)
        for each in made[:1]:
            self.by_words.setdefault(words, deque(maxlen=KNOWN_MAX)).append(each)
            self.known.learn(each, f"{one_of(words).replace('-', '_')}_id")

    def half_done(self) -> None:
        """From now on the process is not to grow: whatever it keeps for later it has."""
        if self.before is None:
            self.before, self.since = ProcessMemory.now(), 0

    def grown(self) -> ProcessMemory:
        """Since then: by so many blocks for each body, and so many bytes in all."""
        assert self.before is not None
        assert self.since >= BODIES
        now = ProcessMemory.now()
        return ProcessMemory(
            (now.blocks - self.before.blocks) / self.since, now.bytes - self.before.bytes
        )

    def sends(self, method: str, path: str, content: bytes, words: str = "") -> bool:
        """Whether it was accepted. Never is it our fault. `words` are of the collection that it adds to."""
        status, answer = self.ask(method, path, content)
        assert status < OURS or status in SAID_SO, (status, path, content[:1_000], answer[:300])
        if status < REFUSED and words:
            self.learn(words, answer)
        return status < REFUSED


def _inside(shown: Any) -> list[dict[str, Any]]:
    """The things that an answer shows by their words: {"port": …}."""
    values = shown.values() if isinstance(shown, dict) else ()
    return [each for each in values if isinstance(each, dict)]


def bodies_of(fuzzed: Fuzzed[AtPlace], service: Service, route: Route) -> list[Make]:
    """Of each shape that the route reads when it is asked with nothing inside."""
    made: list[Make] = []
    seen = set()
    path = path_of(fuzzed, service, route, Random(route.path))
    for wrap in wraps_of(route):
        with shapes_read() as read:
            fuzzed.ask(route.method, path, json.dumps(wrap({})).encode())
        for shape in read:
            if shape not in seen:
                seen.add(shape)
                made.append(_wrapped(of_shape(shape, fuzzed.known), wrap))
    return made or [any_json]


def _wrapped(make: Make, wrap: Any) -> Make:
    return lambda chance: wrap(make(chance))


def maybe_spoilt(body: Any, chance: Random) -> bytes:
    """The body as it is sent, of three one with junk in it."""
    number, junk = chance.randrange(10**6), chance.choice(JUNK)
    return encoded(spoilt(body, number, junk) if chance.randrange(3) == 0 else body)


NETWORKS, COMPUTE, BALANCERS = "/network/v2.0", "/compute/v2.1", "/load-balancer/v2.0/lbaas"


def make_things(fuzzed: Fuzzed[InProcessCloud]) -> None:
    """One of each noun that others are made of."""

    def made(path: str, body: Any) -> str:
        answer = fuzzed.at.ask("POST", path, body)
        assert answer.status_code < REFUSED, answer.text
        shown = answer.json()
        key = str((shown if "id" in shown else next(iter(shown.values())))["id"])
        fuzzed.learn(path.rpartition("/")[2], json.dumps({"id": key, **shown}).encode())
        fuzzed.known.learn(body)
        return key

    network = made(f"{NETWORKS}/networks", {"network": {"name": "n"}})
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/16"}
    subnet_id = made(f"{NETWORKS}/subnets", {"subnet": subnet})
    port = {"network_id": network, "fixed_ips": [{"subnet_id": subnet_id}]}
    made(f"{NETWORKS}/ports", {"port": port})
    made(f"{NETWORKS}/routers", {"router": {"name": "r"}})
    pool_of_prefixes = {"name": "p", "prefixes": ["10.9.0.0/16"], "default_prefixlen": 24}
    made(f"{NETWORKS}/subnetpools", {"subnetpool": pool_of_prefixes})
    outside = {
        "router:external": True,
        "provider:network_type": "flat",
        "provider:physical_network": "physnet1",
    }
    external = made(f"{NETWORKS}/networks", {"network": outside})
    around = {"network_id": external, "ip_version": 4, "cidr": "10.8.0.0/16"}
    made(f"{NETWORKS}/subnets", {"subnet": around})
    made(f"{NETWORKS}/floatingips", {"floatingip": {"floating_network_id": external}})
    group = made(f"{NETWORKS}/security-groups", {"security_group": {"name": "g"}})
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    made(f"{NETWORKS}/security-group-rules", {"security_group_rule": rule})
    flavor = {"name": "f", "ram": 1, "vcpus": 1, "disk": 1}
    flavor_id = made(f"{COMPUTE}/flavors", {"flavor": flavor})
    image = made("/image/v2/images", {"disk_format": "raw", "container_format": "bare"})
    fuzzed.at.ask(
        "PUT", f"/image/v2/images/{image}/file", b"content", **{"Content-Type": OCTETS}
    ).raise_for_status()
    server = {"name": "s", "flavorRef": flavor_id, "imageRef": image, "networks": "none"}
    made(f"{COMPUTE}/servers", {"server": server})
    made(f"{COMPUTE}/os-server-groups", {"server_group": {"name": "g", "policy": "affinity"}})
    _make_balancer(made, subnet_id)


def _make_balancer(made: Callable[[str, Any], str], subnet_id: str) -> None:
    balancer = made(f"{BALANCERS}/loadbalancers", {"loadbalancer": {"vip_subnet_id": subnet_id}})
    listener = {"loadbalancer_id": balancer, "protocol": "HTTP", "protocol_port": 80}
    listener_id = made(f"{BALANCERS}/listeners", {"listener": listener})
    pool = {"loadbalancer_id": balancer, "protocol": "HTTP", "lb_algorithm": "SOURCE_IP"}
    pool_id = made(f"{BALANCERS}/pools", {"pool": pool})
    member = {"address": "10.0.0.5", "protocol_port": 80}
    made(f"{BALANCERS}/pools/{pool_id}/members", {"member": member})
    monitor = {"pool_id": pool_id, "type": "HTTP", "delay": 5, "timeout": 1, "max_retries": 3}
    made(f"{BALANCERS}/healthmonitors", {"healthmonitor": monitor})
    policy = {"listener_id": listener_id, "action": "REJECT"}
    policy_id = made(f"{BALANCERS}/l7policies", {"l7policy": policy})
    words = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}
    made(f"{BALANCERS}/l7policies/{policy_id}/rules", {"rule": words})


def path_of(fuzzed: Fuzzed[AtPlace], service: Service, route: Route, chance: Random) -> str:
    """With things that exist, mostly."""
    parts, words = [], ""
    for part in route.path.split("/"):
        if part.startswith("{"):
            known = fuzzed.by_words.get(words, deque())
            parts.append(chance.choice(known) if known and chance.randrange(5) else NOWHERE)
        else:
            parts.append(part)
            words = part or words
    return f"/{service.prefix}{'/'.join(parts)}"
