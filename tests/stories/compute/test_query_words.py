"""Which words a query may have: others are passed over until the version in which Nova refuses them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench

from kumoi.cloud.domain.compute import keypair

UNKNOWN = "zzz-nobody"
PAGE = "limit=1"
MOMENT = "2026-01-01T00:00:00Z"
SERVER = "/servers/$server"

REFUSING = (
    ("/flavors", "2.74", "2.75", (PAGE, "is_public=None", "minRam=1", "sort_key=name")),
    ("/flavors/detail", "2.74", "2.75", (PAGE, "minDisk=1", "sort_dir=asc")),
    ("/servers", "2.74", "2.75", (PAGE, "locked_by=owner", "locked=true", "name=x")),
    ("/servers/detail", "2.74", "2.75", (PAGE, "uuid=x", "status=ACTIVE")),
    ("/os-keypairs", "2.74", "2.75", (PAGE, "user_id=$user")),
    ("/os-keypairs/$keypair", "2.74", "2.75", ("user_id=$user",)),
    ("/limits", "2.74", "2.75", ("tenant_id=$project",)),
    ("/os-quota-sets/$project", "2.74", "2.75", ("user_id=$user",)),
    ("/os-quota-sets/$project/detail", "2.74", "2.75", ("user_id=$user",)),
    ("/os-server-groups", "2.74", "2.75", ("all_projects=1", PAGE, "offset=0")),
    ("/os-services", "2.74", "2.75", ("host=host1", "binary=nova-compute")),
    ("/os-simple-tenant-usage", "2.74", "2.75", (PAGE, "detailed=1")),
    ("/os-simple-tenant-usage/$project", "2.74", "2.75", (PAGE, f"start={MOMENT}")),
    (f"{SERVER}/os-volume_attachments", "2.74", "2.75", (PAGE, "offset=0")),
    ("/os-hypervisors", "2.52", "2.53", (PAGE, "with_servers=true")),
    ("/os-hypervisors/detail", "2.52", "2.53", ("hypervisor_hostname_pattern=host",)),
    ("/os-migrations", "2.58", "2.59", (PAGE, "host=host1", f"changes-since={MOMENT}")),
    (f"{SERVER}/os-instance-actions", "2.57", "2.58", (PAGE, f"changes-since={MOMENT}")),
)
LATER = (
    ("/os-migrations", f"changes-before={MOMENT}", "2.65", "2.66"),
    ("/os-migrations", "project_id=x", "2.79", "2.80"),
    ("/os-migrations", "user_id=x", "2.79", "2.80"),
    (f"{SERVER}/os-instance-actions", f"changes-before={MOMENT}", "2.65", "2.66"),
)
"""A word that a list knows only since a version, and refuses before."""
NEVER = (
    "/extensions",
    "/os-aggregates",
    "/os-availability-zone",
    "/os-availability-zone/detail",
    "/os-instance_usage_audit_log",
    "/os-quota-class-sets/default",
    f"{SERVER}/os-interface",
    f"{SERVER}/os-security-groups",
    f"{SERVER}/ips",
)


@pytest.fixture
def keys(admin: Connection) -> Iterator[Any]:
    """A keypair of the administrator, who has it in every project."""
    material = keypair.generate("ssh", "kept")
    yield admin.compute.create_keypair(name="kept", public_key=material.public_key)
    admin.compute.delete_keypair("kept")


@pytest.fixture
def names(bench: Workbench, admin: Connection, keys: Any) -> dict[str, str]:
    return {
        "$server": bench.active().id,
        "$keypair": keys.name,
        "$user": admin.current_user_id,
        "$project": admin.current_project_id,
    }


def status(admin: Connection, names: dict[str, str], text: str, version: str) -> int:
    for name, value in names.items():
        text = text.replace(name, value)
    code: int = admin.compute.get(text, microversion=version).status_code
    return code


def test_a_word_that_is_not_known_is_passed_over_and_then_refused(
    admin: Connection, names: dict[str, str]
) -> None:
    for where, last, first, known in REFUSING:
        asked = f"{where}?{UNKNOWN}=1"
        found = [status(admin, names, asked, version) for version in (last, first, "2.96")]
        assert found == [200, 400, 400], where
        for words in known:
            assert status(admin, names, f"{where}?{words}", first) == 200, (where, words)


def test_a_word_of_a_later_version_is_refused_before_it(
    admin: Connection, names: dict[str, str]
) -> None:
    for where, words, last, first in LATER:
        found = [status(admin, names, f"{where}?{words}", version) for version in (last, first)]
        assert found == [400, 200], (where, words)


def test_what_nova_passes_over_in_every_version_is_passed_over(
    admin: Connection, names: dict[str, str]
) -> None:
    for where in NEVER:
        assert status(admin, names, f"{where}?{UNKNOWN}=1", "2.96") == 200, where


def test_the_words_of_changes_and_deletions_are_looked_at_too(
    admin: Connection, demo: Connection, keys: Any
) -> None:
    quotas = f"/os-quota-sets/{demo.current_project_id}"
    refused = [
        admin.compute.delete(f"/os-keypairs/{keys.name}?{UNKNOWN}=1", microversion="2.75"),
        admin.compute.delete(f"{quotas}?{UNKNOWN}=1", microversion="2.75"),
        admin.compute.put(
            f"{quotas}?{UNKNOWN}=1", json={"quota_set": {"cores": 5}}, microversion="2.75"
        ),
    ]
    assert [answer.status_code for answer in refused] == [400, 400, 400]
    assert admin.compute.find_keypair(keys.name) is not None
    assert admin.compute.get_quota_set(demo.current_project_id).cores != 5


def test_a_hypervisor_is_asked_for_its_servers_and_nothing_else_since_2_53(
    bench: Workbench, admin: Connection
) -> None:
    bench.active()
    (found,) = admin.compute.hypervisors()
    where = f"/os-hypervisors/{found.id}"
    assert admin.compute.get(f"{where}?{UNKNOWN}=1", microversion="2.53").status_code == 400
    shown = admin.compute.get(f"{where}?with_servers=true", microversion="2.53").json()
    assert len(shown["hypervisor"]["servers"]) == 1


def test_servers_are_asked_for_by_their_host_and_not_by_its_hypervisors_name(
    admin: Connection, names: dict[str, str]
) -> None:
    for word, expected in (("host", [200, 200]), ("hypervisor_hostname", [200, 400])):
        asked = f"/servers?{word}=host1"
        found = [status(admin, names, asked, version) for version in ("2.74", "2.75")]
        assert found == expected, word
