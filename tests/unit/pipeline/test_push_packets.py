"""What git's packets say, and what of them is taken for nothing."""

from __future__ import annotations

import io

import pytest

from kumoi.pipeline import push_packets
from kumoi.pipeline.push_packets import FLUSH, packet

OLD, NEW = "0" * 40, "a" * 40


def body(*lines: bytes, options: tuple[bytes, ...] = ()) -> io.BytesIO:
    told = b"".join(map(packet, options)) + FLUSH if options else b""
    return io.BytesIO(b"".join(map(packet, lines)) + FLUSH + told + b"PACK...")


def test_a_push_says_which_heads_move_and_with_which_options() -> None:
    first = f"{OLD} {NEW} refs/heads/main\0 report-status side-band-64k push-options".encode()
    second = f"{NEW} {OLD} refs/heads/gone\n".encode()
    asked = push_packets.read_request(body(first, second, options=(b"kumoi.wait=no", b"x\n")))
    assert asked.heads == {"refs/heads/main": NEW, "refs/heads/gone": OLD}
    assert asked.options == ("kumoi.wait=no", "x")
    assert asked.has_side_band
    assert not asked.is_quiet


def test_options_that_were_not_announced_are_the_packs_bytes() -> None:
    first = f"{OLD} {NEW} refs/heads/main\0 side-band-64k quiet".encode()
    asked = push_packets.read_request(body(first, options=(b"kumoi.wait=yes",)))
    assert asked.options == ()
    assert asked.is_quiet


@pytest.mark.parametrize(
    "junk",
    [b"", b"0000", b"zzzz", b"0003", b"ffff", b"0010short", b"-001x", b"0008\xff\xfe\xfd\xfc"],
)
def test_what_is_no_push_moves_nothing(junk: bytes) -> None:
    asked = push_packets.read_request(io.BytesIO(junk))
    assert asked.heads == {}
    assert not asked.has_side_band
    assert push_packets.accepted(io.BytesIO(junk)) == frozenset()


def test_only_refs_that_git_says_moved_have_moved() -> None:
    report = packet(b"unpack ok\n") + packet(b"ok refs/heads/main\n")
    report += packet(b"ng refs/heads/other hook declined\n") + FLUSH
    cut = len(report) // 2
    answer = packet(b"\x02remote text") + packet(b"\x01" + report[:cut])
    answer += packet(b"\x01" + report[cut:]) + FLUSH
    assert push_packets.accepted(io.BytesIO(answer)) == {"refs/heads/main"}


def test_a_long_text_goes_in_packets_that_git_takes() -> None:
    text = push_packets.shown("x" * 200_000)
    at, sizes = 0, []
    while at < len(text):
        sizes.append(int(text[at : at + 4], 16))
        at += sizes[-1]
    assert at == len(text)
    assert max(sizes) <= push_packets.PACKET_MAX


def test_what_a_check_printed_steers_no_terminal() -> None:
    assert push_packets.shown("failed: \x1b[2J\x9bm\n").endswith(b"failed: \\x1b[2J\\x9bm\n")
