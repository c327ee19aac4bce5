"""L7 policies as HAProxy's lines. Pure; called by config.py.

HAProxy refuses and redirects before it chooses a backend, so among policies that fit, one that refuses
goes before one that redirects, and that before one that leads to a pool, as Octavia has it; within
each kind by position. A policy without rules fits nothing, nor does one that leads to a pool that is
switched off.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from kumoi.cloud.hostapi.load_balancer import L7PolicySpec, L7RuleSpec, ProxiedListener

MATCH = {
    "EQUAL_TO": "str",
    "STARTS_WITH": "beg",
    "ENDS_WITH": "end",
    "CONTAINS": "sub",
    "REGEX": "reg",
}
TO_POOL = "REDIRECT_TO_POOL"
REFUSED = 403
FOUND = 302
SPECIAL = re.compile(r"([\s#\\\"'$])")
"""What ends a word, or has a meaning of its own outside of quotes."""


def lines(listener: ProxiedListener, pools: Collection[str]) -> Iterator[str]:
    """`pools` are the ids of those that are there."""
    for policy in listener.policies:
        if policy.action == TO_POOL and policy.redirect_pool_id not in pools:
            continue
        for rule in policy.rules:
            yield f"acl {rule.id} {_question(rule)}"
        if policy.rules:
            yield f"{_answer(listener, policy)} if {_all(policy)}"


def _all(policy: L7PolicySpec) -> str:
    return " ".join(f"{'!' if rule.invert else ''}{rule.id}" for rule in policy.rules)


def _question(rule: L7RuleSpec) -> str:
    match rule.type:
        case "SSL_CONN_HAS_CERT":
            return "ssl_c_used"
        case "SSL_VERIFY_RESULT":
            return f"ssl_c_verify eq {int(rule.value)}"
    sample, flags = _sample(rule)
    return f"{sample} -m {MATCH[rule.compare_type]}{flags} -- {word(rule.value)}"


def _sample(rule: L7RuleSpec) -> tuple[str, str]:
    match rule.type:
        case "HOST_NAME":
            return "req.hdr(host),field(1,:)", " -i"
        case "PATH":
            return "path", ""
        case "FILE_TYPE":
            return "path,field(-1,.)", ""
        case "HEADER":
            return f"req.hdr({word(rule.key)})", ""
        case "COOKIE":
            return f"req.cook({word(rule.key)})", ""
    return f"ssl_c_s_dn({word(rule.key)})", ""


def _answer(listener: ProxiedListener, policy: L7PolicySpec) -> str:
    code = policy.redirect_http_code or FOUND
    match policy.action:
        case "REDIRECT_TO_URL":
            return f"http-request redirect code {code} location {_format(policy.redirect_url)}"
        case "REDIRECT_PREFIX":
            return f"http-request redirect code {code} prefix {_format(policy.redirect_prefix)}"
        case "REDIRECT_TO_POOL":
            return f"use_backend {listener.id}:{policy.redirect_pool_id}"
    return f"http-request deny deny_status {REFUSED}"


def word(text: str) -> str:
    """One word of a line, whatever is in it. The API lets no control character through."""
    return SPECIAL.sub(r"\\\1", text)


def _format(text: str) -> str:
    """A word in which a percent sign means itself."""
    return word(text.replace("%", "%%"))
