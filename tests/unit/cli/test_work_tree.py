"""A folder is pushed to a pipeline that is cut off: git's own words, as it printed them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kumoi.base.errors import Invalid, Permanent
from kumoi.base.process import Completed
from kumoi.cli import work_tree

CUT_OFF = """\
error: RPC failed; curl 56 GnuTLS recv error (-110): The TLS connection was non-properly terminated.
send-pack: unexpected disconnect while reading sideband packet
fatal: the remote end hung up unexpectedly
Everything up-to-date
"""
REFUSED = "fatal: unable to access 'https://10.0.0.9:5002/git/p/a.git/': Failed to connect\n"
TOLD = "fatal: remote error: the push before this one was cut off, but it arrived and began run 7\n"
FOR_NOW = (
    "fatal: remote error: the cloud could not make an application credential just now: try again\n"
)
FULL = "fatal: remote error: the disk of this cloud is full, and nothing was changed: try again when there is room\n"
DONE = "To https://10.0.0.9:5002/git/p/a.git\n * [new branch] HEAD -> main\n"


def push(*printed: str, arrived: bool) -> int:
    """How often it was tried."""
    left: Iterator[str] = iter(printed)
    count = 0

    def one() -> Completed:
        nonlocal count
        count += 1
        said = next(left)
        return Completed(("git", "push"), 0 if said == DONE else 1, "", said, 0.1)

    work_tree._until_answered(one, lambda: arrived)
    return count


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_tree, "PUSH_AGAIN_S", 0.0)


def test_what_was_cut_off_is_pushed_again() -> None:
    assert push(CUT_OFF, REFUSED, DONE, arrived=False) == 3


def test_what_was_cut_off_and_arrived_is_done() -> None:
    assert push(CUT_OFF, TOLD, arrived=True) == 2


def test_of_an_earlier_push_that_arrived_one_is_told_and_this_one_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert push(TOLD, DONE, arrived=False) == 2
    assert push(CUT_OFF, TOLD, DONE, arrived=False) == 3
    assert capsys.readouterr().err.count("began run 7") == 2


def test_what_is_refused_for_now_is_pushed_again() -> None:
    assert push(FOR_NOW, FOR_NOW, DONE, arrived=False) == 3
    with pytest.raises(Invalid, match="could not make an application credential just now"):
        push(*[FOR_NOW] * work_tree.PUSHES_MAX, arrived=False)


def test_what_is_refused_for_good_is_not() -> None:
    with pytest.raises(Invalid, match="the disk of this cloud is full"):
        push(FULL, arrived=False)


def test_what_is_always_cut_off_says_what_git_says_of_it() -> None:
    with pytest.raises(Permanent, match="cut off 5 times: fatal: the remote end hung up"):
        push(*[CUT_OFF] * work_tree.PUSHES_MAX, arrived=False)


def test_what_git_refuses_itself_is_not_tried_again() -> None:
    with pytest.raises(Invalid, match="Authentication failed"):
        push("fatal: Authentication failed for 'https://10.0.0.9:5002'\n", arrived=False)
