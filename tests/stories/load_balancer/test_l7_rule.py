"""L7 rules: what a policy asks of a request."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw


@pytest.fixture
def policy(demo: Connection, balancer: Any) -> Any:
    listener = demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )
    return demo.load_balancer.create_l7_policy(listener_id=listener.id, action="REJECT")


def test_one_is_made_changed_and_deleted(demo: Connection, policy: Any) -> None:
    balancing = demo.load_balancer
    made = balancing.create_l7_rule(
        policy, type="HEADER", compare_type="EQUAL_TO", key="X-Who", rule_value="me", tags=["a"]
    )
    assert (made.rule_value, made.invert, made.tags) == ("me", False, ["a"])
    assert [one.id for one in balancing.l7_rules(policy)] == [made.id]
    assert balancing.get_l7_rule(made.id, policy).key == "X-Who"
    changed = balancing.update_l7_rule(made.id, policy, compare_type="REGEX", rule_value="^a.*b$")
    assert (changed.compare_type, changed.rule_value) == ("REGEX", "^a.*b$")
    assert [one["id"] for one in balancing.get_l7_policy(policy.id).rules] == [made.id]
    balancing.delete_l7_rule(made.id, policy, ignore_missing=False)
    assert list(balancing.l7_rules(policy)) == []


def test_what_makes_no_sense_is_refused(policy: Any, raw: Raw) -> None:
    good = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/a"}
    for said, status in (
        ({}, 201),
        ({"type": "COOKIE", "key": "id", "value": "x"}, 201),
        ({"type": "FILE_TYPE", "value": "jpg"}, 201),
        ({"type": "HOST_NAME", "compare_type": "ENDS_WITH", "value": ".example"}, 201),
        ({"type": "SSL_CONN_HAS_CERT", "value": "True"}, 201),
        ({"type": "SSL_VERIFY_RESULT", "value": "0"}, 201),
        ({"type": "SSL_DN_FIELD", "key": "CN", "value": "a"}, 201),
        ({"value": ""}, 400),
        ({"value": "/a b"}, 400),
        ({"value": "/a\r\nb"}, 400),
        ({"compare_type": "REGEX", "value": "(" * 100}, 400),
        ({"compare_type": "REGEX", "value": "a\nb"}, 400),
        ({"type": "HEADER"}, 400),
        ({"type": "HEADER", "key": "a b"}, 400),
        ({"type": "FILE_TYPE", "compare_type": "CONTAINS"}, 400),
        ({"type": "SSL_CONN_HAS_CERT", "value": "False"}, 400),
        ({"type": "SSL_CONN_HAS_CERT", "value": "True", "key": "x"}, 400),
        ({"type": "SSL_VERIFY_RESULT", "value": "-1"}, 400),
        ({"type": "SSL_VERIFY_RESULT", "value": "1", "compare_type": "CONTAINS"}, 400),
        ({"type": "SSL_DN_FIELD", "value": "a"}, 400),
        ({"type": "SSL_DN_FIELD", "key": "C N", "value": "a"}, 400),
        ({"type": "MOON"}, 400),
    ):
        answer = raw("POST", f"lbaas/l7policies/{policy.id}/rules", {"rule": good | said})
        assert answer.status_code == status, (said, answer.text)


def test_a_change_must_make_sense_with_what_stays(demo: Connection, policy: Any, raw: Raw) -> None:
    made = demo.load_balancer.create_l7_rule(
        policy, type="PATH", compare_type="CONTAINS", rule_value="/a"
    )
    path = f"lbaas/l7policies/{policy.id}/rules/{made.id}"
    assert raw.fault("PUT", path, {"rule": {"type": "FILE_TYPE"}})[0] == 400
    assert raw.fault("PUT", f"lbaas/l7policies/none/rules/{made.id}", {"rule": {}})[0] == 404


def test_anothers_is_forbidden(demo: Connection, other: Connection, policy: Any) -> None:
    made = demo.load_balancer.create_l7_rule(
        policy, type="PATH", compare_type="CONTAINS", rule_value="/a"
    )
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.get_l7_rule(made.id, policy)
    with pytest.raises(exceptions.ForbiddenException):
        list(other.load_balancer.l7_rules(policy))
