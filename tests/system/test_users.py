"""What each role may: it runs as its own user with no rights, and reaches its own files only."""

from __future__ import annotations

import json
import os
import pwd
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.system.live import LiveCloud

from kumoi import config
from kumoi.base.process import run
from kumoi.config import CloudSettings, HostSettings, Role, first_host
from kumoi.hosts.units import launch, ownership, rights, users

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PROBE = """
    import json, os, sys

    def reached(path):
        if os.path.isdir(path):
            return "".join(
                letter for letter, mode in (("r", os.R_OK), ("w", os.W_OK)) if os.access(path, mode)
            )
        can = ""
        for letter, flags in (("r", os.O_RDONLY), ("w", os.O_WRONLY)):
            try:
                os.close(os.open(path, flags))
                can += letter
            except PermissionError:
                pass
        return can

    print(json.dumps({path: reached(path) for path in sys.argv[1:]}))
"""

# What API, worker and pipeline may read and write.
GOLDEN = """
cloud.toml                  -  -  -
host.toml                   -  -  -
settings/api                r  r  -
settings/worker             r  r  -
settings/pipeline           -  -  r
cloud                       rw rw -
cloud/cloud.db              rw rw -
images                      rw rw -
images/.lock                rw rw -
pipeline                    -  -  rw
pipeline/pipeline.db        -  -  rw
git                         -  -  rw
git-spool                   -  -  rw
git-hooks                   -  -  rw
passwords                   -  -  -
passwords/admin             -  -  -
pki                         r  r  r
pki/ca.crt                  r  r  r
pki/ca.key                  -  -  -
pki/api.key                 rw -  -
pki/pipeline.key            -  -  rw
pki/token-keys              rw -  -
pki/token-keys/first.json   rw -  -
host                        -  -  -
log                         -  -  -
log/api.log                 -  -  -
ovn                         -  -  -
ovs                         -  -  -
run                         -  -  -
releases                    r  r  r
"""


def test_a_role_is_its_own_user_without_capabilities_groups_or_a_way_to_more(
    live: LiveCloud,
) -> None:
    for role in users.CONFINED:
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{live.pid(role)}/status").read_text().splitlines()
            if ":\t" in line
        )
        uid = pwd.getpwnam(f"{live.config.name}-{role}").pw_uid
        assert status["Uid"].split() == [str(uid)] * 4
        assert uid != 0
        assert status["Groups"].strip() == ""
        assert status["NoNewPrivs"] == "1"
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == 0, (role, kind)


def test_a_role_reaches_its_own_files_and_no_others(live: LiveCloud) -> None:
    names = [line.split()[0] for line in GOLDEN.split("\n") if line]
    reached = {role: _probed(live, role, names) for role in users.CONFINED}
    shown = []
    for name in names:
        cells = [reached[role][name] or "-" for role in users.CONFINED]
        shown.append(f"{name:<27} {cells[0]:<2} {cells[1]:<2} {cells[2]}")
    assert "\n".join(shown) == GOLDEN.strip("\n")


def test_only_the_worker_may_write_to_ovn(live: LiveCloud) -> None:
    socket = Path(live.here.northbound_remote.removeprefix("unix:"))
    ask = f"import socket; socket.socket(socket.AF_UNIX).connect({str(socket)!r})"
    for role in users.CONFINED:
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
    assert not [one for one in pwd.getpwall() if one.pw_name.startswith("kuser-")]


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
        assert _owner(here.state / "git/project/app.git/config") == (pipeline.pw_uid, 0o600)
        assert _owner(here.pipeline_dir / "pipeline.db") == (pipeline.pw_uid, 0o600)
        assert _owner(here.store_dir / "cloud.db-wal") == (0, 0o660)
        assert (here.store_dir / "cloud.db-wal").stat().st_gid == api.pw_gid
        assert _owner(here.pki_dir / "token-keys/first.json") == (api.pw_uid, 0o600)
        told = (rights.settings_dir(here, Role.API) / "cloud.toml").read_text()
        assert "secret" not in told
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


def _probed(live: LiveCloud, role: Role, names: list[str]) -> dict[str, str]:
    state = live.here.state
    told = run(
        _as(live, role, "-c", textwrap.dedent(PROBE), *(str(state / name) for name in names))
    )
    reached = json.loads(told.out)
    return {name: reached[str(state / name)] for name in names}


def _as(live: LiveCloud, role: Role, *words: str) -> list[str]:
    """Python as the role, by the very program that starts the role."""
    confined = rights.of_unit(live.config, live.here, role)
    python = str(live.here.release_dir / live.release() / "bin" / Path(sys.executable).name)
    told = json.dumps({"confined": asdict(confined), "namespace": "", "variables": []})
    return [python, "-I", "-m", launch.__name__, told, python, "-I", *words]
