"""What systemd runs after it started an engine: wait until it answers, then what follows every start.

`python -m kumoi.hosts.units.after_start JSON`, with what `words` gives. It imports little, as it runs at
each start. What fails is tried again for a while: an engine that answers may not yet do all that it is
asked.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

from kumoi.base import process
from kumoi.hosts.units.answering import answers

TIMEOUT_S = 30.0
POLL_S = 0.02


def words(listens: str, then: Sequence[Sequence[str]]) -> list[str]:
    """The arguments that say so."""
    return ["-I", "-m", __name__, json.dumps([listens, then])]


def main(argv: list[str]) -> int:
    listens, then = json.loads(argv[0])
    deadline = time.monotonic() + TIMEOUT_S
    while not answers(listens):
        if time.monotonic() > deadline:
            return 1
        time.sleep(POLL_S)
    for command in then:
        _run(command, deadline)
    return 0


def _run(command: Sequence[str], deadline: float) -> None:
    """Raises ProcessFailed when the time is over."""
    while True:
        try:
            process.run(command)
        except process.ProcessFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
        else:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
