"""Who uses a server's ports, from the kernel's tables."""

from __future__ import annotations

from pathlib import Path

from kumoi.cloud.agent import port_use
from kumoi.cloud.agent.port_use import PortUse

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue\n"


def line(local: str, state: str) -> str:
    return f"   0: {local} 0100007F:1234 {state} 00000000:00000000\n"


def test_open_connections_of_watched_ports_are_counted() -> None:
    table = HEAD + "".join(
        [
            line("0100007F:0050", "0A"),  # Listens.
            line("0100007F:0050", "01"),
            line("0100007F:0050", "08"),
            line("0100007F:0050", "06"),  # Has ended, and the kernel remembers it.
            line("0100007F:0051", "01"),  # Nobody watches that port.
        ]
    )
    assert port_use.of_tables([table], {80}) == PortUse(2, (80,))


def test_both_versions_count_and_a_process_that_ended_has_none(tmp_path: Path) -> None:
    net = tmp_path / "7" / "net"
    net.mkdir(parents=True)
    (net / "tcp").write_text(HEAD)
    (net / "tcp6").write_text(HEAD + line("00000000000000000000000000000000:01BB", "0A"))
    assert port_use.of_process(7, {443}, proc=tmp_path) == PortUse(0, (443,))
    assert port_use.of_process(8, {443}, proc=tmp_path) == PortUse()
