#!/usr/bin/env python3
"""A runner server's user data, run as root by cloud-init: unpacks the runner's modules and starts it.

script.py fills in CONFIG and ARCHIVE, a zip of this folder. Nothing but Python's standard library is
needed. It does nothing at a second start, since its token has been claimed.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

CONFIG: dict[str, str] = {}
ARCHIVE = ""


def main() -> int:
    home = Path(os.environ.get("KUMOI_RUNNER_HOME", "/var/lib/kumoi-runner"))
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    archive = home / "runner.zip"
    archive.write_bytes(base64.b64decode(ARCHIVE))
    sys.path.insert(0, str(archive))
    from kumoi.pipeline.runner import runner  # noqa: PLC0415 - of the archive

    return runner.main(sys.argv[1:], json.dumps(CONFIG))


if __name__ == "__main__":
    sys.exit(main())
