"""A tenant sends each request that he may send, with an id of another tenant's in each place where one of his
own stood: nothing changes, and nothing is told.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from kumoi.cloud.api.serve import SERVICES
from kumoi.cloud.hostapi.offer import Capability, Offer
from kumoi.cloud.store.tables import metadata
from kumoi.engine.http.request import Body
from kumoi.engine.http.routing import OPEN, Route
from tests.running_cloud import RunningCloud, running_cloud
from tests.security.one_of_each import OneTenant, make

UNSEEN = ("audit",)
REFUSED, OURS = range(400, 500), 500
ID_FIELD = re.compile(r"(?i)(^|_|[a-z])(id|ids|ref|refs|uuid)$|^(group|users|security_groups)$")
MEANT = {
    "PUT /key-manager/v1/secrets/ID/acl read.users.0": "its owner says who reads it",
    "PATCH /key-manager/v1/containers/ID/acl read.users.0": "likewise",
    "POST /identity/v3/OS-TRUST/trusts trust.trustee_user_id": "a trust is for somebody else",
    "POST /identity/v3/credentials credential.project_id": "a note of the user's own: it opens nothing",
    "POST /identity/v3/users/ID/credentials/OS-EC2 tenant_id": "likewise, where the user has no role",
}
"""What names another and is taken, and why."""
ADMINS = "only an administrator may send it"
NO_PROJECTS = "nothing of a project's is meant"
UNTRIED = {
    **dict.fromkeys(("availability_zone_profile_id", "flavor_profile_id", "server_uuid"), ADMINS),
    **dict.fromkeys(("binding:host_id", "provider:segmentation_id", "service_id"), ADMINS),
    **dict.fromkeys(("default_project_id", "parent_id", "group"), ADMINS),
    **dict.fromkeys(("domain_id", "region_id", "parent_region_id"), NO_PROJECTS),
    **dict.fromkeys(("return_reservation_id", "flavor_id"), NO_PROJECTS),
    "floating_network_id": "external networks are everybody's",
    "vip_qos_policy_id": "not offered",
    "vip_sg_ids": "not offered",
    "secret_refs": "what has a secret_ref each",
    "device_id": "a word: tests/stories/compute/test_isolation.py",
}
"""Fields that are not sent, and why."""
NOT_YOURS = (403, 404, 410)
THINGS_MIN, LISTS_MIN = 100, 40
NOWHERE = "11111111-2222-4333-8444-555555555555"
OWN = {
    "/identity/v3/users/": "user_id",
    "/identity/v3/projects/": "project_id",
    "/network/v2.0/quotas/": "project_id",
    "/network/v2.0/qos/policies/": "policy_id",
    "/compute/v2.1/os-quota-sets/": "project_id",
    "/compute/v2.1/os-simple-tenant-usage/": "project_id",
    "/compute/v2.1/flavors/": "flavor_id",
    "/load-balancer/v2.0/lbaas/quotas/": "project_id",
}
QUERIES = (
    "?all_tenants=1",
    "?all_projects=True",
    "?project_id={0}",
    "?tenant_id={0}",
    "?owner={0}",
    "?user_id={1}",
    "?user.id={1}",
    "?visibility=all",
    "?visibility=shared&member_status=all",
    "?shared=true",
    "?is_public=None",
)
PLACEHOLDER = re.compile(r"\{[^/}]*\}")
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


@dataclass
class Sender:
    """Sends as one tenant, and keeps what was answered, in order."""

    cloud: RunningCloud
    http: httpx.Client
    token: str
    answers: list[Any] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        sent = {"X-Auth-Token": self.token, "OpenStack-API-Version": "compute 2.96"}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        if body is not None and not isinstance(body, bytes):
            sent["Content-Type"] = "application/json"
        return self.http.request(
            method, path, content=None if body is None else content, headers=sent | headers
        )

    def ask(self, method: str, path: str, body: Any, **headers: str) -> Any:
        answer = self.send(method, path, body, headers)
        assert answer.status_code < min(REFUSED), (method, path, body, answer.text)
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        self.answers.append(answer.json() if is_json and answer.content else None)
        if method == "POST" and (made := path_of(path, self.answers[-1])):
            self.made.append(made)
        return self.answers[-1]


@dataclass
class Attacker(Sender):
    """Before each request he sends it with another's ids. `twins` are those, by the own ones."""

    victim: Sender = field(kw_only=True)
    twins: dict[str, str] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)
    taken: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any, **headers: str) -> Any:
        before = rows(self.cloud)
        for place, changed_path, changed in self._variants(path, body):
            name = f"{method} {ID.sub('ID', path)} {place}"
            answer = self.send(method, changed_path, changed, headers)
            after = rows(self.cloud)
            self.tried.add(name)
            if answer.status_code not in REFUSED or before != after:
                differ = [each for each in after if after[each] != before[each]]
                self.taken[name] = f"{answer.status_code} {differ} {changed}"
            before = after
        shown = super().ask(method, path, body, **headers)
        learn(self.twins, shown, self.victim.answers[len(self.answers) - 1])
        return shown

    def _variants(self, path: str, body: Any) -> Iterator[tuple[str, str, Any]]:
        for own in ID.findall(path):
            if own in self.twins:
                yield "path", path.replace(own, self.twins[own]), body
        if not isinstance(body, bytes):
            for place, text in leaves(body, ()):
                for own in ID.findall(text):
                    if own in self.twins:
                        yield (
                            ".".join(map(str, place)),
                            path,
                            replaced(body, place, text.replace(own, self.twins[own])),
                        )


def path_of(collection: str, shown: Any) -> str:
    """Of what was made there; none where a list of ids is not what it says."""
    inner = shown
    if isinstance(shown, dict) and len(shown) == 1:
        inner = next(iter(shown.values()))
    if not isinstance(inner, dict):
        return ""
    for word in ("secret_ref", "container_ref"):
        if word in inner:
            return "/" + str(inner[word]).partition("://")[2].partition("/")[2]
    key = inner.get("access") or inner.get("id")
    return f"{collection}/{key}" if key and not collection.endswith("/action") else ""


def leaves(value: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(value, str):
        yield place, value
    keys: Any = value.keys() if isinstance(value, dict) else ()
    if isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield from leaves(value[key], (*place, key))


def replaced(body: Any, place: tuple[Any, ...], value: str) -> Any:
    changed = copy.deepcopy(body)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def learn(twins: dict[str, str], own: Any, other: Any) -> None:
    """The ids of two answers that stand at one place."""
    theirs = dict(leaves(other, ()))
    for place, text in leaves(own, ()):
        pairs = zip(ID.findall(text), ID.findall(theirs.get(place, "")), strict=False)
        twins |= {mine: its for mine, its in pairs if mine != its}


def rows(cloud: RunningCloud) -> dict[str, list[Any]]:
    """All that is kept, but for the record of who asked what."""
    with cloud.database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(sa.select(table))))
            for table in metadata.sorted_tables
            if table.name not in UNSEEN
        }


@dataclass
class World:
    attacker: Attacker
    mine: OneTenant
    theirs: OneTenant


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """On one database: the stories are told on both."""
    directory = tmp_path_factory.mktemp("cloud")
    with running_cloud(directory, f"sqlite:///{directory / 'cloud.db'}") as running:
        yield running


@pytest.fixture(scope="module")
def world(
    cloud: RunningCloud, admin: Connection, tenant: Connection, neighbour: Connection
) -> Iterator[World]:
    cloud.host.offers = {"lxc": Offer(formats=["root-tar"], capabilities=list(Capability))}
    cloud.host.register()
    network = admin.network.create_network(
        name="public",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    admin.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.201.0.0/24")
    with httpx.Client(base_url=cloud.url, timeout=60) as http:
        victim = Sender(cloud, http, tenant.authorize())
        attacker = Attacker(cloud, http, neighbour.authorize(), victim=victim)
        made = [
            OneTenant(
                ask=sender.ask,
                settle=cloud.host.settle,
                user_id=whose.current_user_id,
                project_id=whose.current_project_id,
                external_id=network.id,
                number=number,
                **given_by(admin, whose.current_project_id),
            )
            for number, (sender, whose) in enumerate(
                ((victim, tenant), (attacker, neighbour)), start=1
            )
        ]
        make(made[0])
        for name in ("user_id", "project_id", "policy_id", "flavor_id", "larger_flavor_id"):
            attacker.twins[getattr(made[1], name)] = getattr(made[0], name)
        make(made[1])
        yield World(attacker, made[1], made[0])


def given_by(admin: Connection, project_id: str) -> dict[str, str]:
    """What an administrator makes for one project."""
    policy = admin.network.create_qos_policy(name="q", project_id=project_id)
    flavors = [
        admin.compute.create_flavor(name=new_hex_id(), ram=ram, vcpus=1, disk=1, is_public=False)
        for ram in (64, 128)
    ]
    for flavor in flavors:
        admin.compute.flavor_add_tenant_access(flavor, project_id)
    return {
        "policy_id": policy.id,
        "flavor_id": flavors[0].id,
        "larger_flavor_id": flavors[1].id,
    }


def test_no_id_of_anothers_is_taken_where_an_own_one_stood(world: World) -> None:
    attacker = world.attacker
    wrong = {name: said for name, said in attacker.taken.items() if name not in MEANT}
    assert wrong == {}
    assert attacker.taken.keys() == MEANT.keys()
    names = {place.rpartition(" ")[2].rstrip(".0123456789") for place in attacker.tried}
    names = {name.rpartition(".")[2] for name in names}
    unsent = set(fields_of_ids()) - names - UNTRIED.keys()
    assert unsent == set()


def fields_of_ids() -> Iterator[str]:
    """Of all shapes of bodies of the OpenStack APIs."""
    waiting = Body.__subclasses__()
    while waiting:
        shape = waiting.pop()
        waiting += shape.__subclasses__()
        if shape.__module__.startswith("kumoi.cloud.api.") and ".host." not in shape.__module__:
            for each in msgspec.structs.fields(shape):
                if ID_FIELD.search(each.encode_name):
                    yield each.encode_name


def test_nothing_of_anothers_is_shown_or_deleted(world: World) -> None:
    attacker = world.attacker
    made = things(world)
    wrong, tried = [], set()
    before = rows(attacker.cloud)
    for service in SERVICES:
        for route in service.routes:
            if route.method not in ("GET", "DELETE") or route.policy == OPEN:
                continue
            for path in paths_of(f"/{service.prefix}{route.path}", made):
                tried.add(f"{route.method} /{service.prefix}{route.path}")
                answer = attacker.send(route.method, path, None, version_of(route))
                if answer.status_code not in NOT_YOURS:
                    wrong.append(f"{route.method} {path}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []
    assert rows(attacker.cloud) == before
    assert len(tried) > THINGS_MIN


def test_no_list_names_what_is_anothers(world: World) -> None:
    """Neither by a filter, nor by going on after another's thing, which would say how that one is sorted."""
    attacker = world.attacker
    known = {world.theirs.project_id, world.theirs.user_id}
    theirs = set(attacker.twins.values()) - known
    wrong, lists = [], 0
    for path, version, markers in lists_of(world):
        plain = attacker.send("GET", path, None, version)
        lists += plain.status_code == httpx.codes.OK
        for query in (*QUERIES, *(each for key in markers for each in after(key))):
            asked = query.format(world.theirs.project_id, world.theirs.user_id)
            answer = attacker.send("GET", path + asked, None, version)
            told = theirs.intersection(ID.findall(answer.text)) - set(ID.findall(asked))
            goes_on = "marker" in asked and answer.is_success and answer.text != plain.text
            if told or goes_on or answer.status_code >= OURS:
                wrong.append(f"GET {path}{asked}: {answer.status_code} {answer.text[:200]}")
    assert wrong == []
    assert lists > LISTS_MIN


def after(key: str) -> Iterator[str]:
    yield f"?marker={key}"
    yield f"?sort_key=created_at&marker={key}"


def lists_of(world: World) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """The path of each, within own things, a version that has it, and ids of another's that it does not show."""
    made = things(world)
    for service in SERVICES:
        for route in service.routes:
            template = PLACEHOLDER.sub("{}", f"/{service.prefix}{route.path}")
            if route.method != "GET" or route.policy == OPEN or template.endswith("{}"):
                continue
            parent, _, word = template.rpartition("/")
            markers = [its.rpartition("/")[2] for _, its in made.get(f"{template}/{{}}", [])]
            if "{}" not in template:
                yield template, version_of(route), markers
            elif parent in made:
                yield f"{made[parent][0][0]}/{word}", version_of(route), markers


def things(world: World) -> dict[str, list[tuple[str, str]]]:
    """By their paths with {} for each id: the paths of what the one made, and of what the other did."""
    attacker = world.attacker
    found: dict[str, list[tuple[str, str]]] = {}
    pairs = list(zip(attacker.made, attacker.victim.made, strict=True))
    for path, name in OWN.items():
        pairs.append((path + getattr(world.mine, name), path + getattr(world.theirs, name)))
    for mine, its in pairs:
        found.setdefault(ID.sub("{}", mine), []).append((mine, its))
    return found


def paths_of(path: str, made: dict[str, list[tuple[str, str]]]) -> Iterator[str]:
    """Of another's thing; and of another's within one's own."""
    template = PLACEHOLDER.sub("{}", path)
    fitting = [known for known in made if f"{template}/".startswith(f"{known}/")]
    if not fitting:
        return
    known = max(fitting, key=len)
    for mine, its in made[known][:2]:
        rest = template.removeprefix(known).replace("{}", NOWHERE)
        yield its + rest
        if known.count("{}") > 1:
            yield mine.rpartition("/")[0] + "/" + its.rpartition("/")[2] + rest


def version_of(route: Route) -> dict[str, str]:
    version = route.until or route.since
    return {"OpenStack-API-Version": f"compute {version[0]}.{version[1]}"} if version else {}
