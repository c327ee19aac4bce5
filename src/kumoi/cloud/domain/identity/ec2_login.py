"""A login by a signature: who has signed a request to EC2's API asks for a token in that user's name.

Called by the service that got the request, since it alone knows what was signed.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound, Unauthenticated
from kumoi.cloud.domain.identity import credential, ec2_signature
from kumoi.cloud.domain.identity.authentication import Login, NameRef, ScopeRequest
from kumoi.cloud.domain.identity.credential import EC2
from kumoi.cloud.domain.identity.ec2_signature import SignedRequest
from kumoi.cloud.store.identity import credential as store
from kumoi.cloud.store.seal import Seal

METHOD = "ec2credential"
VALID = timedelta(minutes=15)  # After that a signature that was overheard is worth nothing.


def prove(
    connection: Connection,
    access: str,
    signature: str,
    request: SignedRequest,
    *,
    seal: Seal,
    now: datetime,
) -> tuple[Login, ScopeRequest]:
    """Who signed it, and the project of the credential. Raises NotFound for an access key that is not
    there, Unauthenticated for another signature and for an old one.
    """
    row = store.get(connection, credential.key_of(access))
    if row is None or row.type != EC2:
        raise NotFound("EC2 access key", access)
    _, secret = credential.keys(row, seal)
    if not secret or not _matches(secret, signature, request):
        raise Unauthenticated("Invalid EC2 signature.")
    at = ec2_signature.signed_at(request)
    if at is not None and abs(now - at) > VALID:
        raise Unauthenticated("The signature has expired.")
    login = Login(row.user_id, (METHOD,), credential_id=row.application_credential_id)
    return login, ScopeRequest(project=NameRef(id=row.project_id))


def _matches(secret: str, signature: str, request: SignedRequest) -> bool:
    """Some clients sign the host without its port."""
    hosts = {request.host, request.host.rpartition(":")[0] or request.host}
    return any(
        hmac.compare_digest(
            ec2_signature.expected(secret, replace(request, host=host)).encode(),
            signature.encode(),
        )
        for host in hosts
    )
