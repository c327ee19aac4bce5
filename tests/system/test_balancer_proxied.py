"""HTTP balancers on a live cloud: a proxy on the host, real containers behind it, real clients."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import certificates
from tests.system.live import LiveCloud, eventually
from tests.system.tenant import connects
from tests.system.test_load_balancer import PORT, Shop, opened

from kumoi.base.process import run

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

CIDR = "10.76.0.0/24"
HANG_S = 30.0
MONITOR = {
    "type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2,
    "url_path": "/alive",
}  # fmt: skip

SERVE = """
import http.server, json, socket
name = socket.gethostname()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"name": name, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("0.0.0.0", 8080), Answer).serve_forever()
"""
ASK = """
import collections, http.client, json, sys, time
address, how_many = sys.argv[1], int(sys.argv[2])
names, failures, headers = collections.Counter(), [], {}
for turn in range(how_many):
    asking = http.client.HTTPConnection(address, 80, timeout=5)
    try:
        asking.request("GET", "/")
        answer = asking.getresponse()
        said = json.loads(answer.read())
        headers.update(said["headers"])
        names[said["name"]] += 1
    except (OSError, ValueError, http.client.HTTPException) as error:
        failures.append(repr(error))
    asking.close()
print(json.dumps({"names": names, "failures": failures, "headers": headers}))
"""
KNOCK = """
import http.client, sys, time
until = time.monotonic() + 30
while time.monotonic() < until:
    try:
        kept = http.client.HTTPConnection(sys.argv[1], 80, timeout=1)
        kept.request("GET", "/")
        if kept.getresponse().status == 200:
            sys.exit()
    except OSError:
        pass
    time.sleep(0.005)
sys.exit("nobody answers")
"""


class HttpShop(Shop):
    def serve(self, server: Any) -> None:
        self.user.root(server, "sh", "-c", f"cat > /serve.py <<'END'\n{SERVE}END")
        self.user.root(server, "sh", "-c", "setsid python3 /serve.py >/dev/null 2>&1 </dev/null &")
        pid = self.user.live.init_pid(server.id)
        eventually(lambda: connects(pid, "127.0.0.1", PORT), within_s=30, what="it listens")

    def asked(self, address: str, times: int) -> dict[str, Any]:
        """Who answered how often, and the headers that members saw."""
        argv = (sys.executable, "-c", ASK, address, str(times))
        said: dict[str, Any] = json.loads(self.user.inside(self.client, *argv).out.splitlines()[-1])
        assert said["failures"] == []
        return said


@pytest.fixture(scope="module")
def shop(live: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpShop]:
    with opened(HttpShop, live, tmp_path_factory.mktemp("shop"), CIDR) as made:
        yield made


def begin(shop: HttpShop, **listener: Any) -> Any:
    pool = {
        "protocol": "HTTP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": shop.ends(),
        "healthmonitor": MONITOR,
    }
    wanted = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool, **listener}
    return shop.user.cloud.load_balancer.create_load_balancer(
        name="shop", vip_subnet_id=shop.user.subnet.id, listeners=[wanted]
    )


@pytest.fixture
def balancer(shop: HttpShop) -> Iterator[Any]:
    made = begin(shop, insert_headers={"X-Forwarded-For": "true", "X-Forwarded-Port": "true"})
    shop.user.inside(shop.client, sys.executable, "-c", KNOCK, made.vip_address)
    eventually(
        lambda: set(shop.asked(made.vip_address, 20)["names"]) == {"red", "blue"},
        within_s=HANG_S,
        what="both answer",
    )
    yield made
    shop.user.cloud.load_balancer.delete_load_balancer(made.id, cascade=True)


def test_members_take_turns_and_see_who_asked(shop: HttpShop, balancer: Any) -> None:
    said = shop.asked(balancer.vip_address, 40)
    assert said["names"] == {"red": 20, "blue": 20}
    seen = {name.lower(): value for name, value in said["headers"].items()}
    assert seen["x-forwarded-for"] == shop.user.address(shop.client)
    assert seen["x-forwarded-port"] == "80"
    assert seen["host"] == balancer.vip_address


def test_a_floating_ip_leads_to_it(shop: HttpShop, balancer: Any) -> None:
    net = shop.user.cloud.network
    outside = net.find_network("public")
    floating = net.create_ip(floating_network_id=outside.id, port_id=balancer.vip_port_id)
    done = run([sys.executable, "-c", ASK, floating.floating_ip_address, "20"], timeout_s=60)
    net.delete_ip(floating)
    said = json.loads(done.out.splitlines()[-1])
    assert (said["failures"], set(said["names"])) == ([], {"red", "blue"})


NAMES = ("first.test", "second.test")


def kept(user: Any, content: bytes) -> Any:
    """A secret."""
    return user.cloud.key_manager.create_secret(
        payload=base64.b64encode(content).decode(),
        payload_content_type="application/octet-stream",
        payload_content_encoding="base64",
    )


def test_it_ends_tls_by_name_in_http_2_and_leads_there_from_http(
    shop: HttpShop, tmp_path: Path
) -> None:
    """Of a client that people have: curl believes the certificate of the name, or gives up."""
    made = [certificates.signed(name) for name in NAMES]
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(b"".join(certificates.certificate_pem(one) for _, one in made))
    secrets = [kept(shop.user, certificates.bundled(*one)) for one in made]
    balancer = begin(
        shop,
        protocol="TERMINATED_HTTPS",
        protocol_port=443,
        default_tls_container_ref=secrets[0].secret_ref,
        sni_container_refs=[secrets[1].secret_ref],
        hsts_max_age=60,
        insert_headers={"X-Forwarded-Proto": "true"},
    )
    balancing = shop.user.cloud.load_balancer
    http = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )
    policy = balancing.create_l7_policy(
        listener_id=http.id, action="REDIRECT_PREFIX", redirect_prefix=f"https://{NAMES[1]}"
    )
    balancing.create_l7_rule(policy, type="PATH", compare_type="STARTS_WITH", value="/")

    def curl(url: str) -> str:
        ends = [f"{name}:{port}:{balancer.vip_address}" for name in NAMES for port in (80, 443)]
        resolved = [word for end in ends for word in ("--resolve", end)]
        form = "\n%{http_version} %{num_redirects} %header{strict-transport-security}"
        argv = ("curl", "-fsSL", "--cacert", str(trusted), "--max-time", "5", *resolved, "-w", form)
        done = shop.user.inside(shop.client, *argv, url, check=False)
        print(done.err)  # noqa: T201 - of the last one, where none is answered.
        return done.out if done.status == 0 else ""

    eventually(lambda: curl(f"https://{NAMES[0]}/"), within_s=20, what="the first answer")
    for name in NAMES:
        body, told = curl(f"https://{name}/").splitlines()
        assert told == "2 0 max-age=60"
        seen = {key.lower(): value for key, value in json.loads(body)["headers"].items()}
        assert (seen["x-forwarded-proto"], seen["host"]) == ("https", name)
    eventually(
        lambda: curl(f"http://{NAMES[0]}/x").endswith("2 1 max-age=60"),
        within_s=20,
        what="HTTP leads to HTTPS",
    )
    balancing.delete_load_balancer(balancer.id, cascade=True)
    for secret in secrets:
        shop.user.cloud.key_manager.delete_secret(secret.id or secret.secret_ref.split("/")[-1])
