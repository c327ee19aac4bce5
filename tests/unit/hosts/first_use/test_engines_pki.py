"""Certificates of the stores' members."""

from __future__ import annotations

from dataclasses import replace

from kumoi.config import CloudSettings, first_host
from kumoi.control_host import ControlHost
from kumoi.hosts.first_use import engines_pki

LISTED = tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 2, 3))
CLOUD = CloudSettings(name="t1", underlay_cidr="10.0.5.0/28", control_hosts=LISTED)


def test_a_members_certificate_names_the_address_of_its_host_and_of_no_other() -> None:
    """Whoever has the key of one is no other member."""
    second = replace(first_host(CLOUD, "/s"), name="t1-host2")
    for subject in engines_pki.subjects(CLOUD, second):
        assert subject.addresses <= {"10.0.5.2"}
