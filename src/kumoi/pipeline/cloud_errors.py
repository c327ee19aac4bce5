"""What openstacksdk raises, as ours: `Permanent` when the cloud refuses, `Transient` when it cannot just now.

Called by openstack_cloud.py and identity.py, around every call of theirs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from kumoi.base.errors import Permanent, Transient

UNAUTHORIZED = 401
CONFLICT = 409
SERVER_ERROR = 500


@contextlib.contextmanager
def cloud_errors(what: str, *, deleting: bool = False) -> Iterator[None]:
    """Turns the library's exceptions into ours; no other place does. `what` completes "the cloud
    could not ...". When `deleting`, an object that is not found counts as deleted, and a 409 means
    that it is still in use; otherwise a 409 is a refusal, such as a quota.
    """
    import openstack.exceptions as sdk  # noqa: PLC0415 - 20 MB, which an idle pipeline is spared
    from keystoneauth1 import exceptions as keystone  # noqa: PLC0415

    try:
        yield
    except sdk.NotFoundException as cause:
        if deleting:
            return
        raise Permanent(f"the cloud could not {what}: not found") from cause
    except (sdk.HttpException, keystone.HttpError) as cause:
        raise _http_error(cause, what, deleting=deleting) from cause
    except (sdk.SDKException, keystone.ClientException) as cause:
        raise Transient(f"the cloud did not answer when asked to {what}") from cause


def require_done(answer: Any) -> None:
    """Of a call that the library leaves to us: raises as its own calls do."""
    import openstack.exceptions as sdk  # noqa: PLC0415 - see cloud_errors

    sdk.raise_from_response(answer)


def _http_error(cause: Any, what: str, *, deleting: bool) -> Permanent | Transient:
    status = getattr(cause, "status_code", None) or getattr(cause, "http_status", None) or 0
    if status == UNAUTHORIZED:
        return Permanent(
            "the cloud does not take the credential that the pusher gave the pipeline any more, as when "
            "the project, the pusher or the pusher's role in it is gone; push again to "
            "renew it, or log in with an application credential of your own where the cloud's services "
            "know no access rules (service_type in [keystone_authtoken])"
        )
    if not status or status >= SERVER_ERROR or (deleting and status == CONFLICT):
        return Transient(f"the cloud could not {what} just now")
    reason = getattr(cause, "details", None) or getattr(cause, "message", "") or f"status {status}"
    return Permanent(f"the cloud refused to {what}: {reason}")
