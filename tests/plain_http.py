"""Requests by plain HTTP, to a cloud of the tests on loopback."""

from __future__ import annotations

import ssl

PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody. httpx reads the machine's authorities for each client that is given no context: 20 ms."""
