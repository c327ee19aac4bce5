"""Releases of the code that roles run, side by side, each complete in a directory of its own.

`up` installs the code that it was called from, Python packages included, and roles run from there.
So a role that is restarted is of the same release whatever happens to the checkout; the next
release is installed beside it, and the former one stays to go back to. `up` calls this. There is
only code in these directories: no state, no settings.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import kumoi
from kumoi.base import files, process

UP_TIMEOUT_S = 600.0
COMPILE_TIMEOUT_S = 300.0
KEPT = 3  # Unused releases that stay.
DIGEST_DIGITS = 12
_PACKAGE = Path(kumoi.__file__).parent
_CHECKOUT_LINK = "kumoi.pth"
_COMPILED = "__pycache__"


@dataclass(frozen=True, slots=True)
class Release:
    """`id` is the version with a digest of all code: the same code has the same id."""

    id: str
    python: Path

    @property
    def argv(self) -> tuple[str, ...]:
        """Isolated, so that neither the caller's directory nor its variables change the imports."""
        return (str(self.python), "-I", "-m", "kumoi.main")


def running() -> Release:
    """The release of this process."""
    return Release(release_id(), Path(sys.executable))


def release_id() -> str:
    digest = hashlib.sha256()
    code = (path for path in _PACKAGE.rglob("*") if _COMPILED not in path.parts and path.is_file())
    for path in sorted(code):
        digest.update(f"{path.relative_to(_PACKAGE)} ".encode())
        digest.update(path.read_bytes())
    for name in sorted(path.name for path in _site_packages(Path(sys.prefix)).glob("*.dist-info")):
        digest.update(name.encode())
    return f"{kumoi.__version__}-{digest.hexdigest()[:DIGEST_DIGITS]}"


def install(directory: Path) -> Release:
    """Install the release of this process below `directory`, completely or not at all; one that is
    there already is left as it is. Removes unused older ones, except for KEPT to go back to.
    """
    name = release_id()
    home = directory / name
    release = Release(name, home / "bin" / Path(sys.executable).name)
    if Path(sys.prefix) == home:
        return release
    if home.is_dir():
        os.utime(home)
    else:
        _install(home)
    _remove_old(directory, but=home)
    return release


def of_process(pid: int, directory: Path) -> str:
    """The id of the release below `directory` that the process runs from; empty for any other program."""
    try:
        program = Path(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode())
        return program.relative_to(directory).parts[0]
    except (OSError, ValueError, IndexError):
        return ""


def bring_up(home: Path, words: Sequence[str]) -> None:
    """`up` of an installed release, with these words. Raises ProcessFailed."""
    python = next((home / "bin").glob("python3"))
    command = [str(python), "-I", "-m", "kumoi.main", "up", *words]
    process.run(command, timeout_s=UP_TIMEOUT_S)


def _install(home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    draft = home.with_name(f".{home.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    if _is_installed():
        shutil.copytree(sys.prefix, draft, copy_function=_place, symlinks=True)
    else:
        _make(draft)
    os.sync()  # A release with this name is whole, also after a power failure.
    draft.rename(home)


def _make(draft: Path) -> None:
    environment = Path(sys.prefix)
    packages = _site_packages(draft)
    kept = _compiled(environment)
    left_out = (_COMPILED,) if kept else ()
    shutil.copytree(
        _site_packages(environment),
        packages,
        copy_function=_place,
        ignore=shutil.ignore_patterns(_CHECKOUT_LINK, "kumoi", *left_out),
        symlinks=True,
    )
    shutil.copytree(  # Not linked: a checkout's files are edited.
        _PACKAGE, packages / "kumoi", ignore=shutil.ignore_patterns(*left_out)
    )
    (draft / "bin").mkdir()
    for python in (environment / "bin").glob("python*"):
        (draft / "bin" / python.name).symlink_to(python.readlink())
    shutil.copy(environment / "pyvenv.cfg", draft)
    if kept:
        _place_compiled(kept, packages)
    compileall.compile_dir(packages / "kumoi", quiet=2)  # What is missing.
    _open_to_all(draft)


def _is_installed() -> bool:
    return _site_packages(Path(sys.prefix)) / "kumoi" == _PACKAGE


def _compiled(environment: Path) -> Path | None:
    """Where a checkout's environment keeps what compiling.py makes: the next release has most of it, too. None where it
    cannot be written, or is that of another checkout.
    """
    kept = environment / "compiled"
    made_for = (
        kept / _PACKAGE.relative_to("/") / "release"
    )  # What is compiled is known by its file's path.
    if made_for.is_file() and made_for.read_text() == release_id():
        return kept
    link = _site_packages(environment) / _CHECKOUT_LINK
    is_ours = link.is_file() and Path(link.read_text().strip()) == _PACKAGE.parent
    if not (is_ours and os.access(environment, os.W_OK)):
        return None
    _compile_all(kept)
    os.sync()
    files.replace(made_for, release_id(), promise=files.Promise.KILL)
    return kept


def _place_compiled(kept: Path, packages: Path) -> None:
    others = _site_packages(Path(sys.prefix))
    for source, target in ((others, packages), (_PACKAGE, packages / "kumoi")):
        below = kept / source.relative_to("/")
        for code in below.rglob("*.pyc"):
            folder = target / code.parent.relative_to(below)
            if (folder / f"{code.name.split('.')[0]}.py").is_file():
                (folder / _COMPILED).mkdir(exist_ok=True)
                _place(str(code), str(folder / _COMPILED / code.name))


def _compile_all(kept: Path) -> None:
    # Roles and the supervisor read other names of this module.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from kumoi.hosts.units import compiling  # noqa: PLC0415

    def compile_part(part: str) -> None:
        kept_there = f"pycache_prefix={kept}"
        command = [sys.executable, "-P", "-X", kept_there, "-m", compiling.__name__, part]
        where = {"PYTHONPATH": str(_PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": ""}
        process.run(command, env=where, timeout_s=COMPILE_TIMEOUT_S)

    with ThreadPoolExecutor(len(compiling.PARTS)) as parts:
        list(parts.map(compile_part, compiling.PARTS))


def _place(source: str, target: str) -> None:
    """Link a file of a package, since packages are many files that are never edited in place; copy
    one that another user could change.
    """
    status = os.lstat(source)
    is_shared = status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not is_shared and status.st_mode & stat.S_IROTH:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:  # Another file system, or one without links.
            pass
        else:
            return
    shutil.copy2(source, target, follow_symlinks=False)


def _open_to_all(draft: Path) -> None:
    """Let all users read the release: roles run as users of their own, and a checkout may be
    private to its owner.
    """
    for directory, _, names in os.walk(draft):
        Path(directory).chmod(0o755)
        for name in names:
            path = Path(directory) / name
            status = path.lstat()
            if not stat.S_ISLNK(status.st_mode) and not status.st_mode & stat.S_IROTH:
                path.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)


def _remove_old(directory: Path, *, but: Path) -> None:
    others = [path for path in directory.iterdir() if path.is_dir() and path != but]
    newest = sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)
    used = set(_homes_in_use())
    for path in newest[KEPT:]:
        if path not in used:
            shutil.rmtree(path, ignore_errors=True)


def _homes_in_use() -> Iterator[Path]:
    """The directories of the releases, and of other Pythons, that processes run from."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program = line.read_bytes().split(b"\0")[0].decode(errors="replace")
        except OSError:
            continue
        if program.startswith("/"):
            yield Path(program).parent.parent


def _site_packages(prefix: Path) -> Path:
    return prefix / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
