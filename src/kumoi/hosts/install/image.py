"""The images that `up` brings along, built on this machine from Debian's own packages.

`debian-12` is what servers start from; `debian-12-runner` is the same with what the pipeline's
runner needs, built on top of it. Each is kept under a hash of its recipe, so it is built once.
Called by `up`; nothing here talks to the cloud.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.errors import Permanent
from kumoi.base.files import Promise
from kumoi.hosts.install import trees

SUITE = "bookworm"
RECIPE_DIR = Path(__file__).parent / "recipe"
BEGIN, CUSTOMIZE, EXTEND, FINISH, BUILD = (
    RECIPE_DIR / f"{name}.sh" for name in ("begin", "customize", "extend", "finish", "build")
)
TOOLS = ("debian-archive-keyring", "mmdebstrap", "zstd")
BUILD_TIMEOUT_S = 900.0
MACHINE_APT_KEYS = r"Acquire::(https?|Retries|Check-Valid-Until|Check-Date)\b"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`user` is the login that the image's keys go to."""

    name: str
    packages: tuple[str, ...]
    base: Recipe | None = None
    distribution: str = "debian"
    user: str = "debian"


DEBIAN = Recipe(
    "debian-12",
    (
        "ca-certificates",
        "cloud-init",
        "curl",
        "dbus",
        "iproute2",
        "iputils-ping",
        "less",
        "netbase",
        "openssh-server",
        "procps",
        "python3",
        "sudo",
        "systemd",
        "systemd-sysv",
    ),
)
RUNNER = Recipe(
    "debian-12-runner", ("curl", "git", "openssh-client", "ruby-serverspec"), base=DEBIAN
)
RECIPES = (DEBIAN, RUNNER)


def cache_dir() -> Path:
    """For all clouds of this machine: beside the code in a checkout."""
    checkout = Path(__file__).parents[4]
    if (checkout / "pyproject.toml").exists():
        return checkout / ".cache" / "images"
    return Path("/var/cache/kumoi/images")


def key(recipe: Recipe) -> str:
    """Changes whenever the image would."""
    scripts = [path.read_bytes() for path in (BEGIN, CUSTOMIZE, EXTEND, FINISH)]
    told = (recipe, SUITE, scripts)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def file_of(recipe: Recipe, cache: Path) -> Path:
    return cache / f"{key(recipe)}.tar.zst"


def ensure(recipe: Recipe, cache: Path) -> Path:
    """The image's file, built first where it is missing, as is its base.

    Raises Permanent when it cannot be built, as without a network.
    """
    file = file_of(recipe, cache)
    base = ensure(recipe.base, cache) if recipe.base else None
    cache.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            _replace(recipe, base, file)
    return file


def _replace(recipe: Recipe, base: Path | None, file: Path) -> None:
    """Only a whole image gets its name."""
    draft = file.with_name(f"new-{file.name}")
    work = file.parent / f"{key(recipe)}.part"
    trees.remove(work)  # Of a build that was killed.
    work.mkdir()
    try:
        _build(recipe, base, draft, work)
        files.publish(draft, file, promise=Promise.KILL)
    except process.ProcessFailed as cause:
        draft.unlink(missing_ok=True)
        raise Permanent(
            f"the image {recipe.name} could not be built from Debian's packages; "
            "is there a network?"
        ) from cause
    finally:
        trees.remove(work)


def _build(recipe: Recipe, base: Path | None, file: Path, work: Path) -> None:
    command: list[str | Path] = ["unshare", "--mount", BUILD, work]
    command += ["mmdebstrap", "--mode=root", "--quiet"]
    command += [f"--include={','.join(recipe.packages)}"]
    command += [f"--aptopt={option}" for option in _machine_apt_options()]
    if base is None:
        command += ["--variant=minbase", f"--setup-hook={BEGIN}"]
        command += [f"--customize-hook={CUSTOMIZE}"]
    else:
        command += ["--variant=custom", f"--setup-hook={EXTEND}", f"--setup-hook={BEGIN}"]
    command += [f"--customize-hook={FINISH}", SUITE, file, *_machine_sources()]
    env = {"KUMOI_BASE": str(base)} if base else None
    process.run(command, timeout_s=BUILD_TIMEOUT_S, env=env)


def _machine_apt_options() -> list[str]:
    """How this machine reaches packages: its proxies and certificates."""
    dump = process.run(["apt-config", "dump", "--no-empty", "--format", '%F "%v"%n', "Acquire"])
    return [line for line in dump.out.splitlines() if re.match(MACHINE_APT_KEYS, line)]


def _machine_sources() -> list[str]:
    """The mirrors of Debian that this machine uses, where it has any for this release."""
    targets = process.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(SITE) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
            "Origin: Debian",
        ],
        check=False,
    )
    lines = sorted({line for line in targets.out.splitlines() if f" {SUITE}" in line})
    return [f"deb {line}" for line in lines]
