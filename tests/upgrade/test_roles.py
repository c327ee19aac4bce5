"""An update of a cloud that works: each role of one release on the state of the other.

The older release makes the cloud and some things in it; then the stores are expanded, and control
plane and agent are of either release in turn, as in an update and in its taking back. An agent is
never newer than its control plane, and one that is holds still.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from openstack.connection import Connection
from openstack.exceptions import NotFoundException

from tests.upgrade.estate import Estate, estate_in, until
from tests.upgrade.releases import Release

pytestmark = pytest.mark.timeout(600)  # The first of them waits for the making of a whole cloud.


@dataclass
class Lived:
    """What the older release made. `token` is one that it signed."""

    estate: Estate
    connection: Connection
    token: str
    server_id: str
    run_id: str


@pytest.fixture(scope="module")
def lived(
    tmp_path_factory: pytest.TempPathFactory, older: Release, newer: Release
) -> Iterator[Lived]:
    """Made by the older release, its stores expanded by this one since."""
    with estate_in(tmp_path_factory.mktemp("estate")) as estate:
        estate.begin(older)
        estate.put(api=older, worker=older, agent=older, pipeline=older)
        connection = estate.connect()
        estate.furnish(connection)
        estate.await_host(connection)
        server_id = make(connection, "old")
        run_id = estate.push(tmp_path_factory.mktemp("push") / "work")
        until(lambda: stage(estate, connection, run_id) == "configure")
        estate.end("pipeline")
        estate.migrate(newer)
        yield Lived(estate, connection, connection.authorize(), server_id, run_id)


@pytest.mark.parametrize(
    ("control", "agent"), [("newer", "older"), ("newer", "newer"), ("older", "older")]
)
def test_a_control_plane_works_with_agents_of_its_release_and_of_the_one_before(
    lived: Lived, request: pytest.FixtureRequest, control: str, agent: str
) -> None:
    of_control: Release = request.getfixturevalue(control)
    of_agent: Release = request.getfixturevalue(agent)
    lived.estate.put(api=of_control, worker=of_control, agent=of_agent)
    works(lived, f"{control}-{agent}")


def test_an_agent_newer_than_its_control_plane_holds_still_until_that_is_updated(
    lived: Lived, older: Release, newer: Release
) -> None:
    lived.estate.put(api=older, worker=older, agent=newer)
    if older.version != newer.version:
        until(lambda: "newer than the control plane's" in lived.estate.log("agent"))
    assert state(lived.connection, lived.server_id) == "ACTIVE"
    lived.estate.put(api=newer, worker=newer)
    works(lived, "updated")


def test_a_token_lives_on(lived: Lived, newer: Release) -> None:
    lived.estate.put(api=newer)
    header = {"X-Auth-Token": lived.token, "X-Subject-Token": lived.token}
    url = f"{lived.connection.session.auth.auth_url}/v3/auth/tokens"
    answer = lived.connection.session.request(url, "GET", authenticated=False, headers=header)
    assert answer.json()["token"]["user"]["name"] == "admin"


def test_a_run_that_the_older_release_began_is_ended_by_this_one(
    lived: Lived, newer: Release
) -> None:
    lived.estate.put(api=newer, worker=newer, agent=newer, pipeline=newer)
    estate, connection = lived.estate, lived.connection
    assert stage(estate, connection, lived.run_id) == "configure"
    found = estate.pipeline(connection, "GET", f"runs/{lived.run_id}")["run"]["environment"]
    estate.pipeline(connection, "DELETE", f"environments/{found['id']}")
    path = f"environments/{found['id']}"
    until(lambda: estate.pipeline(connection, "GET", path)["environment"]["status"] == "deleted")
    run = estate.pipeline(connection, "GET", f"runs/{lived.run_id}")["run"]
    assert run["status"] == "cancelled"
    assert [server.name for server in connection.compute.servers()] == ["old"]


def works(lived: Lived, name: str) -> None:
    """What there was can be stopped and started, and something new can be made and deleted."""
    connection = lived.connection
    for action, status in (("stop", "SHUTOFF"), ("start", "ACTIVE")):
        getattr(connection.compute, f"{action}_server")(lived.server_id)
        until(lambda status=status: state(connection, lived.server_id) == status)  # type: ignore[misc]
    new = make(connection, name)
    until(lambda: [port.status for port in connection.network.ports(device_id=new)] == ["ACTIVE"])
    connection.compute.delete_server(new)
    until(lambda: state(connection, new) == "")
    assert state(connection, lived.server_id) == "ACTIVE"


def make(connection: Connection, name: str) -> str:
    """A server that runs."""
    made = connection.compute.create_server(
        name=name,
        image_id=connection.image.find_image("debian-12").id,
        flavor_id=connection.compute.find_flavor("small").id,
        networks=[{"uuid": connection.network.find_network("private").id}],
    )
    until(lambda: state(connection, made.id) == "ACTIVE")
    return str(made.id)


def state(connection: Connection, server_id: str) -> str:
    """Empty when it is not there."""
    try:
        return str(connection.compute.get_server(server_id).status)
    except NotFoundException:
        return ""


def stage(estate: Estate, connection: Connection, run_id: str) -> str:
    return str(estate.pipeline(connection, "GET", f"runs/{run_id}")["run"]["stage"])
