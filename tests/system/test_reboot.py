"""Under systemd: a reboot brings everything back, an update fails no call, each unit is held back.

On a machine of its own, with systemd as its first process (machine.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.system.live import another_release, eventually
from tests.system.machine import Machine, machine
from tests.system.slots import free_slot

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

UNITS = {
    "ovnnb-db", "ovnsb-db", "ovn-northd", "ovs-db", "ovs-vswitchd", "ovn-controller",
    "inspector", "api", "worker", "agent", "repositories", "pipeline",
}  # fmt: skip
EXPOSURE_MAX = 2.0
FILTERED = "2"  # Seccomp in /proc/PID/status.
STATE = "/var/lib/kumoi"
BACK_S = 90.0

CONNECT = """
import json, openstack, socket, sys
cloud = openstack.connect(cloud="kumoi")
"""
MAKE = (
    CONNECT
    + """
net = cloud.network
network = net.create_network(name="n")
subnet = net.create_subnet(network_id=network.id, cidr="192.168.9.0/24", ip_version=4)
outside = net.find_network("public")
router = net.create_router(name="r", external_gateway_info={"network_id": outside.id})
net.add_interface_to_router(router, subnet_id=subnet.id)
group = net.create_security_group(name="g")
net.create_security_group_rule(
    security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22
)
server = cloud.compute.create_server(
    name="web", image_id=cloud.image.find_image("debian-12").id,
    flavor_id=cloud.compute.find_flavor("tiny").id, networks=[{"uuid": network.id}],
    security_groups=[{"name": "g"}],
)
server = cloud.compute.wait_for_server(server, interval=0.2, wait=60)
(port,) = net.ports(device_id=server.id)
address = net.create_ip(floating_network_id=outside.id, port_id=port.id)
print(json.dumps({"id": server.id, "address": address.floating_ip_address}))
"""
)
SERVERS = (
    CONNECT
    + """
print(json.dumps({one.id: one.status for one in cloud.compute.servers()}))
"""
)
RUNNING = """
import json, sys
from kumoi import config
from kumoi.cloud.drivers.instance import registry
from pathlib import Path
host = config.read(config.HostSettings, Path(sys.argv[1])).settings
drivers = registry.on_host(host.agent_dir, host.name).values()
print(json.dumps([one for driver in drivers for one in driver.list_running()]))
"""
PUSH = (
    CONNECT
    + """
import subprocess, tempfile
auth = cloud.config.get_auth_args()
host = auth["auth_url"].split("/")[2].partition(":")[0]
url = f"https://{auth['username']}:{auth['password']}@{host}:5002/git/demo/app.git"
folder = tempfile.mkdtemp()
git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org",
       "-c", f"http.sslCAInfo={cloud.config.config['cacert']}"]
subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)
print(json.dumps(subprocess.run([*git, "push", url, "main"], capture_output=True, text=True).stderr))
"""
)
ASK_UNTIL_TOLD = (
    CONNECT
    + """
import httpx, threading
headers, over, answered, failed = {"X-Auth-Token": cloud.authorize()}, threading.Event(), [], []
url = cloud.config.get_auth_args()["auth_url"].rsplit(":", 1)[0] + ":5000"

def ask(path):
    with httpx.Client(verify=cloud.config.config["cacert"], headers=headers, timeout=30) as client:
        while not over.is_set():
            try:
                answer = client.get(url + path)
            except httpx.HTTPError as error:
                failed.append(repr(error))
            else:
                (answered if answer.status_code == 200 else failed).append(answer.status_code)

paths = ("/network/v2.0/networks", "/compute/v2.1/servers", "/image/v2/images", "/identity/v3")
threads = [threading.Thread(target=ask, args=[path]) for path in paths]
for thread in threads:
    thread.start()
print("begun", flush=True)
sys.stdin.read()
over.set()
for thread in threads:
    thread.join()
print(json.dumps({"answered": len(answered), "failed": failed}))
"""
)


@pytest.fixture(scope="module")
def box() -> Iterator[Machine]:
    """A machine with the cloud up, by our own command."""
    with free_slot() as slot, machine(f"kbox{slot}") as booted:
        booted.kumoi("up")
        yield booted


@pytest.fixture(scope="module")
def server(box: Machine) -> Any:
    made: Any = box.python(MAKE)
    eventually(lambda: box.answers(made["address"]), within_s=BACK_S, what="the server answers")
    return made


def services(box: Machine) -> dict[str, str]:
    """The one that runs of each unit, by the unit's name."""
    units = box.inside(
        "systemctl", "list-units", "--state=active", "--plain", "--no-legend", "kumoi-kumoi-*@*"
    ).out
    names = [line.split()[0] for line in units.splitlines()]
    return {name.removeprefix("kumoi-kumoi-").partition("@")[0]: name for name in names}


def main_pid(box: Machine, service: str) -> str:
    return box.inside("systemctl", "show", "--property=MainPID", "--value", service).out.strip()


def test_systemd_runs_each_unit_and_each_but_the_agent_is_held_back(box: Machine) -> None:
    assert services(box).keys() == UNITS
    files = box.inside(
        "find", "/etc/systemd/system", "-name", "kumoi-*.service", "-type", "f", "-printf", "%f\\n"
    ).out.split()
    exposed = {}
    for name in files:
        told = box.inside("systemd-analyze", "security", "--no-pager", name).out
        (level,) = re.findall(r"Overall exposure level for .*: (\d+\.\d)", told)
        exposed[name.removeprefix("kumoi-kumoi-").partition("@")[0]] = float(level)
    assert exposed.keys() == {*UNITS, "servers.service", "sockets.service"}
    del exposed["agent"]
    assert max(exposed.values()) <= EXPOSURE_MAX, exposed


def test_the_agent_has_a_filter_of_system_calls(box: Machine) -> None:
    pid = main_pid(box, services(box)["agent"])
    assert f"\nSeccomp:\t{FILTERED}\n" in box.inside("cat", f"/proc/{pid}/status").out


def test_a_push_is_read_by_helpers_that_are_held_to_less_than_the_pipeline(box: Machine) -> None:
    """Refused by the hook, within git, in words: both ran."""
    assert "there is no kumoi.yaml in commit" in str(box.python(PUSH))


def test_a_reboot_brings_everything_back_with_nobody_typing(box: Machine, server: Any) -> None:
    box.reboot()
    eventually(
        lambda: box.answers(server["address"]), within_s=BACK_S, what="the server answers again"
    )
    assert box.python(SERVERS) == {server["id"]: "ACTIVE"}
    box.await_booted()
    assert services(box).keys() == UNITS
    assert box.inside("systemctl", "list-units", "--failed", "--no-legend").out == ""
    assert box.kumoi("status", "--json").status == 0


def test_servers_halt_with_the_target_and_come_back_with_it(box: Machine, server: Any) -> None:
    """The agent starts first and so stops last; it does not start again what is asked to halt."""
    box.inside("systemctl", "stop", "kumoi-kumoi.target")  # Its parts follow.
    eventually(lambda: services(box) == {}, within_s=BACK_S, what="all units have ended")
    assert box.python(RUNNING, STATE) == []
    box.inside("systemctl", "start", "kumoi-kumoi.target")
    eventually(
        lambda: box.answers(server["address"]), within_s=BACK_S, what="the server answers again"
    )
    assert services(box).keys() == UNITS
    assert box.python(RUNNING, STATE) == [server["id"]]


def test_an_update_and_the_way_back_fail_no_call(box: Machine, server: Any) -> None:
    before = services(box)
    other = another_release(box.shared / "other")
    with box.running(ASK_UNTIL_TOLD) as clients:
        assert clients.stdout is not None
        assert clients.stdout.readline() == "begun\n"
        box.kumoi("up", source=other)
        updated = services(box)
        box.kumoi("up")
        out, _ = clients.communicate(timeout=60)
    result = json.loads(out)
    assert result["failed"] == []
    assert result["answered"] > 0
    roles = {"inspector", "api", "worker", "agent", "repositories", "pipeline"}
    assert {name for name in UNITS if updated[name] != before[name]} == roles
    eventually(lambda: services(box) == before, within_s=BACK_S, what="those of before serve")
    assert box.answers(server["address"])


def test_a_release_that_does_not_start_replaces_nothing(box: Machine, server: Any) -> None:
    before = services(box)
    broken = another_release(box.shared / "broken")
    with (broken / "kumoi/cloud/api/serve.py").open("a") as file:
        file.write("raise SystemExit(3)\n")
    done = box.kumoi("up", source=broken, check=False)
    assert done.status == 1
    assert "api: what is wanted does not start" in done.err
    assert services(box) == before
    assert box.python(SERVERS) == {server["id"]: "ACTIVE"}
    box.kumoi("up")
    assert services(box) == before


def test_what_is_killed_comes_back(box: Machine, server: Any) -> None:
    api = services(box)["api"]
    before = main_pid(box, api)
    box.inside("systemctl", "kill", "--signal=SIGKILL", api)
    eventually(lambda: main_pid(box, api) not in {before, "0"}, within_s=BACK_S, what="another API")
    assert box.python(SERVERS) == {server["id"]: "ACTIVE"}


def test_logs_are_in_the_journal(box: Machine) -> None:
    assert '"role": "agent"' in box.kumoi("logs", "agent").out


def test_who_answers_is_the_unit_and_not_the_systemd_that_listens_for_it(box: Machine) -> None:
    exposure = json.loads(box.kumoi("exposure", "--json").out)
    assert {endpoint["unit"] for endpoint in exposure["endpoints"]} == {"api", "pipeline"}


def test_after_down_nothing_starts_with_the_machine(box: Machine) -> None:
    box.kumoi("down")
    assert services(box) == {}
    assert box.inside("find", "/etc/systemd/system", "-name", "kumoi-*").out == ""
    assert (box.home / "state/cloud/cloud.db").exists()
    box.kumoi("down", "--purge")
    assert list((box.home / "state").iterdir()) == []
