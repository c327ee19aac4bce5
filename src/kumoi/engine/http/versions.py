"""Microversions: the range that a service offers, and the one that a request asks for.

The differences between them are in the parsing and rendering of the service's nouns, which compare
`request.microversion`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kumoi.base.errors import Invalid
from kumoi.engine.http.errors import NotAcceptable

Version = tuple[int, int]

HEADER = "OpenStack-API-Version"
NONE: Version = (0, 0)
LENGTH_MAX = 16  # Of a version as text.


def text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


@dataclass(frozen=True, slots=True)
class Microversions:
    """Versions from `first` to `last` are accepted. `word` names the service in the common header;
    `own_header` is the service's older header, if it had one.
    """

    word: str
    first: Version
    last: Version
    own_header: str = ""

    def requested(self, headers: Mapping[str, str]) -> Version:
        """Raises Invalid when it is not a version, NotAcceptable when it is out of range."""
        raw = self._header(headers)
        if raw is None:
            return self.first
        if raw == "latest":
            return self.last
        major, _, minor = raw.partition(".")
        if not (major.isdecimal() and minor.isdecimal() and len(raw) <= LENGTH_MAX):
            raise Invalid(
                f"API Version String {raw} is of invalid format. Must be of format "
                "MajorNum.MinorNum.",
                field=HEADER,
            )
        version = (int(major), int(minor))
        if not self.first <= version <= self.last:
            raise NotAcceptable(
                f"Version {raw} is not supported by the API. Minimum is {text(self.first)} and "
                f"maximum is {text(self.last)}."
            )
        return version

    def headers(self, version: Version) -> dict[str, str]:
        """The headers of an answer of this microversion; none when the request's was invalid."""
        if version == NONE:
            return {}
        shown = text(version)
        own = {self.own_header: shown} if self.own_header else {}
        return {HEADER: f"{self.word} {shown}", **own}

    def _header(self, headers: Mapping[str, str]) -> str | None:
        for item in headers.get(HEADER, "").split(","):
            service, _, version = item.strip().partition(" ")
            if service == self.word and version:
                return version.strip()
        return headers.get(self.own_header) if self.own_header else None
