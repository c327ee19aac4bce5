"""System packages and images, made by the launcher while Python packages are being installed.

Started as `python3 -m kumoi.hosts.install.prepare` before our Python environment is there, so this and all
it imports is of the standard library. Images take longest, so they begin as soon as their tools are
there. `up` does the same again, waiting for what is under way.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from kumoi.base.errors import KumoiError
from kumoi.hosts.install import image, packages


def main() -> int:
    try:
        packages.ensure(image.TOOLS)
        with ThreadPoolExecutor(1) as beside:
            others = beside.submit(packages.ensure, packages.NEEDED)
            image.ensure(image.RUNNER, image.cache_dir())  # And what it is built on.
            others.result()
    except KumoiError:
        return 1  # `up` comes to the same point and says what it is.
    return 0


if __name__ == "__main__":
    sys.exit(main())
