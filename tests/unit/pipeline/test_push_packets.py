"""What git's packets say, and what of them is taken for nothing."""

from __future__ import annotations

import gzip
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


def test_a_push_of_as_many_and_as_long_names_as_fit_is_not_held() -> None:
    """A body of 512 MiB was held whole, for each push that went on."""
    line = f"{OLD} {NEW} refs/heads/".encode()
    most = push_packets.COMMANDS_MAX
    lines = [line + b"%d" % number for number in range(most)]
    assert len(push_packets.read_request(body(*lines)).heads) == most
    assert not push_packets.read_request(body(*lines)).is_too_long
    over = push_packets.read_request(body(*lines, line + b"z"))
    assert over.is_too_long
    assert over.heads == {}
    asked = push_packets.read_request(body(line + b"a" * 60_000, line + b"main"))
    assert asked.heads == {"refs/heads/main": NEW}
    first = line + b"main\0push-options"
    options = push_packets.read_request(body(first, options=(b"x" * 60_000, *[b"y"] * 200))).options
    assert len(options) == push_packets.OPTIONS_MAX
    assert max(map(len, options)) == 1


def test_a_compressed_push_is_held_to_the_same() -> None:
    line = f"{OLD} {NEW} refs/heads/".encode()
    lines = [line + b"%d" % number for number in range(push_packets.COMMANDS_MAX + 1)]
    whole = gzip.compress(body(*lines).getvalue())
    assert push_packets.read_compressed(io.BytesIO(whole)).is_too_long
    few = gzip.compress(body(*lines[:3]).getvalue())
    assert len(push_packets.read_compressed(io.BytesIO(few)).heads) == 3
    for junk in (b"", few[:20], b"0000"):
        assert push_packets.read_compressed(io.BytesIO(junk)).heads == {}


def test_a_report_is_read_as_far_as_a_push_may_reach() -> None:
    """Its rest was copied for each of its lines, in the event loop: a minute for 500,000 tags."""
    said = packet(b"ok refs/tags/some-name") * 200_000
    at, answer = 0, b""
    while at < len(said):
        answer += packet(b"\x01" + said[at : at + 60_000])
        at += 60_000
    many = io.BytesIO(packet(b"\x01" + packet(b"ok refs/heads/main")) + answer)
    assert push_packets.accepted(many) == {"refs/heads/main", "refs/tags/some-name"}


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
