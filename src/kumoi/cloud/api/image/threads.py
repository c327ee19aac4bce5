"""What the content of images costs in threads: files, hashes, look-ups of names, and the wait for who looks into a file.

Of a project so many at a time. The threads that hosts are answered in are others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kumoi.cloud.api.request import Request

Answer = TypeVar("Answer")


async def in_thread(request: Request, act: Callable[[], Answer]) -> Answer:
    caller = request.caller
    client = caller.project_id or caller.user_id or ""
    return await request.services.image_turns.run(client, act)
