"""What a single request costs, end to end over TLS on this machine."""

from __future__ import annotations

from typing import Any

import httpx
from openstack.connection import Connection

from bench.measure import Figure, timed

TIMES = 50


def figures(cloud: Connection) -> list[Figure]:
    token = cloud.session.get_token()
    with httpx.Client(verify=cloud.session.verify, headers={"X-Auth-Token": token}) as client:
        found = _network(cloud, client)
        found += _identity(cloud, client, token)
    return found


def _network(cloud: Connection, client: httpx.Client) -> list[Figure]:
    url = cloud.network.get_endpoint().rstrip("/").removesuffix("/v2.0")
    made: list[str] = []

    def network() -> None:
        answer = client.post(f"{url}/v2.0/networks", json={"network": {"name": "bench-api"}})
        made.append(answer.raise_for_status().json()["network"]["id"])

    def port() -> None:
        body = {"port": {"network_id": made[0]}}
        client.post(f"{url}/v2.0/ports", json=body).raise_for_status()

    networks = timed(network, TIMES)
    subnet = {"network_id": made[0], "cidr": "10.6.0.0/16", "ip_version": 4}
    client.post(f"{url}/v2.0/subnets", json={"subnet": subnet}).raise_for_status()
    ports = timed(port, TIMES)
    for row in cloud.network.ports(network_id=made[0]):
        cloud.network.delete_port(row)
    for key in made:
        cloud.network.delete_network(key)
    return [
        Figure("POST /v2.0/networks", networks, "ms", 15),
        Figure("POST /v2.0/ports", ports, "ms", 15),
    ]


def _identity(cloud: Connection, client: httpx.Client, token: str) -> list[Figure]:
    url = (
        f"{cloud.config.get_auth_args()['auth_url'].rstrip('/').removesuffix('/v3')}/v3/auth/tokens"
    )
    auth = cloud.config.get_auth_args()
    domain = {"id": "default"}
    user: dict[str, Any] = {
        "name": auth["username"],
        "password": auth["password"],
        "domain": domain,
    }
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": auth["project_name"], "domain": domain}},
        }
    }
    return [
        Figure(
            "GET token validation",
            timed(
                lambda: client.get(url, headers={"X-Subject-Token": token}).raise_for_status(),
                TIMES,
            ),
            "ms",
            5,
        ),
        Figure(
            "POST token, with password hashing",
            timed(lambda: client.post(url, json=body).raise_for_status(), TIMES // 2),
            "ms",
            120,
        ),
    ]
