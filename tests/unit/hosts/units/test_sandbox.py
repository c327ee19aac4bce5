"""What holds a unit: the paths that its row leaves it, and what the kernel then refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kumoi.hosts.units import landlock, sandbox, syscalls
from kumoi.hosts.units.confinement import INET, UNIX, Confinement
from kumoi.hosts.units.landlock import DEVICE, READ, WRITE, Access

NEEDS_LANDLOCK = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


def row(**more: object) -> Confinement:
    return Confinement("nobody", "nogroup", **more)  # type: ignore[arg-type]


def test_an_older_kernel_is_asked_for_no_more_than_it_knows() -> None:
    assert not landlock.known(2) & (Access.TRUNCATE | Access.IOCTL_DEV)
    assert landlock.known(2) & Access.REFER
    assert landlock.known(3) & ~landlock.known(2) == Access.TRUNCATE
    assert landlock.known(5) & ~landlock.known(4) == Access.IOCTL_DEV
    assert landlock.known(99) == landlock.known(5)


def test_a_unit_writes_its_own_directories_and_no_part_of_the_system(tmp_path: Path) -> None:
    paths = sandbox.paths_of(row(writes=(str(tmp_path),)), sys.executable)
    assert paths[str(tmp_path)] == WRITE
    writers = {path for path, access in paths.items() if access & Access.WRITE_FILE}
    assert writers == {str(tmp_path), *sandbox.DEVICES}
    assert not any(access & Access.MAKE_BLOCK for access in paths.values())


def test_a_file_is_reached_by_its_directory_as_it_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "api.key").touch()
    paths = sandbox.paths_of(row(reads=(str(tmp_path / "api.key"),)), sys.executable)
    assert paths[str(tmp_path)] == Access.READ_FILE


def test_a_device_is_opened_and_controlled_but_nothing_is_made_beside_it() -> None:
    paths = sandbox.paths_of(row(writes=("/dev/null",)), sys.executable)
    assert paths["/dev/null"] == DEVICE
    assert "/dev" not in paths


def test_what_starts_no_programs_executes_its_own_and_the_loader_only(tmp_path: Path) -> None:
    program = Path(sys.executable).resolve()
    paths = sandbox.paths_of(row(), str(program))
    executed = {Path(path) for path, access in paths.items() if access & Access.EXECUTE}
    assert program in executed
    assert all("ld-linux" in path.name for path in executed - {program})
    free = sandbox.paths_of(row(starts_programs=True), str(program))
    assert free["/usr"] == READ | Access.EXECUTE


ATTEMPT = """
    import ctypes, json, os, socket, subprocess, sys
    from pathlib import Path
    from kumoi.hosts.units import sandbox
    from kumoi.hosts.units.confinement import Confinement

    BEFORE
    row = Confinement(**json.loads(sys.argv[1]))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    sandbox.apply(row, sys.executable)
    own, other = Path(row.state), Path(sys.argv[2])

    def call(number, *args):
        if libc.syscall(number, *args) < 0:
            raise OSError(ctypes.get_errno(), "refused")

    def new_namespace():
        if libc.unshare(0x10000000) < 0:
            raise OSError(ctypes.get_errno(), "refused")

    attempts = {
        "write own": lambda: (own / "a").write_text("x"),
        "rename own": lambda: (own / "a").rename(own / "b"),
        "write other": lambda: (other / "a").write_text("x"),
        "read other": lambda: (other / "there").read_text(),
        "link other": lambda: os.link(other / "there", own / "c"),
        "unix": lambda: socket.socketpair(),
        "inet": lambda: socket.socket(socket.AF_INET),
        "packet": lambda: socket.socket(socket.AF_PACKET),
        "thread": lambda: __import__("threading").Thread(target=int).start(),
        "fork": lambda: os._exit(0) if (child := os.fork()) == 0 else os.waitpid(child, 0),
        "program": lambda: subprocess.run(["/bin/true"], check=True),
        "namespace": new_namespace,
        "trace": lambda: call(101, 0, 0, 0, 0),
        "signal": lambda: os.kill(os.getppid(), 0),
    }
    done = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        done.append(name)
    print(json.dumps(done))
"""


def attempt(tmp_path: Path, before: str = "", **more: object) -> list[str]:
    """What succeeded in a process that may write one directory and not the other. `before` is a
    statement of it.
    """
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "there").write_text("secret")
    fields = {"user": "", "group": "", "state": str(own), "writes": [str(own)], **more}
    source = str(Path(sandbox.__file__).parents[3])
    program = textwrap.dedent(ATTEMPT).replace("BEFORE", before)
    argv = [sys.executable, "-c", program, json.dumps(fields), str(other)]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={"PYTHONPATH": source}
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@NEEDS_LANDLOCK
def test_a_held_process_keeps_to_its_own_and_goes_on_to_work(tmp_path: Path) -> None:
    assert attempt(tmp_path) == ["write own", "rename own", "unix", "thread", "fork"]


@NEEDS_LANDLOCK
def test_what_a_row_leaves_works(tmp_path: Path) -> None:
    done = attempt(tmp_path, starts_programs=True, families=[UNIX, INET])
    assert set(done) >= {"inet", "program"}
    assert not set(done) & {"write other", "read other", "namespace", "trace", "packet"}


def test_where_the_kernel_has_no_landlock_the_other_walls_stand(tmp_path: Path) -> None:
    """Told by a kernel that has it switched off: the calls are still refused."""
    done = attempt(tmp_path, "sandbox.landlock.version = lambda: 0")
    assert "read other" in done
    assert not set(done) & {"inet", "namespace", "trace"}


def test_landlock_that_is_there_and_refuses_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **_scopes: object) -> None:
        raise OSError(7, "too many layers")

    monkeypatch.setattr(landlock, "version", lambda: 7)
    monkeypatch.setattr(landlock, "restrict", fails)
    monkeypatch.setattr(sandbox, "limit", lambda _row: None)
    monkeypatch.setattr(syscalls, "Filter", fails)
    with pytest.raises(OSError, match="too many layers"):
        sandbox.apply(row(state=str(tmp_path)), sys.executable)
