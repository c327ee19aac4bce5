"""Expressions that tenants filter with: useful ones work, slow ones are refused."""

from __future__ import annotations

import pytest

from kumoi.base.errors import Invalid
from kumoi.cloud.domain.compute.pattern import compiled


@pytest.mark.parametrize(
    ("text", "name", "is_found"),
    [
        ("web", "my-web-1", True),
        ("^web", "my-web-1", False),
        ("^web-[0-9]+$", "web-12", True),
        ("w.b", "web", True),
        ("^.*web.*$", "the web", True),
        ("web|db", "db-1", True),
        ("(web|db)-1", "db-1", True),
        (r"10\.0\.0\.", "10.0.0.7", True),
        ("", "anything", True),
    ],
)
def test_ordinary_expressions_search(text: str, name: str, is_found: bool) -> None:
    assert (compiled(text, "name").search(name) is not None) is is_found


@pytest.mark.parametrize(
    "text",
    ["*", "(", "(a*)*", "(a|aa)+", "a*b*c*", r"(a)\1", "(?=a)", "a" * 256, "[z-a]"],
)
def test_what_is_no_expression_or_could_take_long_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        compiled(text, "name")
    assert refused.value.field == "name"
