"""The programs that a job needs on the runner: where its image lacks one, Debian's package is installed.

So any image with cloud-init and apt serves as a runner; one that has them makes every push quicker.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from typing import Any

from kumoi.pipeline.runner.log import Log
from kumoi.pipeline.runner.programs import run_logged

INSTALL_TIMEOUT_S = 900.0
APT = ("apt-get", "-qy", "-o", "DPkg::Lock::Timeout=300")
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}

Missing = Callable[[], bool]


def ensure(job: dict[str, Any], log: Log) -> None:
    """Raises RuntimeError that says what is missing."""
    packages = missing(job)
    if not packages:
        return
    names = ", ".join(packages)
    log.line(f"the runner's image lacks {names}: installing")
    if shutil.which(APT[0]) is not None:
        argv = [
            "sh",
            "-c",
            f'"$@" update; exec "$@" install --no-install-recommends {names}'.replace(",", ""),
        ]
        status, _ = run_logged(
            [*argv, "apt", *APT], lambda line: log.line(line, "runner"),
            timeout_s=INSTALL_TIMEOUT_S, environment=QUIET,
        )  # fmt: skip
        if status == 0:
            return
    raise RuntimeError(
        f"the runner's image lacks {names}, and they could not be installed: give the runner a way to "
        "Debian's packages, or an image that has them (runner.image)"
    )


def missing(job: dict[str, Any]) -> list[str]:
    """Debian's packages."""
    steps, checks = job["configure"], job["verify"]
    needed: dict[str, bool] = {
        "openssh-client": not shutil.which("ssh"),
        "ansible-core": any(each["ansible"] for each in steps)
        and not shutil.which("ansible-playbook"),
        "ruby-serverspec": any(each["serverspec"] for each in checks) and not shutil.which("ruby"),
        "python3-testinfra": any(each["testinfra"] for each in checks)
        and importlib.util.find_spec("testinfra") is None,
    }
    return [name for name, is_missing in needed.items() if is_missing]
