"""Expressions that tenants filter with: useful ones work, slow ones are refused."""

from __future__ import annotations

import pytest

from kumoi.base.errors import Invalid
from kumoi.cloud.domain.compute.pattern import finder


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
        ("(a*)*b", "aaab", True),
        ("^(web|w)+-", "wwebw-1", True),
        ("\u00fc$", "gr\u00fc", True),
        (r"10\.0\.0\.", "10.0.0.7", True),
        ("", "anything", True),
    ],
)
def test_ordinary_expressions_search(text: str, name: str, is_found: bool) -> None:
    assert finder(text, "name")(name) is is_found


@pytest.mark.parametrize(
    "text",
    ["*", "(", r"(a)\1", "(?=a)", "a" * 256, "[z-a]", "a{9999}", "((a{100}){100}){100}", "\\"],
)
def test_what_is_no_expression_or_has_no_bound_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        finder(text, "name")
    assert refused.value.field == "name"


def test_an_expression_that_would_hold_an_engine_that_backtracks_takes_no_time() -> None:
    """Python's own would take longer than the universe has: 2^200 ways to try."""
    assert not finder("^(a|a|aa)*$", "name")("a" * 200 + "!")
