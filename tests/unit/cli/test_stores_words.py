"""What an operator reads of a cluster's stores: which of them is away, and what that means."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.cli import stores_words
from kumoi.cli.stores_words import ShownStores
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost

NAMES = ("a", "b", "c")
CLOUD = CloudSettings(
    control_hosts=tuple(ControlHost(name, f"172.24.5.{n}") for n, name in enumerate(NAMES, 1))
)


@pytest.mark.parametrize("etcd", [NAMES, ("a", "c")])
def test_a_store_that_takes_changes_needs_no_words(etcd: tuple[str, ...]) -> None:
    assert stores_words.words(CLOUD, "b", etcd, etcd) == ()


def test_without_a_majority_it_is_said_which_are_away_and_how_many_to_start() -> None:
    lost, follows = stores_words.words(CLOUD, "", (), ("b",))
    assert "a and c of 3" in lost
    assert "on 1 of them at least" in lost
    assert "until etcd has a majority" in follows
    assert "Servers, their networks and floating IPs go on" in follows


def test_members_that_do_not_reach_each_other_need_no_start() -> None:
    lost, follows = stores_words.words(CLOUD, "", ("a",), NAMES)
    assert "do not reach each other" in lost
    assert "until etcd has a majority" in follows


def test_without_all_of_etcd_two_are_to_be_started() -> None:
    lost, _ = stores_words.words(CLOUD, "", (), ())
    assert "a, b and c of 3" in lost
    assert "on 2 of them at least" in lost


def test_a_leader_that_is_being_replaced_is_no_matter_of_etcds() -> None:
    (line,) = stores_words.words(CLOUD, "", NAMES, NAMES)
    assert "another is chosen" in line


def test_stores_that_would_have_no_leader_if_theirs_were_lost_are_said_to() -> None:
    lacks = ("Patroni's word in etcd that b may take over from a",)
    (line,) = stores_words.lacking(ShownStores("a", NAMES, (), lacks))
    assert "do not bear the loss of a host now, they lack: Patroni's word" in line
    assert stores_words.lacking(ShownStores("a", NAMES, ())) == ()


def test_a_cloud_of_one_host_has_no_such_stores() -> None:
    found = stores_words.look(CloudSettings(), HostSettings())
    assert (found.leader, found.etcd, found.words) == ("", (), ())


def test_without_a_certificate_it_is_said_that_nobody_can_be_asked(tmp_path: Path) -> None:
    found = stores_words.look(CLOUD, HostSettings(name="a", state_dir=str(tmp_path)))
    assert found.etcd == ()
    (line,) = found.words
    assert "cannot be asked" in line
    assert "No such file" in line
