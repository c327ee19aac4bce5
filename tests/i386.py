"""A program for 32-bit x86 that makes one call and ends with its error, 0 when it worked.

Such programs run on most machines of 64 bits, where a filter has to know their calls by other numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

BASE = 0x8048000
CODE_AT, DATA_AT = 84, 0x200
REGISTERS = b"\xb8\xbb\xb9\xba\xbe\xbf"
"""The opcodes that put a number into EAX, EBX and so on: the call's own, then its arguments."""
CALL_AND_END = b"\xcd\x80\x31\xdb\x85\xc0\x79\x04\xf7\xd8\x89\xc3\xb8\x01\0\0\0\xcd\x80"
"""int 0x80; the error, or 0, is what exit gets."""


def program(*call: int | Sequence[int]) -> bytes:
    """The file. `call` is its number and its arguments, of which one that is several numbers is the address of these."""
    code, data = b"", b""
    for opcode, argument in zip(REGISTERS, call, strict=False):
        if isinstance(argument, int):
            value = argument
        else:
            value, data = BASE + DATA_AT + len(data), data + b"".join(map(_word, argument))
        code += bytes([opcode]) + _word(value)
    size = DATA_AT + len(data)
    head = b"\x7fELF\1\1\1".ljust(16, b"\0") + struct.pack(
        "<2H5L6H", 2, 3, 1, BASE + CODE_AT, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )
    head += struct.pack("<8L", 1, 0, BASE, BASE, size, size, 7, 4_096)
    return (head + code + CALL_AND_END).ljust(DATA_AT, b"\0") + data


def _word(number: int) -> bytes:
    return struct.pack("<L", number & 0xFFFFFFFF)
