"""A balancer is loaded, planned and sent to its host as a whole, and Octavia's quotas limit no part of one by default: so
one has a bound of each of its parts, whatever the quota says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kumoi.cloud.domain.load_balancer.part import MOST
from tests.security.in_process import InProcessCloud, in_process_cloud

LB = "/load-balancer/v2.0/lbaas"
RULE = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}
MEMBERS = [
    {"address": f"10.9.{number // 200}.{number % 200}", "protocol_port": 80}
    for number in range(1, 301)
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessCloud]:
    folder = tmp_path_factory.mktemp("balancer")
    with in_process_cloud(folder, f"sqlite:///{folder / 'store.db'}") as found:
        found.add_host()
        found.lift_quotas()
        yield found


class Full:
    """One balancer, and as much in it as there may be."""

    def __init__(self, cloud: InProcessCloud) -> None:
        self.cloud = cloud
        network = self.made("/network/v2.0/networks", "network", name="bounds")
        subnet = self.made(
            "/network/v2.0/subnets", "subnet", network_id=network, ip_version=4, cidr="10.9.0.0/16"
        )
        self.id = self.made(f"{LB}/loadbalancers", "loadbalancer", vip_subnet_id=subnet)

    def made(self, path: str, noun: str, **said: Any) -> str:
        answer = self.cloud.ask("POST", path, {noun: said})
        assert answer.status_code in (201, 200), answer.text
        return str(answer.json()[noun]["id"])

    def refused(self, method: str, path: str, body: Any, word: str) -> None:
        answer = self.cloud.ask(method, path, body)
        assert answer.status_code == 403, answer.text
        assert f"{word}: a load balancer has " in answer.text


def test_a_balancer_has_a_bound_of_each_of_its_parts_whatever_the_quota(
    cloud: InProcessCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {"listener": 2, "pool": 3, "member": 300, "l7policy": 2, "l7rule": 3}
    for word, most in bounds.items():
        assert MOST[word] >= most
        monkeypatch.setitem(MOST, word, most)
    full = Full(cloud)
    listener = {"protocol": "HTTP", "loadbalancer_id": full.id}
    listeners = [
        full.made(f"{LB}/listeners", "listener", **listener, protocol_port=port) for port in (1, 2)
    ]
    late = {"listener": {**listener, "protocol_port": 3}}
    full.refused("POST", f"{LB}/listeners", late, "Listener")

    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "loadbalancer_id": full.id}
    pools = [full.made(f"{LB}/pools", "pool", **pool) for _ in range(3)]
    full.refused("POST", f"{LB}/pools", {"pool": pool}, "Pool")

    for _ in range(2):  # The same ones again are no more.
        all_of_them = cloud.ask("PUT", f"{LB}/pools/{pools[0]}/members", {"members": MEMBERS})
        assert all_of_them.status_code == 202, all_of_them.text
    one = {"member": MEMBERS[0]}
    full.refused("POST", f"{LB}/pools/{pools[1]}/members", one, "Member")
    full.refused("PUT", f"{LB}/pools/{pools[1]}/members", {"members": MEMBERS}, "Member")

    policy = {"listener_id": listeners[0], "action": "REJECT"}
    policies = [full.made(f"{LB}/l7policies", "l7policy", **policy) for _ in range(2)]
    elsewhere = {"l7policy": {**policy, "listener_id": listeners[1]}}
    full.refused("POST", f"{LB}/l7policies", elsewhere, "L7Policy")
    for number in range(3):
        full.made(f"{LB}/l7policies/{policies[number % 2]}/rules", "rule", **RULE)
    full.refused("POST", f"{LB}/l7policies/{policies[0]}/rules", {"rule": RULE}, "L7Rule")
    Full(cloud)  # Another balancer has its own.
