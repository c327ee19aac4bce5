"""The file that says how far this host trusts its control plane."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kumoi.cloud.agent.trust import Trust, TrustFile
from kumoi.cloud.hostapi.things import WantedThings


def heard(epoch: str, revision: int) -> WantedThings:
    return WantedThings(epoch=epoch, revision=revision, complete=True, things=[])


@pytest.mark.parametrize("unnamed", [0, 1], ids=["trusted", "doubted"])
def test_words_of_another_release_are_kept_when_the_file_is_written_again(
    tmp_path: Path, unnamed: int
) -> None:
    trust_file = TrustFile(tmp_path / "control-plane.json")
    later = {"since": {"at": 7}, "rest": "a word too"}
    trust_file.file.write_text(json.dumps({"epoch": "e", "revision": 9, "doubted": False} | later))
    trust_file.write(trust_file.read().after(heard("f", 3), complete=True, unnamed=unnamed))
    now = {"epoch": "e", "revision": 9, "doubted": True} if unnamed else {}
    wanted = {"epoch": "f", "revision": 3, "doubted": False} | now | later
    assert json.loads(trust_file.file.read_text()) == wanted


@pytest.mark.parametrize("content", [b"", b"[]", b'{"revision": "nine"}'])
def test_what_cannot_be_read_is_no_trust_yet(tmp_path: Path, content: bytes) -> None:
    trust_file = TrustFile(tmp_path / "control-plane.json")
    trust_file.file.write_bytes(content)
    assert trust_file.read() == Trust()
