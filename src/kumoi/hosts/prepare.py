"""System packages and images, made by the launcher while Python packages are being installed.

Started as `python3 -m kumoi.hosts.prepare` before our Python environment is there, so this and all
it imports is of the standard library. `up` does the same again, waiting for what is under way.
"""

from __future__ import annotations

import sys

from kumoi.base.errors import KumoiError
from kumoi.hosts import image, packages


def main() -> int:
    try:
        packages.ensure(packages.NEEDED)
        for recipe in image.RECIPES:
            image.ensure(recipe, image.cache_dir())
    except KumoiError:
        return 1  # `up` comes to the same point and says what it is.
    return 0


if __name__ == "__main__":
    sys.exit(main())
