"""Which hosts may act."""

from __future__ import annotations

import pytest

from kumoi.cloud.hostapi.hello import PROTOCOL, refusal


@pytest.mark.parametrize(
    ("protocol", "release", "words"),
    [
        (PROTOCOL, "1.4.2", ""),
        (PROTOCOL, "1.4", ""),
        (PROTOCOL, "1.3.9", ""),
        (PROTOCOL, "1.4.2.dev1", ""),
        (PROTOCOL, "1.4.3", "newer than the control plane's 1.4.2"),
        (PROTOCOL, "1.10", "newer than the control plane's 1.4.2"),
        (PROTOCOL + 1, "1.5", "newer than the control plane's 1.4.2"),
        (PROTOCOL + 1, "1.4.2", f"none newer than {PROTOCOL}"),
        (PROTOCOL - 1, "1.3", f"speaks protocol {PROTOCOL - 1}"),
    ],
)
def test_a_host_acts_with_a_protocol_that_both_speak_and_no_newer_release(
    protocol: int, release: str, words: str
) -> None:
    said = refusal(protocol=protocol, release=release, own_release="1.4.2", oldest=PROTOCOL)
    assert words in said
    assert bool(words) == bool(said)
    if said:
        assert "install release 1.4.2" in said


@pytest.mark.parametrize(("release", "may_act"), [("1.3.9", False), ("1.4", True), ("1.4.2", True)])
def test_a_host_below_the_release_that_the_cloud_was_finalized_at_may_not_act(
    release: str, may_act: bool
) -> None:
    said = refusal(protocol=PROTOCOL, release=release, own_release="1.4.2", finalized="1.4")
    assert (said == "") is may_act
    assert may_act or "the cloud was finalized at 1.4: install release 1.4.2 on it" in said
