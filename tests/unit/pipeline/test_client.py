"""The command line logs in again where a login is cut off, as when the host that has the address is lost."""

from __future__ import annotations

import pytest
from keystoneauth1.exceptions import ConnectFailure, Unauthorized

from kumoi.pipeline import client


def answering(*refusals: Exception) -> list[Exception]:
    """What is left of them."""
    left = list(refusals)

    def ask() -> None:
        if left:
            raise left.pop(0)

    client.again(ask)
    return left


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WAITS_S", (0.0,) * len(client.WAITS_S))


def test_what_is_cut_off_is_asked_again() -> None:
    assert answering(*[ConnectFailure()] * len(client.WAITS_S)) == []


def test_in_the_end_it_is_told() -> None:
    with pytest.raises(ConnectFailure):
        answering(*[ConnectFailure()] * (len(client.WAITS_S) + 1))


def test_who_is_refused_is_not_asked_again() -> None:
    with pytest.raises(Unauthorized):
        answering(Unauthorized(), Unauthorized())
