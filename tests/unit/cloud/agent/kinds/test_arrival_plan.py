"""What to do for a disk that is to come here."""

from __future__ import annotations

import msgspec

from kumoi.cloud.agent.kinds.arrival import Fail, Fetch, SeenArrival, plan
from kumoi.cloud.drivers.instance.moving import ArrivedDisk
from kumoi.cloud.hostapi.arrival import Arrival

SPEC = Arrival(
    id="6f04a590-e910-4720-a682-6d5d9a87d591",
    generation=3,
    driver="lxc",
    build=1,
    disk_gib=5,
    host="one",
    address="172.21.0.2",
    key_sha256="ab",
)
FINAL = msgspec.structs.replace(SPEC, final=True)
WHOLE = ArrivedDisk(SPEC.id, 1, complete=True)


def test_it_is_fetched_once_and_its_rest_when_the_server_has_stopped() -> None:
    assert plan(SPEC, None) == [Fetch(final=False)]
    assert plan(SPEC, SeenArrival(fetched=True)) == []
    assert plan(FINAL, SeenArrival(fetched=True)) == [Fetch(final=True)]
    assert plan(FINAL, SeenArrival(fetched=True, final=True)) == []
    assert plan(FINAL, SeenArrival(WHOLE, fetched=True, final=True)) == []


def test_an_agent_that_began_anew_fetches_again_what_is_not_whole() -> None:
    part = ArrivedDisk(SPEC.id, 1, complete=False)
    assert plan(FINAL, SeenArrival(part)) == [Fetch(final=True)]
    assert plan(FINAL, SeenArrival(WHOLE)) == []
    assert plan(FINAL, SeenArrival(ArrivedDisk(SPEC.id, 0, complete=True))) == [Fetch(final=True)]


def test_nothing_is_fetched_once_the_disk_is_the_servers() -> None:
    assert plan(msgspec.structs.replace(SPEC, done=True), None) == []


def test_what_failed_for_good_is_said() -> None:
    assert plan(SPEC, SeenArrival(fetched=True, fault="full")) == [Fail("full")]
