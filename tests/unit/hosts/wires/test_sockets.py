"""What is read from the kernel's list of sockets."""

from __future__ import annotations

import os
import pwd
import socket

import pytest

from kumoi.config import HostSettings
from kumoi.hosts.wires import sockets
from kumoi.members import PATRONI

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid timeout inode"
TCP = f"""{HEAD}
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 11 1 0 100 0 0 10 0
   1: 0104CE0A:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 12 1 0 100 0 0 10 0
   2: 0104CE0A:1388 0104CE0A:D2F0 01 00000000:00000000 00:00000000 00000000  0  0 13 1 0 100 0 0 10 0
"""
TCP6 = f"""{HEAD}
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 14 1
   1: 00000000000000000000000001000000:0019 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 15 1
"""
UDP = f"""{HEAD}
   0: 00000000:17C1 00000000:0000 07 00000000:00000000 00:00000000 00000000  0  0 16 2 0 0
   1: 0104CE0A:9999 0204CE0A:0035 01 00000000:00000000 00:00000000 00000000  0  0 17 2 0 0
"""


def test_only_what_waits_for_others_listens() -> None:
    found = sockets.parse({"tcp": TCP, "tcp6": TCP6, "udp": UDP})
    assert [(item.protocol, item.address, item.port, item.inode) for item in found] == [
        ("tcp", "::", 22, 14),
        ("tcp", "::1", 25, 15),
        ("tcp", "10.206.4.1", 5000, 12),
        ("tcp", "127.0.0.1", 8080, 11),
        ("udp", "0.0.0.0", 6081, 16),
    ]
    assert [item.is_loopback for item in found] == [False, True, False, True, False]
    assert [item.is_any for item in found] == [True, False, False, False, True]


def test_a_listener_is_told_with_its_process() -> None:
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        port = mine.getsockname()[1]
        found = sockets.of_machine(HostSettings(name="nobody", state_dir="/nowhere"))
    (listener,) = [item for item in found if item.bound.port == port and item.bound.is_loopback]
    assert (listener.pid, listener.unit) == (os.getpid(), None)


def test_what_a_units_user_runs_is_the_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL was shown as another's: it leads a session of its own."""
    me = pwd.getpwuid(os.getuid())
    entry = pwd.struct_passwd((f"t1-{PATRONI}", *me[1:5], "/somewhere", me[6]))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        for state_dir, unit in (("/somewhere", PATRONI), ("/elsewhere", None)):
            found = sockets.of_machine(HostSettings(name="nobody", state_dir=state_dir))
            assert [item.unit for item in found if item.bound.port == port] == [unit]


def test_without_a_virtual_host_nothing_listens_in_it() -> None:
    nobody = HostSettings(name="nobody", state_dir="/nowhere")
    assert sockets.inside(nobody.name, nobody) == []
    assert sockets.inside(nobody.control_namespace, nobody) == []


def test_tunnels_are_told_by_the_switch() -> None:
    ports = "Listening ports:\ngenev_sys_6081 (6081) ref_cnt=1\nvxlan_sys_4789 (4789) ref_cnt=2\n"
    assert sockets.tunnel_ports(ports) == [4789, 6081]
    assert sockets.tunnel_ports("Listening ports:\n") == []
