"""What each role may: it runs as its own user with no rights, and reaches its own files only."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import sys
import textwrap
from pathlib import Path

import pytest
from tests.system.live import LiveCloud

from kumoi import config
from kumoi.base.process import run
from kumoi.cloud.drivers.instance.lxc.config import OOM_SCORE as OOM_OF_SERVERS
from kumoi.config import CloudSettings, HostSettings, Role, first_host
from kumoi.hosts.units import confinement, launch, ownership, rights, running, users

CAP_SYS_RESOURCE = 24

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PROBE = """
    import errno, json, os, sys

    REFUSED = (errno.EACCES, errno.EPERM, errno.EXDEV, errno.ENXIO)

    def works(attempt):
        try:
            attempt()
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            return False
        return True

    def entry_made(path):
        os.mkdir(f"{path}/probe-of-a-test")
        os.rmdir(f"{path}/probe-of-a-test")

    def reached(path):
        if os.path.isdir(path):
            ways = (("r", lambda: os.listdir(path)), ("w", lambda: entry_made(path)))
        else:
            ways = (
                ("r", lambda: os.close(os.open(path, os.O_RDONLY))),
                ("w", lambda: os.close(os.open(path, os.O_WRONLY))),
            )
        return "".join(letter for letter, attempt in ways if works(attempt))

    print(json.dumps({path: reached(path) for path in sys.argv[1:]}))
"""

UNITS = (
    "inspector",
    "api",
    "worker",
    "repositories",
    "pipeline",
    "ovnnb-db",
    "ovnsb-db",
    "ovn-northd",
    "ovs-db",
    "ovs-vswitchd",
    "ovn-controller",
)

# What each may read and write, in the order of UNITS.
GOLDEN = """
cloud.toml                  -  -  -  -  -  -  -  -  -  -  -
host.toml                   -  -  -  -  -  -  -  -  -  -  -
settings/inspector          r  -  -  -  -  -  -  -  -  -  -
settings/api                -  r  -  -  -  -  -  -  -  -  -
settings/worker             -  -  r  -  -  -  -  -  -  -  -
settings/repositories       -  -  -  r  -  -  -  -  -  -  -
settings/pipeline           -  -  -  -  r  -  -  -  -  -  -
cloud                       -  rw rw -  -  -  -  -  -  -  -
cloud/cloud.db              -  rw rw -  -  -  -  -  -  -  -
images                      -  rw rw -  -  -  -  -  -  -  -
images/.lock                -  rw rw -  -  -  -  -  -  -  -
pipeline                    -  -  -  -  rw -  -  -  -  -  -
pipeline/pipeline.db        -  -  -  -  rw -  -  -  -  -  -
git                         -  -  -  rw -  -  -  -  -  -  -
git-spool                   -  -  -  -  rw -  -  -  -  -  -
git-hooks                   -  -  -  rw -  -  -  -  -  -  -
passwords                   -  -  -  -  -  -  -  -  -  -  -
passwords/admin             -  -  -  -  -  -  -  -  -  -  -
pki                         -  -  -  -  -  -  -  -  -  -  -
pki/ca.crt                  -  r  -  -  r  -  -  -  -  -  -
pki/ca.key                  -  -  -  -  -  -  -  -  -  -  -
pki/api.key                 -  r  -  -  -  -  -  -  -  -  -
pki/pipeline.key            -  -  -  -  r  -  -  -  -  -  -
pki/token-keys              -  rw -  -  -  -  -  -  -  -  -
pki/token-keys/first.json   -  rw -  -  -  -  -  -  -  -  -
host                        -  -  -  -  -  -  -  -  -  -  -
log                         -  -  -  -  -  -  -  -  -  -  -
log/api.log                 -  -  -  -  -  -  -  -  -  -  -
ovn                         -  -  -  -  -  rw rw -  -  -  -
ovn/ovnnb_db.db             -  -  -  -  -  rw -  -  -  -  -
ovn/ovnsb_db.db             -  -  -  -  -  -  rw -  -  -  -
ovs                         -  -  -  -  -  -  -  -  rw -  -
ovs/conf.db                 -  -  -  -  -  -  -  -  rw -  -
run                         -  -  -  -  -  -  -  -  -  -  -
run/status.json             -  -  -  -  -  -  -  -  -  -  -
run/inspector               rw -  -  -  -  -  -  -  -  -  -
run/repositories            -  -  -  rw -  -  -  -  -  -  -
run/pipeline                -  -  -  -  rw -  -  -  -  -  -
run/ovnnb-db                -  -  -  -  -  rw -  -  -  -  -
run/ovs                     -  -  -  -  -  -  -  -  -  rw -
run/ovn-controller          -  -  -  -  -  -  -  -  -  -  rw
releases                    -  -  -  -  -  -  -  -  -  -  -
/etc/shadow                 -  -  -  -  -  -  -  -  -  -  -
/etc                        r  r  r  r  r  r  r  r  r  r  r
/root                       -  -  -  -  -  -  -  -  -  -  -
/var/tmp                    -  -  -  -  -  -  -  -  -  -  -
/tmp                        -  -  -  -  -  rw rw -  rw -  -
/dev/net/tun                -  -  -  -  -  -  -  -  -  rw -
"""

ATTEMPTS = """
    import ctypes, errno, json, os, socket, subprocess

    libc = ctypes.CDLL(None, use_errno=True)

    def call(name, *args):
        if getattr(libc, name)(*args) < 0:
            raise OSError(ctypes.get_errno(), name)

    def new_user_namespace_by_clone():
        if libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0) == 0:
            os._exit(0)
        if ctypes.get_errno():
            raise OSError(ctypes.get_errno(), "clone")

    attempts = {
        "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
        "unshare": lambda: call("unshare", 0x10000000),
        "clone": new_user_namespace_by_clone,
        "clone3": lambda: call("syscall", 435, None, 0),
        "ptrace": lambda: call("ptrace", 16, os.getppid(), 0, 0),
        "signal": lambda: os.kill(1, 0),
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
        "vsock": lambda: socket.socket(40, socket.SOCK_STREAM),
        "bpf": lambda: call("syscall", 321, 0, None, 0),
        "io_uring": lambda: call("syscall", 425, 1, None),
        "keyctl": lambda: call("syscall", 250, 0, 0, 0),
        "program": lambda: subprocess.run(["/bin/true"], check=True),
        "setuid": lambda: os.setuid(0),
    }
    done = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except (OSError, subprocess.SubprocessError) as error:
            if getattr(error, "errno", None) not in (
                errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAFNOSUPPORT
            ):
                raise
        else:
            done.append(name)
    print(json.dumps(done))
"""


def test_a_unit_is_its_own_user_in_its_own_groups_without_a_way_to_more(live: LiveCloud) -> None:
    for unit in UNITS:
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{live.pid(unit)}/status").read_text().splitlines()
            if ":\t" in line
        )
        row = rights.of_unit(live.config, live.here, unit)
        uid = pwd.getpwnam(f"{live.config.name}-{unit}").pw_uid
        assert status["Uid"].split() == [str(uid)] * 4
        assert uid != 0
        groups = {str(grp.getgrnam(name).gr_gid) for name in row.groups}
        assert set(status["Groups"].split()) == groups
        assert status["NoNewPrivs"] == "1"
        assert Path(f"/proc/{live.pid(unit)}/cwd").readlink() == Path("/")
        assert status["Seccomp"] == "2"
        held = sum(1 << launch.CAPABILITIES[name] for name in row.capabilities)
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == held, (unit, kind)


def test_what_is_root_asks_nothing_of_the_kernel_that_no_server_may(live: LiveCloud) -> None:
    here = {one.name: one.pid for one in running.found(live.here.state_dir)}
    for name in (running.SUPERVISOR, running.GUARD, "agent"):
        status = Path(f"/proc/{here[name]}/status").read_text()
        assert "Seccomp:\t2" in status, name
        assert "NoNewPrivs:\t0" in status, name  # Or no sudo would work in a server.


def test_a_unit_reaches_its_own_files_and_no_others(live: LiveCloud) -> None:
    names = [line.split()[0] for line in GOLDEN.split("\n") if line]
    reached = {unit: _probed(live, unit, names) for unit in UNITS}
    shown = []
    for name in names:
        cells = [reached[unit][name] or "-" for unit in UNITS]
        shown.append(f"{name:<27} {' '.join(f'{cell:<2}' for cell in cells)}".rstrip())
    assert "\n".join(shown) == GOLDEN.strip("\n")


def test_a_unit_is_refused_what_nobody_needs(live: LiveCloud) -> None:
    done = {
        unit: json.loads(run(_as(live, unit, "-c", textwrap.dedent(ATTEMPTS))).out)
        for unit in UNITS
    }
    assert done.pop("repositories") == ["program"]
    assert done.pop("ovs-vswitchd") == ["raw socket", "packet socket"]
    assert done == {unit: [] for unit in done}


def test_only_the_worker_may_write_to_ovn(live: LiveCloud) -> None:
    socket = Path(live.here.northbound_remote.removeprefix("unix:"))
    ask = f"import socket; socket.socket(socket.AF_UNIX).connect({str(socket)!r})"
    for role in users.roles_here(live.config, live.here):
        done = run(_as(live, role, "-c", ask), check=False)
        assert (done.status == 0) == (role is Role.WORKER), done.err


def test_users_go_with_their_cloud_and_are_nobody_elses(tmp_path: Path) -> None:
    cloud = CloudSettings(name="kuser")
    here = first_host(cloud, str(tmp_path))
    users.remove(here)
    try:
        users.ensure(cloud, here)
        users.ensure(cloud, here)
        uid = pwd.getpwnam("kuser-worker").pw_uid
        assert users.is_unit_of(str(tmp_path), "worker", uid)
        assert not users.is_unit_of(str(tmp_path), "api", uid)
        assert not users.is_unit_of("/elsewhere", "worker", uid)
    finally:
        users.remove(here)
    assert not [entry for entry in pwd.getpwall() if entry.pw_name.startswith("kuser-")]


def test_what_an_earlier_layout_or_a_restore_left_is_given_to_its_roles(tmp_path: Path) -> None:
    """Root owned all of it, and the stores were beside the settings."""
    cloud = CloudSettings(name="kuser", pipeline_database_url="postgresql://secret")
    here = first_host(cloud, str(tmp_path))
    _earlier(cloud, here)
    users.ensure(cloud, here)
    try:
        assert ownership.is_earlier(here)
        ownership.ensure(cloud, here)
        assert not ownership.is_earlier(here)
        pipeline, api = pwd.getpwnam("kuser-pipeline"), pwd.getpwnam("kuser-api")
        repositories = pwd.getpwnam("kuser-repositories")
        assert _owner(here.state / "git/project/app.git/config") == (repositories.pw_uid, 0o600)
        assert _owner(here.pipeline_dir / "pipeline.db") == (pipeline.pw_uid, 0o600)
        assert _owner(here.store_dir / "cloud.db-wal") == (0, 0o660)
        assert (here.store_dir / "cloud.db-wal").stat().st_gid == api.pw_gid
        assert _owner(here.pki_dir / "token-keys/first.json") == (api.pw_uid, 0o600)
        text = (rights.settings_dir(here, Role.API) / "cloud.toml").read_text()
        assert "secret" not in text
        assert "secret" in (rights.settings_dir(here, Role.PIPELINE) / "cloud.toml").read_text()
    finally:
        users.remove(here)


def _earlier(cloud: CloudSettings, here: HostSettings) -> None:
    for name in ("git/project/app.git/config", "pki/token-keys/first.json", "cloud.db",
                 "cloud.db-wal", "pipeline.db"):  # fmt: skip
        path = here.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    here.wake_dir.mkdir(parents=True)
    config.write(cloud, here.state)
    config.write(here, here.state)


def _owner(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_uid, status.st_mode & 0o777


def _probed(live: LiveCloud, unit: str, names: list[str]) -> dict[str, str]:
    state = live.here.state
    answer = run(
        _as(live, unit, "-c", textwrap.dedent(PROBE), *(str(state / name) for name in names))
    )
    reached = json.loads(answer.out)
    return {name: reached[str(state / name)] for name in names}


def _as(live: LiveCloud, unit: str, *words: str) -> list[str]:
    """Python as the unit, by the very program that starts the unit, held to what the unit is."""
    confined = rights.of_unit(live.config, live.here, unit)
    python = str(live.here.release_dir / live.release() / "bin" / Path(sys.executable).name)
    return [*confinement.launched(confined, [python, "-I", *words], python=python)]


def test_the_machine_out_of_memory_ends_what_reads_files_first_and_then_servers(
    live: LiveCloud,
) -> None:
    pids = {unit: live.pid(unit) for unit in (*UNITS, "agent")}
    for marked in running.found(live.here.state_dir):  # The supervisor and its guard as well.
        pids[marked.name] = marked.pid
    assert {"supervisor", "guard"} <= set(pids)
    scores = {
        unit: int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for unit, pid in pids.items()
    }
    # In a container root may lack the right to ask for it; servers are raised everywhere.
    effective = re.search(r"CapEff:\s+(\w+)", Path("/proc/self/status").read_text())
    assert effective
    may_lower = int(effective[1], 16) >> CAP_SYS_RESOURCE & 1
    wanted = dict.fromkeys(pids, launch.OOM_OF_UNITS if may_lower else 0)
    # Small themselves; what they fork, a git on what a tenant pushed, has what they have.
    readers = dict.fromkeys(("repositories", "inspector"), launch.OOM_OF_HELPERS)
    assert scores == wanted | readers
    assert OOM_OF_SERVERS < launch.OOM_OF_HELPERS
