"""Room for neighbours is only ever made larger."""

from __future__ import annotations

from pathlib import Path

from kumoi.hosts.wires import neighbours

LINUX = {"gc_thresh2": 512, "gc_thresh3": 1_024}


def test_room_for_neighbours_is_made_and_a_higher_limit_stays(tmp_path: Path) -> None:
    """Of version 6 there is nothing, as in a network namespace that is not the machine's."""
    of_v4 = tmp_path / "net/ipv4/neigh/default"
    of_v4.mkdir(parents=True)
    for name, value in (LINUX | {"gc_thresh3": 1 << 30}).items():
        (of_v4 / name).write_text(f"{value}\n")
    neighbours.raise_most(tmp_path)
    assert int((of_v4 / "gc_thresh2").read_text()) == 1 << 16
    assert int((of_v4 / "gc_thresh3").read_text()) == 1 << 30
    assert not (tmp_path / "net/ipv6").exists()
