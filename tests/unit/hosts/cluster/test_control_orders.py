"""What the first host orders other machines, over real TLS."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kumoi import members
from kumoi.base.errors import Conflict, Permanent, Transient
from kumoi.cloud.hostapi.client import tls_context
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.hosts.cluster import control_orders, order_channel
from kumoi.hosts.cluster.control_orders import (
    ControlListener,
    ControlOrder,
    ControlReport,
    ControlStep,
)
from kumoi.hosts.first_use import pki
from kumoi.hosts.first_use.pki import Authority

NOW = datetime.now(UTC)
NUMBER = os.getpid()
CLOUD = CloudSettings(
    name="t1", underlay_cidr=f"127.{64 + NUMBER % 128}.{NUMBER // 128 % 256}.0/28"
)
NAMES = ("t1-host2", "t1-host3", "t1-host4")
THERE = ControlReport(reached=ControlStep.NONE)
MEMBERS = ControlOrder(id="a", step=ControlStep.MEMBERS, files={"pki/ca.key": b"\x00key"})


@dataclass(frozen=True)
class Ordering:
    """A first host that may order the second and third; the fourth is a host as well."""

    listener: ControlListener
    first: HostSettings
    others: dict[str, HostSettings]

    def ask(self, name: str, report: ControlReport = THERE) -> ControlOrder:
        tls = tls_context(self.others[name].pki_dir, name)
        return control_orders.ask(CLOUD.control_address, tls, report)


def host_with_certificate(authority: Authority, name: str, directory: Path) -> HostSettings:
    host = HostSettings(name=name, state_dir=str(directory / name))
    pki.make_directory(host.pki_dir)
    subject = pki.host_subject(CLOUD.name, name, host.underlay_address)
    pki.ensure_each(host.pki_dir, authority, [subject], NOW)
    (host.pki_dir / "ca.crt").write_bytes((directory / "1/pki/ca.crt").read_bytes())
    return host


def key_of(host: HostSettings) -> str:
    return pki.public_key_sha256(pki.read_certificate(host))


@pytest.fixture
def ordering(tmp_path: Path) -> Iterator[Ordering]:
    first = first_host(CLOUD, str(tmp_path / "1"))
    pki.ensure(CLOUD, first, NOW)
    authority = Authority.of(first.pki_dir)
    assert authority is not None
    others = {name: host_with_certificate(authority, name, tmp_path) for name in NAMES}
    keys = {name: key_of(others[name]) for name in NAMES[:2]}
    listener = ControlListener(CLOUD.name, keys)
    with order_channel.listening(CLOUD, first, listener):
        yield Ordering(listener, first, others)


def test_a_machine_says_how_far_it_is_and_is_told_how_far_to_go(ordering: Ordering) -> None:
    assert ordering.ask("t1-host2").id == ""
    assert set(ordering.listener.heard()) == {"t1-host2"}
    ordering.listener.give(MEMBERS)
    assert ordering.ask("t1-host2") == MEMBERS
    assert ordering.listener.carried_out() == {}
    done = ControlReport(reached=ControlStep.MEMBERS, about="a")
    ordering.ask("t1-host2", done)
    assert ordering.listener.carried_out() == {"t1-host2": done}
    ordering.listener.give(ControlOrder(id="b", step=ControlStep.ROLES))
    assert ordering.listener.carried_out() == {}


def test_a_host_that_is_not_meant_gets_no_keys(ordering: Ordering) -> None:
    ordering.listener.give(MEMBERS)
    with pytest.raises(Conflict, match="t1-host4 is not to have the control plane"):
        ordering.ask("t1-host4")
    assert ordering.listener.heard() == {}


def test_a_certificate_that_its_host_had_before_it_joined_again_gets_none(
    ordering: Ordering, tmp_path: Path
) -> None:
    ordering.listener.give(MEMBERS)
    authority = Authority.of(ordering.first.pki_dir)
    assert authority is not None
    (tmp_path / "again/1/pki").mkdir(parents=True)
    (tmp_path / "again/1/pki/ca.crt").write_bytes((ordering.first.pki_dir / "ca.crt").read_bytes())
    earlier = host_with_certificate(authority, "t1-host2", tmp_path / "again")
    with pytest.raises(Conflict, match="t1-host2 is not to have the control plane"):
        control_orders.ask(CLOUD.control_address, tls_context(earlier.pki_dir, earlier.name), THERE)


def test_another_authoritys_certificate_and_none_at_all_are_refused(
    ordering: Ordering, tmp_path: Path
) -> None:
    stranger = first_host(CLOUD, str(tmp_path / "stranger"))
    pki.ensure(CLOUD, stranger, NOW)
    nobody = ssl.create_default_context(cafile=str(ordering.first.pki_dir / "ca.crt"))
    theirs = ssl.create_default_context(cafile=str(ordering.first.pki_dir / "ca.crt"))
    own = stranger.pki_dir / stranger.name
    theirs.load_cert_chain(own.with_suffix(".crt"), own.with_suffix(".key"))
    for tls in (nobody, theirs):
        with pytest.raises(Transient):
            control_orders.ask(CLOUD.control_address, tls, THERE)
    assert ordering.listener.heard() == {}


def test_who_answers_without_the_authoritys_certificate_is_not_believed(
    ordering: Ordering, tmp_path: Path
) -> None:
    other = ordering.others["t1-host2"]
    stranger = first_host(CLOUD, str(tmp_path / "stranger"))
    pki.ensure(CLOUD, stranger, NOW)
    (other.pki_dir / "ca.crt").write_bytes((stranger.pki_dir / "ca.crt").read_bytes())
    with pytest.raises(Transient):
        ordering.ask("t1-host2")


def test_who_sends_no_line_keeps_nobody_waiting(ordering: Ordering) -> None:
    where = (CLOUD.control_address, members.ORDERS_PORT)
    with contextlib.ExitStack() as opened:
        for _ in range(order_channel.CALLERS_MAX - 2):
            opened.enter_context(socket.create_connection(where))
        with socket.create_connection(where) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert ordering.ask("t1-host3").id == ""


def test_two_commands_do_not_order_at_once(ordering: Ordering) -> None:
    with (
        pytest.raises(Permanent, match="port 8011"),
        order_channel.listening(CLOUD, ordering.first, ordering.listener),
    ):
        pass
