from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity import second_factor

SEED = base64.b32encode(b"12345678901234567890").decode()  # RFC 6238's.


@pytest.mark.parametrize(
    ("at", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")]
)
def test_passcodes_are_those_of_rfc_6238(at: int, code: str) -> None:
    now = datetime.fromtimestamp(at, UTC)
    assert second_factor.matches([SEED], Secret(code), now)
    assert second_factor.matches([SEED.rstrip("=").lower()], Secret(code), now)
    assert not second_factor.matches([], Secret(code), now)


@pytest.mark.parametrize(("later_s", "is_good"), [(0, True), (30, True), (60, False), (-30, False)])
def test_the_passcode_before_is_good_too(later_s: int, is_good: bool) -> None:
    now = datetime.fromtimestamp(59, UTC) + timedelta(seconds=later_s)
    assert second_factor.matches([SEED], Secret("287082"), now) is is_good
