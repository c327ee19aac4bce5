"""`kumoi host drain` against the APIs: what it says of each server, and that it goes on where it was interrupted."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from openstack.connection import Connection
from tests.stories.compute import movers as moving
from tests.stories.compute.conftest import Workbench
from tests.stories.compute.movers import SPARE, Movers

from kumoi.cli import host_drain
from kumoi.cli.host_drain import Drained, DrainOptions
from kumoi.cli.output import OperatorConsole
from kumoi.cli.progress import Progress
from kumoi.cloud.hostapi.arrival import ArrivalState

HOST = "host1"


@pytest.fixture
def movers(bench: Workbench, admin: Connection) -> Iterator[Movers]:
    yield from moving.between(bench, admin)
    host_drain.enable(admin, HOST)


def drained(movers: Movers, **options: bool) -> tuple[Drained, str]:
    """What it gives, and what it prints."""
    done, printed = Drained(), io.StringIO()
    progress = Progress(OperatorConsole(file=printed, width=200))
    host_drain.disable(movers.admin, HOST, "for a new disk")
    host_drain.empty(movers.admin, HOST, progress, DrainOptions(**options), done)
    return done, printed.getvalue()


def test_a_server_that_no_host_takes_is_left_and_it_says_why(movers: Movers) -> None:
    made = movers.bench.active()
    movers.spare.offers = {}
    movers.spare.register(ram_mib=65_536)
    done, printed = drained(movers)
    (one,) = done.servers
    assert (one.id, one.outcome, one.host, one.paused_s) == (made.id, "left", HOST, None)
    assert "No valid host was found" in one.why
    assert one.why[:40] in printed
    assert done.count("left") == 1
    assert done.longest_pause_s() is None
    assert done.shown()[0]["name"] == made.name


def test_a_drain_goes_on_with_a_server_that_is_on_its_way(
    movers: Movers, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = movers.bench.active()
    movers.migrate(made)  # By a drain that was interrupted.
    steps = iter(
        [
            lambda: movers.copied(ArrivalState.READY),
            movers.first.settle,
            lambda: movers.copied(ArrivalState.COMPLETE),
            movers.spare.settle,
        ]
    )
    monkeypatch.setattr(host_drain, "wait", lambda: next(steps)())  # noqa: PLW0108 - another each time
    done, printed = drained(movers)
    (one,) = done.servers
    assert (one.outcome, one.host, one.why) == ("moved", SPARE, "")
    assert one.paused_s is not None
    assert one.paused_s == done.longest_pause_s()
    assert f"now on {SPARE}; paused for" in printed
    assert movers.where(made) == (SPARE, "ACTIVE", None)


def test_the_bar_is_full_when_all_are_done() -> None:
    assert host_drain.bar(0, 4).count("█") == 0
    assert host_drain.bar(1, 2).count("█") == host_drain.BAR_WIDTH // 2
    assert host_drain.bar(3, 3) == "█" * host_drain.BAR_WIDTH
    assert host_drain.bar(0, 0).count("█") == 0
