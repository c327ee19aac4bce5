from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kumoi.cloud.agent.health import Health, after, again_s
from kumoi.cloud.hostapi.load_balancer import ERROR, ONLINE, MonitorSpec


def monitor(**said: Any) -> MonitorSpec:
    usual = {"delay_s": 2, "timeout_s": 1, "max_retries": 2, "max_retries_down": 3}
    return MonitorSpec(type="TCP", **(usual | said))


def told(health: Health, answers: str, wanted: MonitorSpec) -> Health:
    """After a + for each good probe and a - for each bad one."""
    for answer in answers:
        health = after(health, wanted, good=answer == "+")
    return health


def test_a_new_member_works_with_its_first_good_probe() -> None:
    assert told(Health(), "+", monitor()).state == ONLINE


def test_a_new_member_that_does_not_answer_fails_as_any_other() -> None:
    assert told(Health(), "--", monitor()).state == ""
    assert told(Health(), "---", monitor()).state == ERROR
    assert told(Health(), "--+", monitor()).state == ONLINE


def test_one_that_works_fails_after_so_many_bad_probes_in_a_row() -> None:
    works = Health(ONLINE)
    assert told(works, "--", monitor()).state == ONLINE
    assert told(works, "--+--", monitor()).state == ONLINE
    assert told(works, "---", monitor()).state == ERROR


def test_one_that_failed_works_again_after_so_many_good_probes_in_a_row() -> None:
    failed = Health(ERROR)
    assert told(failed, "+-+", monitor()).state == ERROR
    assert told(failed, "++", monitor()).state == ONLINE


@pytest.mark.parametrize("downs", [2, 3, 5, 10])
def test_a_failing_member_is_out_within_delay_times_retries_also_where_probes_time_out(
    downs: int,
) -> None:
    wanted = monitor(max_retries_down=downs, delay_s=5, timeout_s=2)
    health, at_s = Health(ONLINE), float(wanted.delay_s)  # A good probe began at 0.
    while health.state == ONLINE:
        health = after(health, wanted, good=False)
        ended_s = at_s + wanted.timeout_s
        at_s = max(ended_s, at_s + again_s(health, wanted))
    assert round(ended_s, 6) <= wanted.delay_s * downs


def test_one_that_failed_is_probed_no_faster_than_asked() -> None:
    assert again_s(Health(ERROR, -9), monitor()) == 2
    assert again_s(replace(Health(ONLINE), streak=4), monitor()) == 2
    assert again_s(Health(ONLINE, -1), monitor(max_retries_down=1)) == 2
