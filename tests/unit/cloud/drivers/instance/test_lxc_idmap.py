"""Which server has which ids of its host, and when another one may have them."""

from __future__ import annotations

import pytest

from kumoi.base.errors import Transient
from kumoi.cloud.drivers.instance.lxc.idmap import IdOwners, IdRange

FIRST, SECOND = IdRange(65_536), IdRange(131_072)


def test_nobody_gets_ids_with_which_another_one_runs() -> None:
    owners = IdOwners({FIRST.base: "a"})
    with pytest.raises(Transient, match="another one still runs with its user ids"):
        owners.take(FIRST, "b", lambda _: True)
    owners.take(FIRST, "b", lambda _: False)
    with pytest.raises(Transient):
        owners.take(FIRST, "a", lambda _: True)


def test_a_server_that_is_back_with_others_holds_those_of_before_no_more() -> None:
    """It was moved away from its host, and comes back when all others there are new as well."""
    owners = IdOwners({FIRST.base: "a"})
    owners.take(SECOND, "a", lambda _: True)
    owners.take(FIRST, "b", lambda _: True)
    owners.take(SECOND, "a", lambda _: True)
