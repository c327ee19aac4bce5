"""What is allowed at the key manager."""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.row import MEMBER, READER, Row

KEY_MANAGER: Mapping[str, Row] = {
    "secrets:get": READER,
    "secrets:post": MEMBER,
    "secret:get": READER,
    "secret:decrypt": MEMBER,
    "secret:put": MEMBER,
    "secret:delete": MEMBER,
    "secret:get_acl": READER,
    "secret:put_acl": MEMBER,
    "containers:get": READER,
    "containers:post": MEMBER,
    "container:get": READER,
    "container:delete": MEMBER,
    "container:get_acl": READER,
    "container:put_acl": MEMBER,
}
