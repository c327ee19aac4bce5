"""What may stand in HTTP: addresses, names and values of headers, and what L7 rules compare. Pure.

What passes here is written into a proxy's configuration, so a control character never does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import urlsplit

from kumoi.base.errors import Invalid

NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f-\x9f\"\\^`{|}<>]")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
HEADER_NAME = re.compile(r"[a-zA-Z0-9!#$%&'*+\-.^_`|~]+")
COOKIE_VALUE = re.compile(r"[a-zA-Z0-9!#$%&'()*+\-./:<=>?@\[\]^_`{|}~]+")
HEADER_VALUE = re.compile(r"[\x21-\x7e]+|\"[\t\x20-\x7e]*\"")
DN_FIELD = re.compile(r"[a-zA-Z][A-Za-z0-9-]*")


class RuleWords(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def compare_type(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    @property
    def value(self) -> str: ...


def require_url(url: str) -> None:
    """One of HTTP, with a host. Raises Invalid."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or NOT_IN_URLS.search(url):
        raise Invalid(f"Not a valid URL: {url}", field="redirect_url")


def require_rule(rule: RuleWords) -> None:
    """That it makes sense. Raises Invalid."""
    if not rule.value:
        raise _rule("L7 rule type requires a value")
    if CONTROL.search(rule.value.replace("\t", "")) or CONTROL.search(rule.key or ""):
        raise Invalid("Invalid characters in value", field="value")
    _KINDS[rule.type](rule)


def _require_header(rule: RuleWords) -> None:
    _require_key(rule)
    _require_value(rule, HEADER_VALUE, "header value")


def _require_cookie(rule: RuleWords) -> None:
    _require_key(rule)
    _require_value(rule, COOKIE_VALUE, "cookie value")


def _require_text(rule: RuleWords) -> None:
    _require_value(rule, HEADER_VALUE, "comparison value")


def _require_file_type(rule: RuleWords) -> None:
    if rule.compare_type not in ("EQUAL_TO", "REGEX"):
        raise _rule("invalid comparison type for rule type")
    _require_value(rule, HEADER_VALUE, "comparison value")


def _require_certificate(rule: RuleWords) -> None:
    if rule.value.lower() != "true":
        raise _rule(f"L7rule value {rule.value} is not a boolean True string.")
    _require_whole(rule)


def _require_verification(rule: RuleWords) -> None:
    if not (rule.value.isascii() and rule.value.isdigit()):
        raise _rule(f"L7rule type {rule.type} needs a int value, which is >= 0")
    _require_whole(rule)


def _require_dn_field(rule: RuleWords) -> None:
    if not rule.key:
        raise _rule(f"L7rule type {rule.type} needs to specify a key and a value.")
    if not DN_FIELD.fullmatch(rule.key):
        raise _rule("Invalid L7rule distinguished name field.")
    if rule.compare_type == "REGEX":
        _require_pattern(rule.value)


_KINDS: Mapping[str, Callable[[RuleWords], None]] = {
    "HEADER": _require_header,
    "COOKIE": _require_cookie,
    "HOST_NAME": _require_text,
    "PATH": _require_text,
    "FILE_TYPE": _require_file_type,
    "SSL_CONN_HAS_CERT": _require_certificate,
    "SSL_VERIFY_RESULT": _require_verification,
    "SSL_DN_FIELD": _require_dn_field,
}


def _require_key(rule: RuleWords) -> None:
    if not rule.key:
        raise _rule("L7 rule type requires a key")
    if not HEADER_NAME.fullmatch(rule.key):
        raise Invalid("Invalid characters in key", field="key")


def _require_whole(rule: RuleWords) -> None:
    if rule.key:
        raise _rule(f'L7rule type {rule.type} does not use the "key" field.')
    if rule.compare_type != "EQUAL_TO":
        raise _rule(f"L7rule type {rule.type} only supports the EQUAL_TO compare type.")


def _require_value(rule: RuleWords, pattern: re.Pattern[str], what: str) -> None:
    if rule.compare_type == "REGEX":
        _require_pattern(rule.value)
    elif not pattern.fullmatch(rule.value):
        raise Invalid(f"Invalid characters in {what}", field="value")


def _require_pattern(text: str) -> None:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as cause:
        raise Invalid("Unable to parse regular expression", field="value") from cause


def _rule(reason: str) -> Invalid:
    return Invalid(f"Invalid L7 Rule: {reason}", field="type")
