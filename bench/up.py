"""`up` from a fresh clone, and again. Debian's packages are there already; all else is made anew:
the Python environment, the images, the stores, the certificates.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.measure import Figure
from kumoi.base.process import run

ROOT = Path(__file__).parents[1]
NAME = "kbench"
RANGES = ("--public-cidr", "10.198.4.0/24", "--underlay-cidr", "10.198.5.0/28")
AGAIN = 3


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix=f"{NAME}-") as directory:
        home = Path(directory)
        home.chmod(0o755)  # Servers' root, who is nobody here, passes through.
        clone, where = home / "kumoi", ("--name", NAME, "--state-dir", str(home / "state"))
        run(["git", "clone", "-q", ROOT, clone], timeout_s=60)

        def timed(*words: str) -> float:
            command, *rest = words
            began = time.perf_counter()
            run(
                [clone / "kumoi", command, *where, *rest],
                timeout_s=590,
                env={"HOME": str(home), "PYTHONPATH": ""},
            )
            return time.perf_counter() - began

        try:
            fresh = timed("up", *RANGES)
            again = [timed("up") for _ in range(AGAIN)]
            timed("down")
            from_down = timed("up")
        finally:
            purge = timed("down", "--purge")
    return [
        Figure("up, from a fresh clone", [fresh], "s", 120),
        Figure("up again, running", again, "s", 10),
        Figure("up again, after down", [from_down], "s", 10),
        Figure("down --purge", [purge], "s"),
    ]
