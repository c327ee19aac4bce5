"""Names and domains of DNS, as attributes of networks, ports and floating IPs: checked, kept and shown.

No server of this cloud answers them. Each check raises Invalid, which names the attribute.
"""

from __future__ import annotations

import re

from kumoi.base.errors import Invalid
from kumoi.cloud.api.network import shapes

CLOUD_DOMAIN = "cloud.internal."
"""Of ports whose network has no domain of its own."""
FQDN_MAX = 255
_LABEL = re.compile(r"[a-z0-9-]{1,63}")


def name(field: str, text: str) -> str:
    """A port's, in lower case: relative to a domain, or whole and within the cloud's."""
    lowered = _checked(field, text)
    if lowered.endswith("."):
        if not lowered.endswith(f".{CLOUD_DOMAIN}"):
            raise _unfit(field, text, f"a name that ends in a dot is one within {CLOUD_DOMAIN}")
    elif len(lowered) + 1 + len(CLOUD_DOMAIN) > FQDN_MAX:
        raise _unfit(field, text, f"with {CLOUD_DOMAIN} it is longer than {FQDN_MAX} characters")
    return lowered


def relative_name(field: str, text: str) -> str:
    """A floating IP's, in lower case."""
    lowered = _checked(field, text)
    if lowered.endswith("."):
        raise _unfit(field, text, "it is a FQDN, and should be a relative domain name")
    if len(lowered) > FQDN_MAX - 3:
        raise _unfit(field, text, f"with a domain it is longer than {FQDN_MAX} characters")
    return lowered


def domain(field: str, text: str) -> str:
    """In lower case. It ends in a dot, or is empty."""
    lowered = _checked(field, text)
    if lowered and not lowered.endswith("."):
        raise _unfit(field, text, "it is not a FQDN: it does not end in a dot")
    if len(lowered) > FQDN_MAX - 2:
        raise _unfit(field, text, f"with a name it is longer than {FQDN_MAX} characters")
    return lowered


def assignment(name: str, address: str, network_domain: str) -> dict[str, str]:
    """What an address of a port is called: by the port's name, or else by the address."""
    host = name or f"host-{address.replace('.', '-').replace(':', '-')}"
    whole = host if host.endswith(".") else f"{host}.{network_domain or CLOUD_DOMAIN}"
    return {"ip_address": address, "hostname": host, "fqdn": whole}


def _checked(field: str, text: str) -> str:
    """In lower case, its labels as RFC 1123 has them."""
    lowered = text.lower()
    if not lowered:
        return lowered
    labels = lowered.removesuffix(".").split(".")
    for label in labels:
        if not _LABEL.fullmatch(label) or label.startswith("-") or label.endswith("-"):
            raise _unfit(
                field,
                text,
                f"its part '{label}' is not of 1 to 63 letters, digits and inner hyphens",
            )
    if len(labels) > 1 and labels[-1].isdigit():
        raise _unfit(field, text, f"TLD '{labels[-1]}' must not be all numeric")
    return lowered


def _unfit(field: str, text: str, reason: str) -> Invalid:
    return shapes.invalid(field, f"'{text}' not a valid PQDN or FQDN: {reason}")
