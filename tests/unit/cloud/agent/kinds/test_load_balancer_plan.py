from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kumoi.cloud.agent.kinds.load_balancer_plan import SeenBalancer, StartProxy, plan
from kumoi.cloud.drivers.load_balancer.haproxy.apply import SeenProxy
from kumoi.cloud.drivers.load_balancer.haproxy.config import ProxyConfig, render
from kumoi.cloud.drivers.load_balancer.haproxy.plan import plan_servers, read_counters, read_servers
from kumoi.cloud.drivers.load_balancer.station import SeenStation, StationRecord
from kumoi.cloud.hostapi.load_balancer import (
    BalancerThing,
    L7PolicySpec,
    L7RuleSpec,
    ListenerCounters,
    MemberSpec,
    MemberTlsSpec,
    MonitorSpec,
    PoolSpec,
    ProxiedListener,
    StationLink,
    TlsSpec,
    balancer_thing,
    read_balancer,
)

GOLDEN = Path(__file__).parent / "golden"
SOCKET = "/run/proxy/command"
DIRECTORY = "/lb"
LINK = StationLink(
    id="station", port_id="port", mac="fa:16:3f:00:00:01", mtu=1442, address="169.254.0.2/29",
    gateway="169.254.0.1", gateway_mac="fa:16:3f:00:00:01", first_port=32_768,
    first_free_port=33_792, last_port=49_151,
)  # fmt: skip
PROBED = BalancerThing(id="balancer", generation=3, address="10.0.0.5", station=LINK)
MADE = StationRecord(address="10.0.0.5", link=LINK)
WHOLE = SeenStation("balancer", MADE, plugged=True)
RED = MemberSpec(id="red", address="10.0.0.11", port=8080, weight=3)
BLUE = MemberSpec(id="blue", address="10.0.0.12", port=8080)
SPARE = MemberSpec(id="spare", address="10.0.0.13", port=8080, backup=True)
WEB = PoolSpec(id="web", protocol="HTTP", members=[RED, BLUE, SPARE])


def rule(key: str, kind: str, compare: str, value: str, *, invert: bool = False) -> L7RuleSpec:
    return L7RuleSpec(
        id=key, type=kind, compare_type=compare, key="X-Kind", value=value, invert=invert
    )


HTTP = ProxiedListener(
    id="http", protocol="HTTP", port=80, station_port=32_768, pool_id="web", connection_limit=500,
    insert_headers={"X-Forwarded-For": "true", "X-Forwarded-Port": "true", "X-Forwarded-Proto": "true"},
)  # fmt: skip
L7 = [
    L7PolicySpec(action="REJECT", rules=[rule("r1", "PATH", "STARTS_WITH", "/a b#'\"\\$x")]),
    L7PolicySpec(
        action="REDIRECT_TO_URL",
        redirect_url="https://a.test/%20",
        redirect_http_code=301,
        rules=[rule("r2", "HOST_NAME", "EQUAL_TO", "old.test", invert=True)],
    ),
    L7PolicySpec(
        action="REDIRECT_PREFIX",
        redirect_prefix="https://b.test",
        rules=[rule("r3", "FILE_TYPE", "EQUAL_TO", "jpg"), rule("r4", "COOKIE", "REGEX", "^x$")],
    ),
    L7PolicySpec(
        action="REDIRECT_TO_POOL",
        redirect_pool_id="api",
        rules=[rule("r5", "HEADER", "CONTAINS", "-i")],
    ),
    L7PolicySpec(action="REJECT"),
]
TO_MEMBERS = MemberTlsSpec(
    certificate="mine",
    authority="theirs",
    revocations="revoked",
    ciphers="ECDHE-RSA-AES256-GCM-SHA384",
    versions=["TLSv1.2"],
    alpn=["h2"],
)
MONITOR = MonitorSpec(type="TCP", delay_s=1, timeout_s=1, max_retries=1, max_retries_down=1)


def served(*listeners: ProxiedListener, **pool: Any) -> BalancerThing:
    """With these listeners, and the pool otherwise."""
    pools = [msgspec.structs.replace(WEB, **pool)]
    return msgspec.structs.replace(PROBED, listeners=list(listeners or (HTTP,)), pools=pools)


def rendered(wanted: BalancerThing, states: Mapping[str, str] | None = None) -> ProxyConfig:
    descriptors = {one.id: 7 + place for place, one in enumerate(wanted.listeners)}
    return render(wanted, states or {}, socket=SOCKET, directory=DIRECTORY, descriptors=descriptors)


def running(wanted: BalancerThing, states: Mapping[str, str] | None = None) -> SeenProxy:
    """A process that is as wanted."""
    config = rendered(wanted, states)
    return SeenProxy(9, config.signature, config.servers)


def planned(
    wanted: BalancerThing, seen: SeenBalancer | None, states: Mapping[str, str] | None = None
) -> list[str]:
    return [
        str(action)
        for action in plan(wanted, seen, states or {}, socket=SOCKET, directory=DIRECTORY)
    ]


def test_what_is_not_there_is_made_and_plugged() -> None:
    assert planned(PROBED, None) == ["make station", "plug station"]
    assert planned(PROBED, SeenBalancer(SeenStation("balancer", None))) == [
        "make station",
        "plug station",
    ]
    assert planned(served(), None) == ["make station", "plug station", "start proxy"]


def test_a_station_that_was_made_otherwise_is_made_anew() -> None:
    other = msgspec.structs.replace(MADE, address="10.0.0.6")
    seen = SeenBalancer(SeenStation("balancer", other, plugged=True))
    assert planned(PROBED, seen) == ["make station", "plug station"]


def test_one_as_wanted_is_left_alone_and_one_that_lost_its_plug_is_plugged() -> None:
    assert planned(PROBED, SeenBalancer(WHOLE)) == []
    assert planned(PROBED, SeenBalancer(SeenStation("balancer", MADE))) == ["plug station"]
    assert planned(served(), SeenBalancer(WHOLE, running(served()))) == []


def test_another_station_that_answers_pings_costs_no_connection() -> None:
    silent = msgspec.structs.replace(LINK, answers_ping=False)
    wanted = msgspec.structs.replace(served(), station=silent)
    assert planned(wanted, SeenBalancer(WHOLE, running(wanted))) == ["answer no pings"]


def test_a_proxy_that_died_is_started_and_one_that_nobody_needs_is_stopped() -> None:
    assert planned(served(), SeenBalancer(WHOLE)) == ["start proxy"]
    assert planned(PROBED, SeenBalancer(WHOLE, running(served()))) == ["stop proxy"]


def test_another_listener_needs_another_process_and_members_do_not() -> None:
    seen = SeenBalancer(WHOLE, running(served()))
    second = msgspec.structs.replace(HTTP, id="second", port=81, station_port=32_769)
    assert planned(served(HTTP, second), seen) == ["replace proxy"]
    limited = msgspec.structs.replace(HTTP, connection_limit=5)
    assert planned(served(limited), seen) == ["replace proxy"]
    fewer = served(members=[msgspec.structs.replace(RED, weight=0), SPARE])
    assert planned(fewer, seen) == [
        (
            "tell proxy: set server http:web/red weight 0; set server http:web/spare state ready; "
            "set server http:web/blue state maint; del server http:web/blue"
        )
    ]


def test_a_member_that_fails_or_is_new_gets_nothing_and_the_spare_one_steps_in() -> None:
    wanted = served(monitor=MONITOR)
    good = {"red": "ONLINE", "blue": "ONLINE", "spare": "ONLINE"}
    seen = SeenBalancer(WHOLE, running(wanted, good))
    assert planned(wanted, seen, good) == []
    assert planned(wanted, seen, good | {"red": "ERROR"}) == [
        "tell proxy: set server http:web/red state maint"
    ]
    bad = {"red": "ERROR", "blue": "ERROR"}
    assert planned(wanted, seen, bad | {"spare": "ONLINE"}) == [
        (
            "tell proxy: set server http:web/blue state maint; set server http:web/red state maint; "
            "set server http:web/spare state ready"
        )
    ]


def test_an_agent_that_knows_nothing_yet_leaves_what_works_and_believes_what_was_said_last() -> (
    None
):
    """One that was started again took all members out until it had probed them."""
    wanted = served(monitor=MONITOR)
    good = {"red": "ONLINE", "blue": "ONLINE", "spare": "ONLINE"}
    assert planned(wanted, SeenBalancer(WHOLE, running(wanted, good))) == []
    said = served(monitor=MONITOR, members=[msgspec.structs.replace(RED, health="ONLINE"), BLUE])
    (start,) = plan(said, SeenBalancer(WHOLE), {}, socket=SOCKET, directory=DIRECTORY)
    assert isinstance(start, StartProxy)
    assert start.states == {"red": "ONLINE"}


def test_a_new_member_is_added_and_taken_into_use() -> None:
    before, after = rendered(served(members=[RED])), rendered(served(members=[RED, BLUE]))
    assert plan_servers(after.servers, before.servers) == [
        "add server http:web/blue 10.0.0.12:8080 weight 1",
        "set server http:web/blue state ready",
    ]


def test_what_haproxy_says_of_its_servers_is_read() -> None:
    said = (
        "1\n# be_id be_name srv_id\n"
        "3 http:web 1 red 10.0.0.11 2 0 3 3 0 1 0 0 0 0 0 0 - 8080 - 0 0 - - 0\n"
        "3 http:web 2 blue 10.0.0.12 0 1 1 1 0 1 0 0 0 0 0 0 - 8080 - 0 0 - - 0\n"
    )
    wanted = rendered(served(members=[RED, BLUE])).servers
    blue, red = read_servers(said)[1], read_servers(said)[0]
    assert red == next(one for one in wanted if one.name == "red")
    assert not blue.ready


def test_what_haproxy_counted_of_its_listeners_is_read() -> None:
    said = (
        "# pxname,svname,scur,stot,bin,bout,ereq\nhttp,FRONTEND,1,5,100,200,2\n"
        "GLOBAL,FRONTEND,1,9,1,1,0\n\n"
    )
    assert read_counters(said) == {
        "http": ListenerCounters(
            active_connections=1,
            bytes_in=100,
            bytes_out=200,
            request_errors=2,
            total_connections=5,
        )
    }


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("http", served()),
        (
            "tcp_proxied",
            served(
                msgspec.structs.replace(HTTP, protocol="TCP", insert_headers={}),
                protocol="PROXYV2",
                algorithm="LEAST_CONNECTIONS",
            ),
        ),
        ("sticky_cookie", served(persistence={"type": "HTTP_COOKIE"})),
        ("sticky_app", served(persistence={"type": "APP_COOKIE", "cookie_name": "session"})),
        ("sticky_source", served(persistence={"type": "SOURCE_IP"}, algorithm="SOURCE_IP")),
        (
            "policies",
            msgspec.structs.replace(
                served(msgspec.structs.replace(HTTP, allowed_cidrs=["10.0.0.0/8"], policies=L7)),
                pools=[WEB, msgspec.structs.replace(WEB, id="api", members=[BLUE], tls=True)],
            ),
        ),
        (
            "terminated",
            served(
                msgspec.structs.replace(
                    HTTP,
                    protocol="TERMINATED_HTTPS",
                    tls=TlsSpec(
                        certificates=["one", "two"],
                        client_authority="authority",
                        client_authentication="OPTIONAL",
                        ciphers="TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES256-GCM-SHA384",
                        versions=["TLSv1.3", "TLSv1.2"],
                        alpn=["h2", "http/1.1"],
                        hsts="max-age=9; preload",
                    ),
                    insert_headers={"X-Forwarded-Proto": "true", "X-SSL-Client-CN": "true"},
                )
            ),
        ),
        (
            "member_tls",
            served(HTTP, tls=True, tls_with=TO_MEMBERS),
        ),
        ("no_pool", served(msgspec.structs.replace(HTTP, pool_id=""))),
    ],
)
def test_a_balancer_is_this_configuration(name: str, wanted: BalancerThing) -> None:
    """golden/<name>.cfg. KUMOI_WRITE_GOLDEN=1 writes it, for review."""
    text = rendered(wanted).text
    path = GOLDEN / f"{name}.cfg"
    if os.environ.get("KUMOI_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    "other",
    [
        {"tls": False, "tls_with": None},
        {"tls_with": None},
        {"tls_with": msgspec.structs.replace(TO_MEMBERS, authority="other")},
        {"tls_with": msgspec.structs.replace(TO_MEMBERS, alpn=[])},
    ],
)
def test_other_tls_to_members_is_another_signature(other: dict[str, Any]) -> None:
    said = {"tls": True, "tls_with": TO_MEMBERS}
    assert rendered(served(**said)).signature != rendered(served(**said | other)).signature


def test_a_policy_that_leads_to_a_pool_that_is_not_there_is_none() -> None:
    away = L7PolicySpec(
        action="REDIRECT_TO_POOL",
        redirect_pool_id="off",
        rules=[rule("r1", "PATH", "STARTS_WITH", "/")],
    )
    with_policy = served(msgspec.structs.replace(HTTP, policies=[away]))
    assert rendered(with_policy).text == rendered(served()).text


def test_another_certificate_is_another_signature() -> None:
    one, other = (
        served(msgspec.structs.replace(HTTP, tls=TlsSpec(certificates=[pem])))
        for pem in ("one", "other")
    )
    assert rendered(one).text != rendered(other).text
    assert planned(other, SeenBalancer(WHOLE, running(one))) == ["replace proxy"]


def test_members_are_no_part_of_the_signature() -> None:
    assert rendered(served()).signature == rendered(served(members=[])).signature


def test_a_spec_arrives_as_it_was_sent() -> None:
    assert read_balancer(balancer_thing(served())) == served()
