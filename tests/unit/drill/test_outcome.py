"""What a drill says in the end."""

from __future__ import annotations

import json

from kumoi.drill.outcome import NEVER, DrillOutcome, is_good
from kumoi.drill.plan import Drilled, Fault

KILLED = Drilled(Fault.KILL, "etcd", "one")


def test_a_drill_is_good_unless_something_is_lost_for_ever() -> None:
    assert is_good(
        [DrillOutcome(KILLED, failed=3, packets_lost=9), DrillOutcome(KILLED, skipped="why")]
    )
    assert not is_good([DrillOutcome(KILLED, writes_lost=("a",))])
    assert not is_good([DrillOutcome(KILLED, servers_twice=1)])
    assert not is_good([DrillOutcome(KILLED, redundant_s=NEVER)])


def test_people_and_programs_are_told_the_same() -> None:
    found = DrillOutcome(KILLED, calls=7, failed=1, redundant_s=NEVER, writes_lost=("a", "b"))
    assert found.row["calls failed"] == "1 of 7"
    assert found.row["redundant again s"] == "never"
    assert found.row["writes lost"] == "2"
    told = json.loads(json.dumps(found.document))
    assert (told["fault"], told["component"], told["writes_lost"]) == ("kill", "etcd", ["a", "b"])
    assert DrillOutcome(KILLED, skipped="no disk").row["calls failed"] == "skipped: no disk"
