"""Which faults a drill makes."""

from __future__ import annotations

from kumoi.drill.plan import HOST, OF_HOSTS, Drilled, Fault, choose

COMPONENTS = {"one": ["etcd", "api", "agent"], "two": ["etcd", "agent"], "three": ["agent"]}


def test_every_component_is_drilled_once_before_any_is_drilled_again_on_another_host() -> None:
    found = choose(COMPONENTS)
    assert found[0] == Drilled(Fault.NOTHING)  # What the traffic alone costs comes first.
    killed = [each.component for each in found if each.fault is Fault.KILL]
    assert sorted(killed[:3]) == ["agent", "api", "etcd"]
    assert killed[3:6] == [HOST] * 3
    pairs = {(each.host, each.component) for each in found if each.component not in {"", HOST}}
    assert pairs == {(host, name) for host, names in COMPONENTS.items() for name in names}


def test_every_component_is_killed_and_frozen_and_every_host_meets_every_fault() -> None:
    found = choose(COMPONENTS)
    assert len(found) == len(set(found)) == 1 + 2 * 6 + 3 * len(OF_HOSTS)


def test_only_names_a_component_wherever_it_is_or_a_host() -> None:
    etcd = choose(COMPONENTS, "etcd")[1:]
    assert {(each.host, each.component) for each in etcd} == {("one", "etcd"), ("two", "etcd")}
    two = choose(COMPONENTS, "two")[1:]
    assert {each.component for each in two} == {HOST}
    assert {each.host for each in two} == {"two"}
    assert len(choose(COMPONENTS, "nothing-of-that-name")) == 1
