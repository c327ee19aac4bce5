"""Failures are counted per source, with a bound on what is counted."""

from __future__ import annotations

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import RateLimited
from kumoi.engine.http import limits
from kumoi.engine.http.limits import Attempts


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def attempts(clock: SetClock) -> Attempts:
    return Attempts(clock, 3)


def fail(attempts: Attempts, source: str, times: int = 3) -> None:
    for _ in range(times):
        attempts.failed(source)


def test_too_many_failures_from_one_source_must_wait_and_others_need_not(
    attempts: Attempts, clock: SetClock
) -> None:
    for _ in range(3):
        attempts.allow("10.0.0.1")
        attempts.failed("10.0.0.1")
        clock.advance(10)
    with pytest.raises(RateLimited) as refused:
        attempts.allow("10.0.0.1")
    assert refused.value.retry_after_s == 30
    attempts.allow("10.0.0.2")
    clock.advance(31)
    attempts.allow("10.0.0.1")


def test_an_ipv6_network_counts_as_one_source(attempts: Attempts) -> None:
    for host in range(3):
        attempts.failed(f"2001:db8::{host:x}")
    with pytest.raises(RateLimited):
        attempts.allow("2001:db8::ffff")
    attempts.allow("2001:db8:0:1::1")


def test_what_is_counted_has_a_bound(attempts: Attempts) -> None:
    fail(attempts, "first")
    for number in range(limits.SOURCES_MAX):
        attempts.failed(str(number))
    attempts.allow("first")
    assert len(attempts._failures) == limits.SOURCES_MAX


def test_a_source_can_be_let_in_again(attempts: Attempts) -> None:
    fail(attempts, "a")
    attempts.forget("a")
    attempts.allow("a")
