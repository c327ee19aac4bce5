"""What differs between two copies of a disk, block by block. Knows no network and no driver's files.

A disk is a sparse file. Holes, and blocks of nothing but zeros, are the same; so a copy takes no more room than
the disk did, and whatever lies in it, of whatever kind and owner, comes along.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping

from kumoi.cloud.drivers.instance import sparse

BLOCK_BYTES = 64 << 10
DIGEST_BYTES = 16
_ZEROS = bytes(BLOCK_BYTES)

Digests = dict[int, bytes]
"""By the number of a block that is not all zeros."""


def blocks(file: int) -> Iterator[tuple[int, bytes]]:
    """Number and content of each block that is not all zeros, in order. The file may change meanwhile."""
    size, last = os.fstat(file).st_size, -1
    for start, end in sparse.data_ranges(file, size):
        first = max(start // BLOCK_BYTES, last + 1)
        for number in range(first, -(-end // BLOCK_BYTES)):
            last = number
            content = os.pread(file, BLOCK_BYTES, number * BLOCK_BYTES)
            if content != _ZEROS[: len(content)]:
                yield number, content


def digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def digests(file: int) -> Digests:
    return {number: digest(content) for number, content in blocks(file)}


def whole(known: Mapping[int, bytes]) -> str:
    """The same for two disks that are the same."""
    found = hashlib.blake2b()
    for number in sorted(known):
        found.update(number.to_bytes(8, "big") + known[number])
    return found.hexdigest()


def punch(file: int, number: int) -> None:
    """Make a block zeros again."""
    sparse.punch(file, number * BLOCK_BYTES, BLOCK_BYTES)
