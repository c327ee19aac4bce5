"""What is allowed at the load balancer service, by Octavia's names."""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.row import ADMIN, MEMBER, READER, Row

BALANCERS: Mapping[str, Row] = {
    "os_load-balancer_api:loadbalancer:get_all": READER,
    "os_load-balancer_api:loadbalancer:get_one": READER,
    "os_load-balancer_api:loadbalancer:get_stats": READER,
    "os_load-balancer_api:loadbalancer:get_status": READER,
    "os_load-balancer_api:loadbalancer:post": MEMBER,
    "os_load-balancer_api:loadbalancer:put": MEMBER,
    "os_load-balancer_api:loadbalancer:put_failover": ADMIN,
    "os_load-balancer_api:loadbalancer:delete": MEMBER,
}

PARTS: Mapping[str, Row] = {
    "os_load-balancer_api:listener:get_all": READER,
    "os_load-balancer_api:listener:get_one": READER,
    "os_load-balancer_api:listener:get_stats": READER,
    "os_load-balancer_api:listener:post": MEMBER,
    "os_load-balancer_api:listener:put": MEMBER,
    "os_load-balancer_api:listener:delete": MEMBER,
    "os_load-balancer_api:pool:get_all": READER,
    "os_load-balancer_api:pool:get_one": READER,
    "os_load-balancer_api:pool:post": MEMBER,
    "os_load-balancer_api:pool:put": MEMBER,
    "os_load-balancer_api:pool:delete": MEMBER,
    "os_load-balancer_api:member:get_all": READER,
    "os_load-balancer_api:member:get_one": READER,
    "os_load-balancer_api:member:post": MEMBER,
    "os_load-balancer_api:member:put": MEMBER,
    "os_load-balancer_api:member:delete": MEMBER,
    "os_load-balancer_api:healthmonitor:get_all": READER,
    "os_load-balancer_api:healthmonitor:get_one": READER,
    "os_load-balancer_api:healthmonitor:post": MEMBER,
    "os_load-balancer_api:healthmonitor:put": MEMBER,
    "os_load-balancer_api:healthmonitor:delete": MEMBER,
    "os_load-balancer_api:l7policy:get_all": READER,
    "os_load-balancer_api:l7policy:get_one": READER,
    "os_load-balancer_api:l7policy:post": MEMBER,
    "os_load-balancer_api:l7policy:put": MEMBER,
    "os_load-balancer_api:l7policy:delete": MEMBER,
    "os_load-balancer_api:l7rule:get_all": READER,
    "os_load-balancer_api:l7rule:get_one": READER,
    "os_load-balancer_api:l7rule:post": MEMBER,
    "os_load-balancer_api:l7rule:put": MEMBER,
    "os_load-balancer_api:l7rule:delete": MEMBER,
}

OTHERS: Mapping[str, Row] = {
    "os_load-balancer_api:quota:get_all": ADMIN,  # Of all projects.
    "os_load-balancer_api:quota:get_one": READER,
    "os_load-balancer_api:quota:get_defaults": READER,
    "os_load-balancer_api:quota:put": ADMIN,
    "os_load-balancer_api:quota:delete": ADMIN,
    "os_load-balancer_api:provider:get_all": READER,
    "os_load-balancer_api:provider-flavor:get_all": ADMIN,
    "os_load-balancer_api:provider-availability-zone:get_all": ADMIN,
    "os_load-balancer_api:amphora:get_all": ADMIN,
    "os_load-balancer_api:amphora:get_one": ADMIN,
    "os_load-balancer_api:amphora:get_stats": ADMIN,
    "os_load-balancer_api:amphora:put_config": ADMIN,
    "os_load-balancer_api:amphora:put_failover": ADMIN,
    "os_load-balancer_api:amphora:delete": ADMIN,
}

CHOICES: Mapping[str, Row] = {
    "os_load-balancer_api:flavor:get_all": READER,
    "os_load-balancer_api:flavor:get_one": READER,
    "os_load-balancer_api:flavor:post": ADMIN,
    "os_load-balancer_api:flavor:put": ADMIN,
    "os_load-balancer_api:flavor:delete": ADMIN,
    "os_load-balancer_api:flavor-profile:get_all": ADMIN,
    "os_load-balancer_api:flavor-profile:get_one": ADMIN,
    "os_load-balancer_api:flavor-profile:post": ADMIN,
    "os_load-balancer_api:flavor-profile:put": ADMIN,
    "os_load-balancer_api:flavor-profile:delete": ADMIN,
    "os_load-balancer_api:availability-zone:get_all": READER,
    "os_load-balancer_api:availability-zone:get_one": READER,
    "os_load-balancer_api:availability-zone:post": ADMIN,
    "os_load-balancer_api:availability-zone:put": ADMIN,
    "os_load-balancer_api:availability-zone:delete": ADMIN,
    "os_load-balancer_api:availability-zone-profile:get_all": ADMIN,
    "os_load-balancer_api:availability-zone-profile:get_one": ADMIN,
    "os_load-balancer_api:availability-zone-profile:post": ADMIN,
    "os_load-balancer_api:availability-zone-profile:put": ADMIN,
    "os_load-balancer_api:availability-zone-profile:delete": ADMIN,
}

LOAD_BALANCER: Mapping[str, Row] = {**BALANCERS, **PARTS, **OTHERS, **CHOICES}
