"""The rules of kumoi.yaml that its types do not say: names that must be somebody's, one of several keys.

Pure. Called by environment.py alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from kumoi.pipeline.yaml_tree import nearest

if TYPE_CHECKING:
    from kumoi.pipeline.environment import (
        Configure,
        EnvironmentFile,
        Http,
        LoadBalancerSection,
        ServersSection,
        Verify,
    )

SERVERS_MAX = 50
PREFIX_MAX = 28
RESERVED = frozenset({"runner"})
Fault = tuple[str, str]


def faults(wanted: EnvironmentFile) -> Iterator[Fault]:
    """The violations, as path and message, in the order in which they are to be reported."""
    yield from _network_faults(wanted)
    for name, group in wanted.servers.items():
        if name in RESERVED:
            yield f"servers.{name}", "this name is the pipeline's own"
        yield from _group_faults(f"servers.{name}", group, wanted)
    if sum(group.count for group in wanted.servers.values()) > SERVERS_MAX:
        yield "servers", f"more than {SERVERS_MAX} servers in all"
    for name, balancer in wanted.load_balancers.items():
        if name in wanted.servers:
            yield f"load_balancers.{name}", "a group of servers has this name"
        yield from _balancer_faults(f"load_balancers.{name}", balancer, wanted)
    for index, step in enumerate(wanted.configure):
        yield from _configure_faults(f"configure.{index}", step, wanted)
    for index, check in enumerate(wanted.verify):
        yield from _verify_faults(f"verify.{index}", check, wanted)


def _network_faults(wanted: EnvironmentFile) -> Iterator[Fault]:
    seen: list[tuple[str, ipaddress.IPv4Network]] = []
    for name, section in wanted.networks.items():
        where = f"networks.{name}.cidr"
        try:
            cidr = ipaddress.IPv4Network(section.cidr)
        except ValueError:
            yield where, f"expected a network such as 10.0.0.0/24, got {section.cidr!r}"
            continue
        if cidr.prefixlen > PREFIX_MAX:
            yield where, f"is smaller than a /{PREFIX_MAX}"
        for other, theirs in seen:
            if cidr.overlaps(theirs):
                yield where, f"overlaps with {other}"
        seen.append((name, cidr))


def _group_faults(where: str, group: ServersSection, wanted: EnvironmentFile) -> Iterator[Fault]:
    for key, value in (("image", group.image), ("flavor", group.flavor)):
        if not value.strip():
            yield f"{where}.{key}", "is empty"
    for index, network in enumerate(group.networks):
        if network not in wanted.networks:
            yield f"{where}.networks.{index}", _no("network", network, wanted.networks)
    if len(set(group.networks)) < len(group.networks):
        yield f"{where}.networks", "names a network twice"


def _balancer_faults(
    where: str, balancer: LoadBalancerSection, wanted: EnvironmentFile
) -> Iterator[Fault]:
    if balancer.network and balancer.network not in wanted.networks:
        yield f"{where}.network", _no("network", balancer.network, wanted.networks)
    ports: set[int] = set()
    for index, listener in enumerate(balancer.listeners):
        at = f"{where}.listeners.{index}"
        if listener.on not in wanted.servers:
            yield f"{at}.on", _no("group of servers", listener.on, wanted.servers)
        if listener.port in ports:
            yield f"{at}.port", f"another listener has port {listener.port}"
        ports.add(listener.port)
        monitor = listener.health_monitor
        if monitor and monitor.path and not monitor.path.startswith("/"):
            yield f"{at}.health_monitor.path", "expected a path that begins with /"


def _configure_faults(where: str, step: Configure, wanted: EnvironmentFile) -> Iterator[Fault]:
    kinds = [key for key in ("run", "ansible") if getattr(step, key).strip()]
    if step.run and not step.run.strip():
        yield f"{where}.run", "is empty"
    elif len(kinds) != 1:
        yield where, "expected either run or ansible"
    if step.ansible:
        yield from _path_faults(f"{where}.ansible", step.ansible)
        if step.once:
            yield f"{where}.once", "belongs to a step that has run"
    if step.once and not step.on:
        yield f"{where}.on", "is needed: a migration runs on a group's first server"
    elif step.on and step.on not in wanted.servers:
        yield f"{where}.on", _no("group of servers", step.on, wanted.servers)


def _verify_faults(where: str, check: Verify, wanted: EnvironmentFile) -> Iterator[Fault]:
    kinds = [key for key in ("serverspec", "testinfra", "run") if getattr(check, key).strip()]
    if len(kinds) + (check.http is not None) != 1:
        yield where, "expected one of serverspec, testinfra, http and run"
        return
    if check.http is not None:
        yield from _http_faults(f"{where}.http", check.http, wanted)
        if check.on:
            yield f"{where}.on", "belongs inside http"
    for key in ("serverspec", "testinfra"):
        if getattr(check, key):
            yield from _path_faults(f"{where}.{key}", getattr(check, key))
            if check.on not in wanted.servers:
                yield f"{where}.on", _no("group of servers", check.on, wanted.servers)
    if check.run and check.on:
        yield f"{where}.on", "a command runs on the runner"
    if check.junit and not check.run:
        yield f"{where}.junit", "belongs to a check that has run"
    yield from _path_faults(f"{where}.junit", check.junit)


def _http_faults(where: str, http: Http, wanted: EnvironmentFile) -> Iterator[Fault]:
    balancer, group = wanted.load_balancers.get(http.on), wanted.servers.get(http.on)
    if balancer is not None:
        if http.port and http.port not in {each.port for each in balancer.listeners}:
            yield f"{where}.port", f"{http.on} has no listener on port {http.port}"
    elif group is None:
        known = (*wanted.load_balancers, *wanted.servers)
        yield f"{where}.on", _no("balancer or group of servers", http.on, known)
    elif not (http.port or group.ports):
        yield f"{where}.port", f"is needed, since {http.on} has no ports"
    if not http.path.startswith("/"):
        yield f"{where}.path", "expected a path that begins with /"


def _path_faults(where: str, path: str) -> Iterator[Fault]:
    if path.startswith("/") or ".." in path.strip("/").split("/"):
        yield where, "expected a path inside the repository"


def _no(noun: str, name: str, known: Iterable[str]) -> str:
    return f"there is no {noun} {name!r}{nearest(name, known)}"
