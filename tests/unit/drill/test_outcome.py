"""What a drill says in the end."""

from __future__ import annotations

import json

from kumoi.drill.outcome import NEVER, Outcome, is_good
from kumoi.drill.plan import Drilled, Fault

KILLED = Drilled(Fault.KILL, "etcd", "one")


def test_a_drill_is_good_unless_something_is_lost_for_ever() -> None:
    assert is_good([Outcome(KILLED, failed=3, packets_lost=9), Outcome(KILLED, skipped="why")])
    assert not is_good([Outcome(KILLED, writes_lost=("a",))])
    assert not is_good([Outcome(KILLED, servers_twice=1)])
    assert not is_good([Outcome(KILLED, redundant_s=NEVER)])


def test_people_and_programs_are_told_the_same() -> None:
    found = Outcome(KILLED, calls=7, failed=1, redundant_s=NEVER, writes_lost=("a", "b"))
    assert found.row["calls failed"] == "1 of 7"
    assert found.row["redundant again s"] == "never"
    assert found.row["writes lost"] == "2"
    told = json.loads(json.dumps(found.document))
    assert (told["fault"], told["component"], told["writes_lost"]) == ("kill", "etcd", ["a", "b"])
    assert Outcome(KILLED, skipped="no disk").row["calls failed"] == "skipped: no disk"
