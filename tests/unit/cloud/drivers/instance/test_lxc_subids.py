"""Ranges of user ids: claimed for each host, in files that others write too."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance.lxc import subids

ONE, OTHER = Path("/var/lib/one/host"), Path("/var/lib/other/host")
OTHERS = "me:100000:65536\n# by hand\nroot:1000000:65536\n"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "subuid", tmp_path / "subgid"
    for place in found:
        place.write_text(OTHERS)
    return found


def test_a_host_claims_one_range_however_often_it_is_asked(places: tuple[Path, Path]) -> None:
    first = subids.claim(ONE, places)
    assert subids.claim(ONE, places) == first
    for place in places:
        assert place.read_text() == f"{OTHERS}# kumoi {ONE}\n{first.line}\n"


def test_many_hosts_that_claim_at_once_share_no_id(places: tuple[Path, Path]) -> None:
    owners = [Path(f"/host/{number}") for number in range(12)]
    with ThreadPoolExecutor(len(owners)) as threads:
        claims = list(threads.map(lambda owner: subids.claim(owner, places), owners))
    bases = sorted(claim.base for claim in claims)
    assert all(low + subids.COUNT <= high for low, high in itertools.pairwise(bases))
    assert [subids.claim(owner, places) for owner in owners] == claims


def test_what_is_given_back_is_ones_own_alone(places: tuple[Path, Path], tmp_path: Path) -> None:
    subids.claim(ONE, places)
    other = subids.claim(OTHER, places)
    for _ in range(2):
        assert subids.release(ONE, places, proc=tmp_path)
    for place in places:
        assert place.read_text() == f"{OTHERS}# kumoi {OTHER}\n{other.line}\n"
    subids.release(OTHER, places, proc=tmp_path)
    assert [place.read_text() for place in places] == [OTHERS, OTHERS]


def test_a_range_is_not_given_back_while_a_process_runs_as_one_of_its_ids(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    held = subids.claim(ONE, places)
    process = tmp_path / "proc" / "7"
    process.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(process, held.base + 5, 0)
        assert not subids.release(ONE, places, proc=process.parent)
        assert held.line in places[0].read_text()
        os.chown(process, held.base - 1, 0)
    assert subids.release(ONE, places, proc=process.parent)


def test_the_ranges_of_other_users_are_passed_over(places: tuple[Path, Path]) -> None:
    places[1].write_text(f"podman:{subids.FIRST + subids.COUNT - 1}:2\n")
    assert subids.claim(ONE, places).base == subids.FIRST + 2 * subids.COUNT


def test_a_claim_that_was_cut_off_between_the_files_is_made_whole(
    places: tuple[Path, Path],
) -> None:
    subids.claim(OTHER, places)
    held = subids.claim(ONE, places)
    places[1].write_text(OTHERS)
    assert subids.claim(ONE, places) == held
    assert places[1].read_text() == f"{OTHERS}# kumoi {ONE}\n{held.line}\n"


def test_when_the_upper_ones_are_taken_there_are_lower_ones(places: tuple[Path, Path]) -> None:
    places[0].write_text(f"somebody:{subids.FIRST}:{subids.END - subids.FIRST}\n")
    held = subids.claim(ONE, places)
    assert held.base == subids.LOWER
    assert subids.claim(ONE, places) == held
    assert subids.release(ONE, places)


def test_when_all_are_taken_it_is_said(places: tuple[Path, Path]) -> None:
    places[0].write_text(f"somebody:{subids.LOWER}:{subids.END - subids.LOWER}\n")
    with pytest.raises(Permanent, match="every range of user ids"):
        subids.claim(ONE, places)
