"""Two clouds' ranges of user ids on this machine, as newuidmap sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.base import process
from kumoi.cloud.drivers.instance.lxc import idmap, subids

pytestmark = [pytest.mark.system, pytest.mark.timeout(60)]

OWNERS = (Path("/var/tmp/ksub-one/host"), Path("/var/tmp/ksub-other/host"))


def maps(claim: subids.Claim) -> bool:
    """Whether root may run something as the first server's users."""
    ids = idmap.of_slot(claim, 0)
    with process.piped(["unshare", "--user", "cat"]) as child:
        child.input.write(b".")
        assert child.output.read(1) == b"."  # It is in its namespace by now.
        words = ["newuidmap", str(child.pid), "0", str(ids.base), str(ids.count)]
        return process.run(words, check=False).status == 0


def test_purging_one_cloud_leaves_the_others_range() -> None:
    one, other = (subids.claim(owner) for owner in OWNERS)
    try:
        assert not one.has(other.base)
        assert not other.has(one.base)
        assert maps(one)
        assert subids.release(OWNERS[0])
        assert one.line not in subids.PLACES[0].read_text().splitlines()
        assert maps(other)
    finally:
        for owner in OWNERS:
            subids.release(owner)
    for place in subids.PLACES:
        assert not {one.line, other.line} & set(place.read_text().splitlines())
