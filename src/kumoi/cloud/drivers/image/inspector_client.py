"""How the API asks the unit that looks into images' files (inspector.py)."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import msgspec

from kumoi.cloud.drivers.image.inspect import Finding
from kumoi.engine import calls

ANSWER_WITHIN_S = 300.0  # A disk may be slow, and the image large.


class InspectImage(msgspec.Struct, frozen=True, kw_only=True):
    disk_format: str
    size: int


class InspectorClient:
    """`path` is where the unit listens."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check_file(self, file: IO[bytes], disk_format: str, size: int) -> Finding:
        """Raises Invalid when the content is not of the format stated, or would be dangerous."""
        call = InspectImage(disk_format=disk_format, size=size)
        content = msgspec.json.encode(call)
        found = calls.ask(
            self._path,
            content,
            [file.fileno()],
            about="what the image is",
            within_s=ANSWER_WITHIN_S,
        )
        return msgspec.json.decode(found, type=Finding)
