"""The content of an image that nobody starts. For tests and benches."""

from __future__ import annotations

import io
import tarfile


def tarball() -> bytes:
    """The least that passes for a root filesystem."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        content = b"Debian GNU/Linux 12\n"
        entry = tarfile.TarInfo("etc/issue")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
