"""What can be known of a file by looking at the folder that it is in."""

from __future__ import annotations

from pathlib import Path

from kumoi.cli.env_check import file_faults
from kumoi.pipeline.environment import parse

FILE = """
servers:
  web: {image: debian-12, flavor: small}
configure:
  - {ansible: deploy/site.yml}
  - {on: web, run: ./deploy/web.sh --fast}
  - {on: web, run: "./deploy/$KUMOI_GROUP.sh"}
  - {on: web, run: apt-get update}
verify:
  - {serverspec: spec/, on: web}
  - {run: ./smoke.sh}
"""


def test_what_a_step_or_check_names_and_is_not_there_is_told_with_its_key(tmp_path: Path) -> None:
    wanted = parse(FILE).base
    assert list(file_faults(wanted, tmp_path)) == [
        "there is no playbook deploy/site.yml (configure.0.ansible)",
        "there is no script ./deploy/web.sh (configure.1.run)",
        "there is no spec/ (verify.0.serverspec)",
        "there is no script ./smoke.sh (verify.1.run)",
    ]
    (tmp_path / "deploy").mkdir()
    (tmp_path / "spec").mkdir()
    for name in ("deploy/site.yml", "deploy/web.sh", "smoke.sh"):
        (tmp_path / name).touch(mode=0o755)
    assert list(file_faults(wanted, tmp_path)) == []
    (tmp_path / "smoke.sh").chmod(0o644)
    assert list(file_faults(wanted, tmp_path)) == [
        "./smoke.sh is not executable: chmod +x ./smoke.sh (verify.1.run)"
    ]
