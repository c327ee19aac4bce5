"""The guard restarts a supervisor that dies. It is a shell with one loop, which has nothing to fail
at.

It is needed only where systemd does not do so. A supervisor that is told to end does so with status
0, which ends its guard, too. A supervisor whose guard has ended starts another guard, with another
supervisor, and ends: whichever of the two is killed, both run again, and the units never stop.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kumoi.base import process
from kumoi.hosts.units import running
from kumoi.hosts.units.confinement import ROOT, Confinement, launched

GUARD_PID = "KUMOI_GUARD_PID"
NOWHERE = Path("/")  # Where `up` was called, a unit's user may not even look.
HELD = Confinement(user=ROOT, group=ROOT, umask=0o022, is_bounded=False)
"""As the agent: whatever is held back from the two is held back from all servers, which come of them."""
LOOP = f'export {GUARD_PID}=$$; until "$@"; do sleep 0.2; done'


def start(state_dir: str, log_dir: Path, *, digest: str, command: Sequence[str]) -> None:
    """Start a guard, which starts the supervisor by this command. Raises ProcessFailed."""
    marks = running.mark(state_dir, running.SUPERVISOR, digest)
    variables = [f"{key}={value}" for key, value in marks.items()]
    # The supervisor leads a session of its own, as whatever carries a mark does.
    loop = ["/bin/sh", "-c", LOOP, "kumoi-guard", "setsid", "env", *variables, *command]
    process.start(
        launched(HELD, loop, python=command[0]),
        log=log_dir / f"{running.SUPERVISOR}.log",
        env=running.mark(state_dir, running.GUARD, digest),
        cwd=NOWHERE,
    )


def start_again(state_dir: str, log_dir: Path, *, digest: str) -> None:
    """Start a guard with the command of the supervisor that calls this."""
    start(state_dir, log_dir, digest=digest, command=[sys.executable, *sys.orig_argv[1:]])


def is_gone() -> bool:
    """Whether this supervisor had a guard, which has ended."""
    guard = os.environ.get(GUARD_PID, "")
    return bool(guard) and os.getppid() != int(guard)
