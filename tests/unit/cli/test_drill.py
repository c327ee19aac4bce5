"""`kumoi drill`: what it refuses before it breaks anything."""

from __future__ import annotations

import io

import pytest

from kumoi.base.errors import Conflict, Invalid
from kumoi.cli import drill
from kumoi.config import CloudSettings, first_host
from kumoi.drill.place import DrillHost

CLOUD = CloudSettings(name="t1")
FIRST = first_host(CLOUD, "/nowhere/t1")


def test_where_others_have_servers_somebody_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    drill._require_consent(0, yes=False)
    drill._require_consent(3, yes=True)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # No terminal: nobody is there to answer.
    with pytest.raises(Conflict, match=r"3 servers of others.*--yes"):
        drill._require_consent(3, yes=False)


def test_a_cloud_of_one_host_has_nothing_to_take_over() -> None:
    with pytest.raises(Conflict, match="a drill needs two"):
        drill._places(CLOUD, FIRST)


def test_a_component_that_there_is_not_is_told_with_those_that_there_are() -> None:
    places = [DrillHost(CLOUD, FIRST)]
    with pytest.raises(Invalid, match=r"no component patroni: .*ovn-northd.*t1-host1"):
        drill._drills(places, "patroni")
    assert len(drill._drills(places, "ovn-northd")) == 3
