"""Cutting networks out of prefixes."""

from __future__ import annotations

import pytest

from kumoi.cloud.domain.network.allocation import span
from kumoi.cloud.domain.network.subnet_pool import cut


@pytest.mark.parametrize(
    ("prefixes", "taken", "length", "wanted"),
    [
        (["10.0.0.0/24"], [], 26, "10.0.0.0/26"),
        (["10.0.0.0/24"], ["10.0.0.0/26"], 26, "10.0.0.64/26"),
        (["10.0.0.0/24"], ["10.0.0.0/28"], 26, "10.0.0.64/26"),
        (["10.0.0.0/24"], ["10.0.0.64/26", "10.0.0.0/27"], 27, "10.0.0.32/27"),
        (["10.0.0.0/24"], ["10.0.0.0/25", "10.0.0.128/25"], 28, None),
        (["10.0.0.0/24"], [], 23, None),
        (["10.0.0.0/30", "10.1.0.0/24"], [], 24, "10.1.0.0/24"),
        (["10.0.0.0/24", "10.1.0.0/24"], ["10.0.0.0/24"], 25, "10.1.0.0/25"),
        (["fd00::/32"], ["fd00::/64"], 64, "fd00:0:0:1::/64"),
        (["10.0.0.0/24"], ["10.0.0.0/24", "10.9.0.0/24"], 24, None),
        (["10.0.1.0/24"], ["10.0.0.0/24"], 24, "10.0.1.0/24"),
    ],
)
def test_the_lowest_that_fits_and_touches_nothing(
    prefixes: list[str], taken: list[str], length: int, wanted: str | None
) -> None:
    found = cut(prefixes, [span(each) for each in taken], length)
    assert (str(found) if found else None) == wanted
