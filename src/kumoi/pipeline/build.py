"""Stage build: what an environment is made of, made of what is there, in parallel where the order is free.

Called by the steps of run.py. Everything may be repeated: what is there is read from the cloud each time,
plan.py says what is to be done, and this does it. Nothing here deletes but what the plan replaces or
does not know; teardown.py deletes a whole environment. `not_active`, `servers` and `url` are pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from kumoi.base.errors import Bug, Permanent, Transient
from kumoi.pipeline.cloud import (
    BALANCING,
    SERVICES,
    Cloud,
    CloudKey,
    CloudResource,
    Noun,
    Room,
    WantedResource,
)
from kumoi.pipeline.environment import RUNNER_IMAGE, SERVER_IMAGE, EnvironmentFile
from kumoi.pipeline.plan import Action, Verb, named
from kumoi.pipeline.resources import RUNNER, CloudIds, members, port_name, prefix

PARALLEL_MAX = 8
ACTIVE = "ACTIVE"
COUNTED = {
    Noun.SERVER: "servers",
    Noun.NETWORK: "networks",
    Noun.PORT: "ports",
    Noun.ROUTER: "routers",
    Noun.FLOATING_IP: "floating IPs",
    Noun.SECURITY_GROUP: "security groups",
}

Item = TypeVar("Item")
Result = TypeVar("Result")

# Servers hold ports, floating IPs are on ports, routers are on networks: outside in.
PHASES = (
    (Noun.LOAD_BALANCER, Noun.SERVER, Noun.FLOATING_IP, Noun.KEYPAIR),
    (Noun.ROUTER, Noun.PORT),
    (Noun.NETWORK, Noun.SECURITY_GROUP),
)


class Built(msgspec.Struct):
    """The addresses of the servers and balancers. Part of the flow's state."""

    addresses: dict[str, str] = {}  # By server, inside its first network.
    ids: dict[str, str] = {}  # By server.
    floating: dict[str, str] = {}  # By group or balancer that has one.
    virtual: dict[str, str] = {}  # By balancer, inside its network.


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """What is there now; `waits_for` is what has to go first, and then it is to be applied again."""

    made: dict[CloudKey, CloudResource]
    waits_for: str = ""


def look_up(cloud: Cloud, wanted: EnvironmentFile) -> CloudIds:
    """The ids of the images, flavors and network that the file names. Raises Permanent with the
    name and its key in the file when the cloud does not have one.
    """
    found, faults = survey(cloud, wanted)
    if faults:
        raise Permanent(faults[0])
    return found


def survey(cloud: Cloud, wanted: EnvironmentFile) -> tuple[CloudIds, list[str]]:
    """What the cloud has of what the file names, and all that it lacks, in words."""
    faults: list[str] = []
    if wanted.load_balancers and not cloud.offers(BALANCING):
        name = min(wanted.load_balancers)
        faults.append(f"the cloud offers no load balancers (load_balancers.{name})")
    missing = list(not_offered(cloud, SERVICES))
    if missing:
        return CloudIds(), [*missing, *faults]
    all_members = members(wanted)
    images = sorted({member.image for member in all_members})
    flavors = sorted({member.flavor for member in all_members})
    with ThreadPoolExecutor(PARALLEL_MAX, "build") as pool:
        external = pool.submit(cloud.find_external_network)
        images_found = [pool.submit(cloud.find_image, name) for name in images]
        flavors_found = [pool.submit(cloud.find_flavor, name) for name in flavors]
    external_id = external.result()
    image_ids = {name: each.result() for name, each in zip(images, images_found, strict=True)}
    if image_ids.get(RUNNER_IMAGE, RUNNER_IMAGE) is None:
        image_ids[RUNNER_IMAGE] = _runner_image(cloud, wanted, image_ids)
    found = {name: each.result() for name, each in zip(flavors, flavors_found, strict=True)}
    there = {name: each for name, each in found.items() if each is not None}
    for member in all_members:
        image = f"there is no image {member.image!r} ({member.key_of('image')})"
        flavor = f"there is no flavor {member.flavor!r} ({member.key_of('flavor')})"
        if image_ids[member.image] is None and image not in faults:
            faults.append(image)
        if member.flavor not in there and flavor not in faults:
            faults.append(flavor)
    if external_id is None:
        faults.append("the cloud has no external network to reach the environment through")
    ids = CloudIds(
        images={name: each for name, each in image_ids.items() if each},
        flavors={name: each.id for name, each in there.items()},
        external_id=external_id or "",
        vcpus={name: each.vcpus for name, each in there.items()},
        ram_mib={name: each.ram_mib for name, each in there.items()},
        disk_gib={name: each.disk_gib for name, each in there.items()},
    )
    return ids, faults


def not_offered(cloud: Cloud, services: Sequence[str]) -> Iterator[str]:
    """Of these services, in words."""
    return (f"the cloud offers no {each}" for each in services if not cloud.offers(each))


def _runner_image(
    cloud: Cloud, wanted: EnvironmentFile, found: Mapping[str, str | None]
) -> str | None:
    """In a cloud without the runner's usual image: the usual one of servers, or the first that the file
    names. The runner then installs what it needs.
    """
    first = next(iter(wanted.servers.values())).image
    return found.get(SERVER_IMAGE) or cloud.find_image(SERVER_IMAGE) or found.get(first)


def require_room(
    cloud: Cloud, wanted: EnvironmentFile, ids: CloudIds, actions: Sequence[Action]
) -> None:
    """Raises Permanent where the project's quota does not suffice for what is to be made."""
    for fault in short_of(cloud.room(), needed(wanted, ids, actions)):
        raise Permanent(fault)


def short_of(room: Room, counts: Mapping[str, int]) -> Iterator[str]:
    """Each quota that does not suffice. Pure."""
    for what, count in sorted(counts.items()):
        if count > room.left.get(what, count):
            left = max(room.left[what], 0)
            yield f"the quota does not suffice: {count} {what} are needed, {left} are left"


def needed(wanted: EnvironmentFile, ids: CloudIds, actions: Sequence[Action]) -> dict[str, int]:
    """What a plan adds, by what quotas count. Pure."""
    new = [each.key for each in actions if each.verb == Verb.CREATE]
    counts = {words: sum(key.noun == noun for key in new) for noun, words in COUNTED.items()}
    servers = {key.name.split("-", 2)[-1] for key in new if key.noun == Noun.SERVER}
    for member in members(wanted):
        if member.name in servers:
            counts["vcpus"] = counts.get("vcpus", 0) + ids.vcpus.get(member.flavor, 0)
            ram = ids.ram_mib.get(member.flavor, 0)
            counts["MiB of memory"] = counts.get("MiB of memory", 0) + ram
    return {what: count for what, count in counts.items() if count}


def disk_gib(wanted: EnvironmentFile, ids: CloudIds) -> int:
    """Of all its servers, by their flavors. Pure."""
    return sum(ids.disk_gib.get(member.flavor, 0) for member in members(wanted))


def list_existing(cloud: Cloud, environment_id: str) -> list[CloudResource]:
    """Every object in the cloud that carries the environment's name, sorted."""
    name = prefix(environment_id)
    listed = in_parallel(lambda noun: cloud.list_resources(noun, name), list(Noun))
    return sorted(resource for resources in listed for resource in resources)


def apply(
    cloud: Cloud,
    wanted: Sequence[WantedResource],
    found: Sequence[CloudResource],
    actions: Sequence[Action],
) -> BuildProgress:
    """Carry a plan out: what is replaced goes first, then all is made, and what is not wanted goes
    last. Raises what a call raises, once all that run beside it have ended.
    """
    verbs = {each.key: each.verb for each in actions}
    there = {each.key: each for each in named(found)}
    replaced = [there[key] for key, verb in verbs.items() if verb == Verb.REPLACE]
    for each in replaced:
        if each.noun in (Noun.NETWORK, Noun.KEYPAIR):
            raise Permanent(f"{each.noun} {each.name} cannot change while the environment is kept")
    if replaced:
        delete(cloud, replaced)
        return BuildProgress(there, f"{_names(replaced)} to go")
    doing = {Verb.CREATE, Verb.CHANGE}
    to_do = [each for each in wanted if verbs[each.key] in doing]

    def act(one: WantedResource, made: dict[CloudKey, CloudResource]) -> CloudResource:
        if verbs[one.key] == Verb.CREATE:
            return cloud.create(one, made)
        return cloud.change(one, made[one.key], made)

    made = _in_order(to_do, there, act)
    surplus = [there[key] for key, verb in verbs.items() if verb == Verb.DELETE]
    if surplus:
        remove(cloud, surplus)
        return BuildProgress(made, f"{_names(surplus)} to go")
    return BuildProgress(made)


def remove(cloud: Cloud, resources: Sequence[CloudResource]) -> None:
    """Delete the first of them in order, outside in: the next would be refused."""
    for phase in PHASES:
        now = [each for each in resources if each.noun in phase]
        if now:
            delete(cloud, now)
            return


def delete(cloud: Cloud, resources: Sequence[CloudResource]) -> None:
    """Ask for it; what is still in use is found again by the next call."""

    def one(resource: CloudResource) -> None:
        with contextlib.suppress(Transient):
            cloud.delete_resource(resource)

    in_parallel(one, resources)


def built(environment_id: str, wanted: EnvironmentFile, made: Iterable[CloudResource]) -> Built:
    """The addresses, by short names."""
    name = prefix(environment_id)
    by_key = {each.key: each for each in made}

    def of(noun: Noun, short: str) -> str:
        return by_key[CloudKey(noun, f"{name}-{short}")].address

    ports = {member.name: port_name(member.name, member.networks[0]) for member in members(wanted)}
    reached = [group for group, section in wanted.servers.items() if section.is_reached]
    reached += [each for each, section in wanted.load_balancers.items() if section.floating_ip]
    return Built(
        addresses={server: of(Noun.PORT, port) for server, port in ports.items()},
        ids={server: by_key[CloudKey(Noun.SERVER, f"{name}-{server}")].id for server in ports},
        floating={each: of(Noun.FLOATING_IP, each) for each in reached},
        virtual={each: of(Noun.LOAD_BALANCER, each) for each in wanted.load_balancers},
    )


def not_active(found: Sequence[CloudResource], environment_id: str, wanted: EnvironmentFile) -> str:
    """Names the servers and balancers that are not ACTIVE yet; empty when all are. Raises Permanent
    when one cannot be built, or has gone.
    """
    name = prefix(environment_id)
    states = {each.key: each for each in found}
    expected = [(Noun.SERVER, member.name) for member in members(wanted)]
    expected += [(Noun.LOAD_BALANCER, each) for each in sorted(wanted.load_balancers)]
    missing: list[str] = []
    for noun, short in expected:
        state = states.get(CloudKey(noun, f"{name}-{short}"))
        if state is None:
            raise Permanent(f"{noun} {short} has disappeared")
        if state.status == "ERROR":
            fault = state.fault or "the cloud does not say why"
            raise Permanent(f"{noun} {short} could not be built: {fault}")
        if state.status != ACTIVE:
            missing.append(f"{noun} {short}")
    return ", ".join(sorted(missing))


def url(wanted: EnvironmentFile, addresses: Built) -> str:
    """The environment's own URL: that of its first balancer, or else of its first group with ports;
    empty when the world reaches none.
    """
    for name, balancer in sorted(wanted.load_balancers.items()):
        if name in addresses.floating:
            first = balancer.listeners[0]
            scheme = "http" if first.protocol == "HTTP" else "tcp"
            return _url(scheme, addresses.floating[name], [first.port])
    for name, group in sorted(wanted.servers.items()):
        if name in addresses.floating and group.ports:
            return _url("http", addresses.floating[name], group.ports)
    return ""


def addresses(of: Built) -> dict[str, str]:
    """Of servers and balancers, as people read them: a floating one stands before the other."""
    found = {**of.addresses, **of.virtual}
    return found | {f"{name} (floating)": address for name, address in of.floating.items()}


def servers(wanted: EnvironmentFile, addresses: Built) -> list[dict[str, str]]:
    """The servers that the runner works on, as its job lists them."""
    return [
        {
            "name": member.name,
            "group": member.group,
            "address": addresses.addresses[member.name],
            "id": addresses.ids[member.name],
        }
        for member in members(wanted)
        if member.group != RUNNER
    ]


def in_parallel(call: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The results in the items' order; PARALLEL_MAX calls run at a time. Raises the first error by
    order, after all calls have ended.
    """
    if not items:
        return []
    with ThreadPoolExecutor(PARALLEL_MAX, "build") as pool:
        futures = [pool.submit(call, item) for item in items]
    return [future.result() for future in futures]


def _in_order(
    to_do: Sequence[WantedResource],
    there: dict[CloudKey, CloudResource],
    act: Callable[[WantedResource, dict[CloudKey, CloudResource]], CloudResource],
) -> dict[CloudKey, CloudResource]:
    """Each begins when what it needs is there. After an error nothing more begins."""
    made = dict(there)
    left = {each.key: each for each in to_do}
    running: dict[Future[CloudResource], CloudKey] = {}
    errors: list[BaseException] = []
    with ThreadPoolExecutor(PARALLEL_MAX, "build") as pool:
        while (left and not errors) or running:
            ready = [each for each in left.values() if not left.keys() & set(each.needs)]
            for each in [] if errors else ready:
                if made.keys() >= set(each.needs):
                    del left[each.key]
                    running[pool.submit(act, each, dict(made))] = each.key
            if not running:
                raise errors[0] if errors else Bug("the plan has parts that need each other")
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                key = running.pop(future)
                error = future.exception()
                if error is None:
                    made[key] = future.result()
                else:
                    errors.append(error)
    if errors:
        raise errors[0]
    return made


def _url(scheme: str, address: str, ports: Sequence[int]) -> str:
    if 443 in ports and 80 not in ports:  # noqa: PLR2004
        scheme = "https"
    default = {"http": 80, "https": 443}.get(scheme, 0)
    port = default if default in ports else ports[0]
    return f"{scheme}://{address}" + ("" if port == default else f":{port}") + "/"


def _names(resources: Sequence[CloudResource]) -> str:
    return ", ".join(f"{each.noun} {each.name}" for each in resources)
