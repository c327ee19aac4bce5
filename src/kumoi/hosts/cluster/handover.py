"""Another member of PostgreSQL takes the lead, before its leader's processes are replaced.

Patroni does it: the leader stops taking writes, a follower that has all of them leads. Writes wait meanwhile,
3 s at most as measured (design note 0027). Called by `kumoi upgrade`, as root.
"""

from __future__ import annotations

import ssl

import httpx

from kumoi import members
from kumoi.base.errors import Permanent
from kumoi.config import CloudSettings, HostSettings

TIMEOUT_S = 30.0


def hand_over(cloud: CloudSettings, host: HostSettings) -> None:
    """From the member on this host, which leads, to whichever follower Patroni takes. Raises Permanent when
    it refuses.
    """
    key, certificate, authority = members.certificate(host, members.PATRONI)
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(certificate, key)
    address = members.own(cloud, host).address
    url = f"https://{address}:{members.PATRONI_PORT}/switchover"
    try:
        answer = httpx.post(url, json={"leader": host.name}, verify=context, timeout=TIMEOUT_S)
    except httpx.HTTPError as cause:
        raise Permanent(f"ask Patroni on {host.name} for another leader") from cause
    if answer.status_code != httpx.codes.OK:
        raise Permanent(f"Patroni on {host.name} keeps the lead: {answer.text.strip()}")
