"""What is planned of what is wanted and what is there: golden text, as people see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kumoi.pipeline import environment
from kumoi.pipeline.cloud import CloudKey, CloudResource, FloatingIpWanted, Noun, WantedResource
from kumoi.pipeline.plan import lines, plan
from kumoi.pipeline.resources import CloudIds, RunnerInputs, resources

SHOP = """
servers:
  web: {image: debian-12, flavor: small, count: 2}
  db: {image: debian-12, flavor: small}
load_balancers:
  front: {listeners: [{on: web, port: 80, member_port: 8080}]}
"""
PLACE = CloudIds(
    images={"debian-12": "i1", "debian-13": "i2", "debian-12-runner": "i3"},
    flavors={"small": "f1", "large": "f2"},
    external_id="x1",
)
RUNNER = RunnerInputs("#!/bin/sh", "a-script", "ssh-ed25519 A")


def wanted(text: str = SHOP) -> list[WantedResource]:
    return resources("e1", environment.parse(text).base, PLACE, RUNNER, {"kumoi_run": "r1"})


def built(of: list[WantedResource]) -> list[CloudResource]:
    """What a cloud tells once that has been built."""
    ids = {each.key: f"id of {each.noun} {each.name}".replace(" ", "-") for each in of}
    parents = {key: f"parent-{each}" for key, each in ids.items()}

    def told(each: WantedResource) -> dict[str, str]:
        inputs = dict(each.inputs)
        if each.noun == Noun.ROUTER:
            names = inputs["networks"].split()
            inputs["networks"] = " ".join(parents[CloudKey(Noun.NETWORK, name)] for name in names)
        if each.noun == Noun.PORT:
            names = inputs["groups"].split()
            inputs["groups"] = " ".join(ids[CloudKey(Noun.SECURITY_GROUP, name)] for name in names)
        if isinstance(each.spec, FloatingIpWanted):
            on = each.spec.on
            inputs["on"] = (parents if on.noun == Noun.LOAD_BALANCER else ids)[on]
        return inputs

    return [
        CloudResource(
            each.noun,
            each.name,
            ids[each.key],
            status="ACTIVE",
            parent_id=parents[each.key],
            inputs=told(each),
        )
        for each in of
    ]


def shown(text: str, there: list[CloudResource]) -> list[str]:
    return lines(plan(wanted(text), there), "env-e1")


def test_all_is_made_where_nothing_is_there() -> None:
    assert shown(SHOP, []) == [
        "+ floating IP front",
        "+ keypair of all",
        "+ load balancer front (HTTP 80)",
        "+ network of all (10.0.0.0/24)",
        "+ port db-1",
        "+ port runner",
        "+ port web-1",
        "+ port web-2",
        "+ router of all",
        "+ security group of all (icmp:*:10.0.0.0/24 tcp:*:10.0.0.0/24)",
        "+ server db-1 (debian-12, small)",
        "+ server runner (debian-12-runner, small)",
        "+ server web-1 (debian-12, small)",
        "+ server web-2 (debian-12, small)",
    ]


def test_what_is_as_wanted_is_kept() -> None:
    assert shown(SHOP, built(wanted())) == ["= 14 kept"]


def test_the_runners_secret_makes_it_no_other_runner() -> None:
    other = replace(RUNNER, user_data="#!/bin/sh\n# Another token.")
    again = resources("e1", environment.parse(SHOP).base, PLACE, other, {"kumoi_run": "r2"})
    assert lines(plan(again, built(wanted())), "env-e1") == ["= 14 kept"]


def test_a_server_of_another_image_is_replaced_and_its_address_stays() -> None:
    text = SHOP.replace("db: {image: debian-12,", "db: {image: debian-13,")
    assert shown(text, built(wanted())) == ["± server db-1 (differs in image)", "= 13 kept"]


def test_one_more_server_is_made_and_put_behind_its_balancer() -> None:
    assert shown(SHOP.replace("count: 2", "count: 3"), built(wanted())) == [
        "~ load balancer front (differs in members)",
        "+ port web-3",
        "+ server web-3 (debian-12, small)",
        "= 13 kept",
    ]


def test_one_server_less_goes_with_its_port() -> None:
    assert shown(SHOP.replace("count: 2", "count: 1"), built(wanted())) == [
        "~ load balancer front (differs in members)",
        "- port web-2",
        "- server web-2",
        "= 11 kept",
    ]


def test_another_listener_is_another_balancer_under_the_same_address() -> None:
    text = SHOP.replace("port: 80,", "port: 81,")
    assert shown(text, built(wanted()))[0].startswith("± load balancer front (differs in listeners")


def test_ports_that_are_opened_change_rules_and_no_server() -> None:
    text = SHOP.replace("db: {image", "db: {ports: [5432], floating_ip: false, image")
    assert shown(text, built(wanted())) == [
        "~ port db-1 (differs in groups)",
        "+ security group db (tcp:5432:0.0.0.0/0)",
        "= 13 kept",
    ]


def test_a_server_in_error_is_replaced() -> None:
    there = [
        replace(each, status="ERROR")
        if each.name == "env-e1-db-1" and each.noun == Noun.SERVER
        else each
        for each in built(wanted())
    ]
    assert shown(SHOP, there) == ["± server db-1 (it is in ERROR)", "= 13 kept"]


def test_a_network_without_its_subnet_gets_it_and_another_one_cannot_be_changed() -> None:
    def with_cidr(cidr: str) -> Callable[[CloudResource], CloudResource]:
        return lambda each: (
            replace(each, inputs={"cidr": cidr}) if each.noun == Noun.NETWORK else each
        )

    half = list(map(with_cidr(""), built(wanted())))
    assert shown(SHOP, half)[0] == "~ network of all (differs in cidr)"
    other = list(map(with_cidr("10.9.0.0/24"), built(wanted())))
    assert shown(SHOP, other)[0] == "± network of all (differs in cidr)"


def test_what_the_cloud_does_not_tell_is_taken_as_it_is() -> None:
    """A release before 0.3 wrote nothing down."""
    there = [
        replace(each, inputs={}) if each.noun == Noun.SERVER else each for each in built(wanted())
    ]
    assert shown(SHOP, there) == ["= 14 kept"]


def test_names_of_networks_are_those_of_the_file() -> None:
    text = SHOP.replace("db: {image", "db: {networks: [back, front], image") + (
        "networks: {front: {cidr: 10.0.0.0/24}, back: {cidr: 10.0.1.0/24}}\n"
    )
    names = {each.name for each in wanted(text) if each.noun == Noun.PORT}
    assert names == {
        "env-e1-db-1.back",
        "env-e1-db-1.front",
        "env-e1-runner.front",
        "env-e1-web-1.front",
        "env-e1-web-2.front",
    }
    (router,) = [each for each in wanted(text) if each.noun == Noun.ROUTER]
    assert router.inputs == {"networks": "env-e1-back env-e1-front"}
