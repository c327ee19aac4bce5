"""Which revisions of load balancers hosts have."""

from __future__ import annotations

from kumoi.cloud.reconcilers.installed import WAIT_S, InstalledBalancers


def test_what_was_told_counts_once_hosts_have_it() -> None:
    installed = InstalledBalancers()
    installed.tell(1, {"a": 1}, now_s=0)
    installed.tell(2, {"a": 2, "b": 1}, now_s=0)
    assert installed.told == {"a": 2, "b": 1}
    assert not installed.hear(0, now_s=0)
    assert installed.revisions == {}
    assert installed.hear(1, now_s=0)
    assert installed.revisions == {"a": 1}
    assert installed.hear(2, now_s=0)
    assert installed.told == installed.revisions == {"a": 2, "b": 1}


def test_a_host_that_says_nothing_is_waited_for_once() -> None:
    installed = InstalledBalancers()
    installed.tell(1, {"a": 1}, now_s=0)
    assert not installed.hear(0, now_s=WAIT_S / 2)
    assert installed.hear(0, now_s=WAIT_S)
    installed.tell(2, {"a": 2}, now_s=WAIT_S)
    assert installed.hear(0, now_s=WAIT_S)
    assert installed.revisions == {"a": 2}


def test_one_that_speaks_again_is_waited_for_again() -> None:
    installed = InstalledBalancers()
    installed.tell(1, {"a": 1}, now_s=0)
    installed.hear(0, now_s=WAIT_S)
    installed.hear(1, now_s=WAIT_S)
    installed.tell(2, {"a": 2}, now_s=WAIT_S)
    assert not installed.hear(1, now_s=WAIT_S)
    assert installed.hear(2, now_s=WAIT_S)
