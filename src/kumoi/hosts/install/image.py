"""The images that `up` brings along, built on this machine from Debian's own packages.

`debian-12` is what servers start from; `debian-12-runner` is the same with what the pipeline's
runner needs. Both come of one tree, where neither is there: the first is saved as soon as it is
whole, and the tree grows into the second. Each is kept under a hash of its recipe, so it is built
once. Called by `up`; nothing here talks to the cloud.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kumoi.base import files, process, trees
from kumoi.base.errors import Permanent
from kumoi.base.files import Promise

SUITE = "bookworm"
EVERYBODYS_MIRROR = f"http://deb.debian.org/debian {SUITE} main"
RECIPE_DIR = Path(__file__).parent / "recipe"
BEGIN, COMPILE, CUSTOMIZE, BRANCH, EXTEND, FINISH, BUILD = (
    RECIPE_DIR / f"{name}.sh"
    for name in ("begin", "compile", "customize", "branch", "extend", "finish", "build")
)
TOOLS = ("debian-archive-keyring", "mmdebstrap", "zstd")
INSTALLED_CACHE = Path("/var/cache/kumoi/images")
SUFFIX = ".tar.zst"
BUILD_TIMEOUT_S = 900.0
POLL_S = 0.05
MACHINE_APT_KEYS = r"Acquire::(https?|Retries|Check-Valid-Until|Check-Date)\b"


@dataclass(frozen=True, slots=True)
class Recipe:
    """`user` is the login that gets a server's SSH keys. One that is `hidden` is found by its name, and is in
    nobody's list: people do not choose it.
    """

    name: str
    packages: tuple[str, ...]
    base: Recipe | None = None
    distribution: str = "debian"
    user: str = "debian"
    hidden: bool = field(default=False, repr=False)  # Not among what the image is made by.


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
        "libnss-myhostname",
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
    "debian-12-runner",
    (
        "ansible-core",
        "curl",
        "git",
        "openssh-client",
        "python3-testinfra",
        "ruby-serverspec",
    ),
    base=DEBIAN,
    hidden=True,
)
RECIPES = (DEBIAN, RUNNER)


def cache_dir() -> Path:
    """The directory of built images, shared by all clouds of this machine; in a checkout inside it."""
    checkout = Path(__file__).parents[4]
    if (checkout / "pyproject.toml").exists():
        return checkout / ".cache" / "images"
    return INSTALLED_CACHE


def share() -> None:
    """Let installed releases, which have no checkout, find what was built in this one."""
    cache = cache_dir()
    INSTALLED_CACHE.mkdir(parents=True, exist_ok=True)
    for file in cache.glob(f"*{SUFFIX}") if cache != INSTALLED_CACHE else ():
        target = INSTALLED_CACHE / file.name
        if not target.exists():
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(file, draft)
            draft.rename(target)


def key(recipe: Recipe) -> str:
    """A hash of everything that the image is made by."""
    scripts = [path.read_bytes() for path in (BEGIN, COMPILE, CUSTOMIZE, EXTEND, FINISH)]
    source = (recipe, SUITE, scripts)
    return hashlib.sha256(repr(source).encode()).hexdigest()[:16]


def file_of(recipe: Recipe, cache: Path) -> Path:
    return cache / f"{key(recipe)}{SUFFIX}"


def ensure(recipe: Recipe, cache: Path) -> Path:
    """The image's file, built first where it is missing, as is its base.

    Raises Permanent when it cannot be built, as without a network.
    """
    file = file_of(recipe, cache)
    cache.mkdir(parents=True, exist_ok=True)
    with _turn(recipe, cache):
        if not file.exists():
            _replace(recipe, cache)
    return file


@contextlib.contextmanager
def _turn(recipe: Recipe, cache: Path) -> Iterator[None]:
    """One build of a family of images at a time. Who waits for an image that another one makes on
    the way to its own has it at once.
    """
    first = recipe.base or recipe
    with file_of(first, cache).with_suffix(".lock").open("w") as lock:
        while not file_of(recipe, cache).exists():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(POLL_S)
            else:
                break
        yield


def _replace(recipe: Recipe, cache: Path) -> None:
    """Build into a draft, which gets the file's name once it is complete."""
    file = file_of(recipe, cache)
    draft = file.with_name(f"new-{file.name}")
    work = cache / f"{key(recipe)}.part"
    trees.remove(work)  # Of a build that was killed.
    work.mkdir()
    try:
        _build(recipe, cache, draft, work)
        files.publish(draft, file, promise=Promise.KILL)
    except process.ProcessFailed as cause:
        draft.unlink(missing_ok=True)
        raise Permanent(
            f"the image {recipe.name} could not be built from Debian's packages; "
            "is there a network?"
        ) from cause
    finally:
        trees.remove(work)


def _build(recipe: Recipe, cache: Path, file: Path, work: Path) -> None:
    """From nothing, and its base with it; or from its base, where that is there."""
    base = file_of(recipe.base, cache) if recipe.base else None
    command: list[str | Path] = ["unshare", "--mount", BUILD, work]
    command += ["mmdebstrap", "--mode=root", "--quiet"]
    command += [f"--aptopt={option}" for option in apt_options()]
    env = {}
    if base is not None and base.exists():
        env["KUMOI_BASE"] = str(base)
        command += [f"--include={','.join(recipe.packages)}", "--variant=custom"]
        command += [f"--setup-hook={EXTEND}", f"--setup-hook={BEGIN}"]
    else:
        packages = (recipe.base or recipe).packages
        command += [f"--include={','.join(packages)}", "--variant=minbase"]
        command += [f"--setup-hook={BEGIN}"]
        command += [f"--customize-hook={script}" for script in (COMPILE, CUSTOMIZE)]
    if base is not None and not base.exists():
        env |= {"KUMOI_SAVED": str(base), "KUMOI_MORE": " ".join(recipe.packages)}
        command += [f"--customize-hook={BRANCH}"]
    command += [f"--customize-hook={FINISH}", SUITE, file, *sources()]
    process.run(command, timeout_s=BUILD_TIMEOUT_S, env=env)


def apt_options() -> list[str]:
    """The machine's own settings by which apt reaches mirrors: its proxies and certificates."""
    dump = process.run(["apt-config", "dump", "--no-empty", "--format", '%F "%v"%n', "Acquire"])
    return [line for line in dump.out.splitlines() if re.match(MACHINE_APT_KEYS, line)]


def sources() -> list[str]:
    """The mirrors of Debian that this machine uses for this release, or everybody's."""
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
    return [f"deb {line}" for line in lines or [EVERYBODYS_MIRROR]]
