from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import pytest

from kumoi.base.errors import Conflict, Invalid
from kumoi.cli import components
from kumoi.cloud.agent.files import WANTED_DIR, ThingFiles
from kumoi.cloud.agent.hearing import WantedThing
from kumoi.cloud.hostapi.messages import SERVER
from kumoi.cloud.hostapi.things import Thing
from kumoi.components import OPTIONAL, OPTIONAL_APIS
from kumoi.config import ROLES, CloudSettings, HostSettings, changed

CLOUD = CloudSettings(name="t1")


@pytest.fixture
def host(tmp_path: Path) -> HostSettings:
    return HostSettings(name="t1-host1", state_dir=str(tmp_path))


def chosen(
    cloud: CloudSettings, host: HostSettings, *, without: str = "", within: str = ""
) -> tuple[CloudSettings, HostSettings]:
    args = argparse.Namespace(without=without.split(), within=within.split())
    return components.chosen(args, cloud, host)


def test_without_a_word_all_stays_as_it_is(host: HostSettings) -> None:
    assert chosen(CLOUD, host) == (CLOUD, host)


def test_what_is_left_out_takes_its_roles_along_and_comes_back_with_them(
    host: HostSettings,
) -> None:
    cloud, less = chosen(CLOUD, host, without=" ".join(OPTIONAL))
    assert cloud.apis_off == OPTIONAL_APIS
    assert less.roles == ("api", "worker")
    assert chosen(cloud, less) == (cloud, less)
    assert chosen(cloud, less, within=" ".join(OPTIONAL)) == (CLOUD, host)


def test_balancers_need_the_agent_as_servers_do(host: HostSettings) -> None:
    _, less = chosen(CLOUD, host, without="compute placement pipeline")
    assert less.roles == ("network", "api", "worker", "agent")


def test_roles_stay_while_servers_are_there(host: HostSettings) -> None:
    there = Thing(kind=SERVER, id="0f2d0d3c-9d4e-4d0b-8a53-6a0f2b7a1c11", generation=1)
    files = ThingFiles(host.agent_dir / WANTED_DIR)
    files.save(WantedThing(thing=there, raw=msgspec.json.encode(there)))
    _, same = chosen(CLOUD, host, without=" ".join(OPTIONAL))
    assert same.roles == tuple(role for role in ROLES if role != "pipeline")


def test_a_role_that_was_taken_out_by_hand_stays_out(host: HostSettings) -> None:
    control = changed(host, roles=("network", "api", "worker"))
    _, same = chosen(CLOUD, control, without="pipeline key-manager")
    assert same == control


@pytest.mark.parametrize(
    ("without", "within", "words"),
    [
        ("comput", "", "comput is nothing that a cloud may be without: did you mean compute"),
        ("", "identity", "identity is nothing that a cloud may be without"),
        ("compute", "compute", "compute is to be there and not to be there"),
        (
            "compute",
            "",
            r"placement needs compute: .* \(--without pipeline --without placement\)",
        ),
        (
            "network pipeline",
            "",
            r"compute needs network: .* --without load-balancer --without placement\)",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    host: HostSettings, without: str, within: str, words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        chosen(CLOUD, host, without=without, within=within)


def test_what_is_put_back_names_all_that_it_needs(host: HostSettings) -> None:
    cloud, less = chosen(CLOUD, host, without=" ".join(OPTIONAL))
    with pytest.raises(
        Invalid,
        match="compute needs image, which is off: --with image --with network",
    ):
        chosen(cloud, less, within="placement compute")


def test_a_host_without_apis_has_no_choice(host: HostSettings) -> None:
    agent = changed(host, roles=("agent",))
    assert chosen(CLOUD, agent) == (CLOUD, agent)
    with pytest.raises(Conflict, match="say this there"):
        chosen(CLOUD, agent, without="placement")


def test_who_needs_what_is_off_is_told_how_it_comes_back(host: HostSettings) -> None:
    cloud = changed(CLOUD, apis_off=("load-balancer",))
    with pytest.raises(Conflict, match=r"the demo needs load-balancer.*--with load-balancer"):
        components.require(cloud, host, {"compute", "load-balancer"}, "the demo")
    components.require(CLOUD, host, {"compute", "load-balancer"}, "the demo")
