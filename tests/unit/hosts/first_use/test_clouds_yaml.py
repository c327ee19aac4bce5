"""A person's clouds.yaml: ours in, theirs kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from kumoi.base.errors import Invalid
from kumoi.base.secret import Secret
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import clouds_yaml
from kumoi.hosts.first_use.clouds_yaml import Person

CLOUD = CloudSettings(name="t1")
HOST = HostSettings(state_dir="/s")
THEIRS: dict[str, Any] = {
    "clouds": {"work": {"auth": {"auth_url": "https://w"}}, "home": {}},
    "cache": {"a": 1},
}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path, os.getuid(), os.getgid())


def entries() -> dict[str, dict[str, Any]]:
    return clouds_yaml.entries(CLOUD, HOST, admin_password=Secret("a"), demo_password=Secret("d"))


def write(person: Person, text: str) -> None:
    person.file.parent.mkdir(parents=True)
    person.file.write_text(text)


def test_a_new_file_is_for_its_person_only(person: Person) -> None:
    assert clouds_yaml.write(person, entries())
    assert stat.S_IMODE(person.file.stat().st_mode) == 0o600
    clouds = yaml.safe_load(person.file.read_text())["clouds"]
    assert list(clouds) == ["t1", "t1-admin"]
    assert clouds["t1"]["auth"]["username"] == "demo"
    assert clouds["t1-admin"]["auth"]["username"] == "admin"
    assert clouds["t1"]["cacert"] == "/s/pki/ca.crt"


def test_what_else_is_there_stays_in_its_order(person: Person) -> None:
    write(person, yaml.safe_dump(THEIRS, sort_keys=False))
    clouds_yaml.write(person, entries())
    document = yaml.safe_load(person.file.read_text())
    assert list(document) == ["clouds", "cache"]
    assert list(document["clouds"]) == ["work", "home", "t1", "t1-admin"]
    assert document["clouds"]["work"] == THEIRS["clouds"]["work"]


def test_writing_the_same_again_does_not_touch_the_file(person: Person) -> None:
    clouds_yaml.write(person, entries())
    before = person.file.stat().st_ino
    assert not clouds_yaml.write(person, entries())
    assert person.file.stat().st_ino == before


def test_removing_leaves_theirs_and_nothing_empty(person: Person) -> None:
    write(person, yaml.safe_dump(THEIRS, sort_keys=False))
    clouds_yaml.write(person, entries())
    clouds_yaml.remove(person, CLOUD)
    assert yaml.safe_load(person.file.read_text()) == THEIRS
    person.file.unlink()
    clouds_yaml.write(person, entries())
    clouds_yaml.remove(person, CLOUD)
    assert not person.file.parent.exists()
    clouds_yaml.write(person, entries())
    secure = person.file.with_name("secure.yaml")
    secure.touch()
    clouds_yaml.remove(person, CLOUD)
    assert not person.file.exists()
    assert secure.exists()


@pytest.mark.parametrize("text", ["clouds: [", "- a\n- b\n", "clouds: 3\n", "\tx"])
def test_a_file_that_is_not_one_is_refused_and_kept(person: Person, text: str) -> None:
    write(person, text)
    with pytest.raises(Invalid, match=r"clouds\.yaml"):
        clouds_yaml.write(person, entries())
    assert person.file.read_text() == text
