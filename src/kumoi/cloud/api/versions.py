"""API versions: what each service offers, and which one a request asked for.

Compute's microversions: every one from 2.1 to COMPUTE_MAX is accepted; what differs between them
lives in the parsing and rendering of the compute nouns, which compare `request.microversion`.
"""

from __future__ import annotations

from starlette.requests import Request as HttpRequest

from kumoi.base.errors import Invalid, UserError

Version = tuple[int, int]

COMPUTE_MIN: Version = (2, 1)
COMPUTE_MAX: Version = (2, 96)
LENGTH_MAX = 16  # Of a version as text.


class NotAcceptable(UserError):
    """The microversion is outside the range; 406."""

    code = "version.not_acceptable"


def text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def requested(http: HttpRequest, service_type: str) -> Version:
    """The microversion of a request to compute; (0, 0) for services that have none.

    Raises Invalid when it is not a version, NotAcceptable when it is out of range.
    """
    if service_type != "compute":
        return (0, 0)
    raw = _header(http)
    if raw is None:
        return COMPUTE_MIN
    if raw == "latest":
        return COMPUTE_MAX
    major, _, minor = raw.partition(".")
    if not (major.isdecimal() and minor.isdecimal() and len(raw) <= LENGTH_MAX):
        raise Invalid(
            f"API Version String {raw} is of invalid format. Must be of format MajorNum.MinorNum.",
            field="OpenStack-API-Version",
        )
    version = (int(major), int(minor))
    if not COMPUTE_MIN <= version <= COMPUTE_MAX:
        raise NotAcceptable(
            f"Version {raw} is not supported by the API. Minimum is {text(COMPUTE_MIN)} and "
            f"maximum is {text(COMPUTE_MAX)}."
        )
    return version


def headers(http: HttpRequest, service_type: str) -> dict[str, str]:
    """What an answer says of the microversion it was made for; nothing when it was no good."""
    if service_type != "compute":
        return {}
    try:
        version = text(requested(http, service_type))
    except UserError:
        return {}
    return {
        "OpenStack-API-Version": f"compute {version}",
        "X-OpenStack-Nova-API-Version": version,
    }


def _header(http: HttpRequest) -> str | None:
    for item in http.headers.get("OpenStack-API-Version", "").split(","):
        service, _, version = item.strip().partition(" ")
        if service == "compute" and version:
            return version.strip()
    return http.headers.get("X-OpenStack-Nova-API-Version")
