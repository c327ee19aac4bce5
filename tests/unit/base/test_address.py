from __future__ import annotations

import pytest

from kumoi.base.address import source_network


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("", ""),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_a_source_counts_with_all_that_its_owner_has(source: str, counted: str) -> None:
    assert source_network(source) == counted
