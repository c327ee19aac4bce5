"""A tenant names a server that this machine is to ask: an image's address, a git host. No way to write an address
that is not the internet's leads there, by either of them.
"""

from __future__ import annotations

import socket

import pytest

from kumoi.base.errors import Forbidden, Invalid
from kumoi.cloud.drivers.image import download
from kumoi.pipeline.guarded_http import Guard, place

INTERNAL = (
    "127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost",
    "[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[fec0::1]", "[ff02::1]", "[ff0e::1]", "[100::1]",
    "[::ffff:127.0.0.1]", "[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "[::10.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::10.0.0.1]", "[64:ff9b:1::1.1.1.1]",
    "[2002:7f00:1::1]", "[2002:a00:1::]", "[2002:101:101::1]", "[2001:0:101:101::1]", "[2001:db8::1]",
    "[3fff::1]", "[5f00::1]",
)  # fmt: skip
PUBLIC = ("1.1.1.1", "[2606:4700::1111]", "[::ffff:1.1.1.1]", "[64:ff9b::1.1.1.1]")


@pytest.mark.parametrize("host", INTERNAL)
def test_no_way_to_write_an_internal_address_leads_there(host: str) -> None:
    with pytest.raises(Forbidden, match="is not on the internet"):
        download.look(f"https://{host}/image", [])
    with pytest.raises(Invalid, match="internal address"):
        Guard().addresses(place(f"https://{host}/x.git"))


@pytest.mark.parametrize("host", PUBLIC)
def test_the_internet_is_asked(host: str) -> None:
    assert download.look(f"https://{host}/image", []).port == 443
    assert len(Guard().addresses(place(f"https://{host}/x.git"))) == 1


@pytest.mark.parametrize("inner", ["10.0.0.1", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"])
def test_a_name_with_one_internal_address_among_others_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    answers = [(2, 1, 6, "", (each, 443)) for each in ("1.1.1.1", inner)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: answers)
    with pytest.raises(Forbidden, match="is not on the internet"):
        download.look("https://images.example/image", [])
    with pytest.raises(Invalid, match="internal address"):
        Guard().addresses(place("https://images.example/x.git"))
