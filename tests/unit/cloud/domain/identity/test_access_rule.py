from __future__ import annotations

import pytest

from kumoi.cloud.domain.identity import access_rule
from kumoi.cloud.domain.identity.token import Rule


@pytest.mark.parametrize(
    ("rule", "path", "fits"),
    [
        ("/v2.1/servers", "/v2.1/servers", True),
        ("/v2.1/servers", "/v2x1/servers", False),
        ("/v2.1/servers", "/v2.1/servers/a", False),
        ("/v2.1/servers/*", "/v2.1/servers/a", True),
        ("/v2.1/servers/*", "/v2.1/servers/", False),
        ("/v2.1/servers/*", "/v2.1/servers/a/ips", False),
        ("/v2.1/servers/{server_id}/ips", "/v2.1/servers/a/ips", True),
        ("/v2.1/**", "/v2.1/servers/a/ips", True),
        ("/v2.1/**/ips", "/v2.1/servers/a/ips", True),
        ("/v2.1/(a|b)", "/v2.1/a", False),
        ("/v2.1/**", "/v2x1/servers", False),
        ("/v2.1/é.{id}", "/v2.1/é.a", True),
        ("/v2.1/é.{id}", "/v2.1/éxa", False),
        ("/**", "/" + "a" * 3_000, False),
    ],
)
def test_a_path_fits_part_by_part(rule: str, path: str, fits: bool) -> None:
    rules = [Rule(id="r", service="compute", method="GET", path=rule)]
    assert access_rule.allows(rules, service="compute", method="GET", path=path) is fits


def test_service_and_method_are_those_of_the_rule() -> None:
    rules = [Rule(id="r", service="compute", method="GET", path="/**")]
    assert access_rule.allows(rules, service="compute", method="HEAD", path="/a")
    assert not access_rule.allows(rules, service="compute", method="POST", path="/a")
    assert not access_rule.allows(rules, service="image", method="GET", path="/a")
    assert not access_rule.allows([], service="compute", method="GET", path="/a")
