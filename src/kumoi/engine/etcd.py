"""A client of etcd by its JSON gateway: the few calls that leases and its own members need, over HTTPS with a
certificate.

All reads are by quorum. Whichever member answers is asked first the next time; one that does not answer
in `TIMEOUT_S` gives way to the next, so a call takes as many times that as there are members at most.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from typing import Any

from kumoi.base.errors import Transient
from kumoi.engine.https_pool import HttpsPool

TIMEOUT_S = 1.0


class EtcdLost(Transient):
    """No member answered by quorum."""

    code = "etcd.lost"


class EtcdRefused(Transient):
    """A member answered that it does not do this."""

    code = "etcd.refused"


_LOST = (OSError, HTTPException, ValueError)
"""No answer, or none of etcd's."""


@dataclass(frozen=True, slots=True)
class EtcdEntry:
    """`lease` is the id of the lease that the key ends with, 0 for none; `created` the revision of its
    creation.
    """

    key: str
    value: str
    lease: int
    created: int


@dataclass(frozen=True, slots=True)
class TransactionOutcome:
    """Of a transaction: whether what it asked for was so, and what it read then."""

    succeeded: bool
    read: tuple[EtcdEntry, ...]


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """`name` is "" before it has ever started; `peer` is where the others reach it."""

    id: str
    name: str
    peer: str


class Etcd:
    """Used by several threads. `members` are addresses with ports."""

    def __init__(
        self, members: Sequence[str], tls: ssl.SSLContext, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._members = list(members)
        self._pool = HttpsPool(tls, timeout_s=timeout_s)
        self._lock = threading.Lock()

    def close(self) -> None:
        self._pool.close()

    def keep_alive(self, lease: int) -> bool:
        """Whether there is such a lease, which has its whole time again then."""
        answer = self._call("lease/keepalive", {"ID": lease})
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    def grant(self, lease: int, ttl_s: int) -> None:
        """Raises EtcdRefused where there is one of that id."""
        self._call("lease/grant", {"ID": lease, "TTL": ttl_s})

    def put(self, key: str, value: str) -> None:
        self._call("kv/put", {"key": encoded(key), "value": encoded(value)})

    def delete(self, key: str) -> None:
        self._call("kv/deleterange", {"key": encoded(key)})

    def below(self, prefix: str) -> list[EtcdEntry]:
        """All keys that begin so."""
        return _entries(self._call("kv/range", _range(prefix)))

    def transact(
        self,
        compare: Sequence[Mapping[str, Any]],
        success: Sequence[Mapping[str, Any]],
        failure: Sequence[Mapping[str, Any]] = (),
    ) -> TransactionOutcome:
        """Raises EtcdRefused where it names a lease that is not there."""
        body = {"compare": list(compare), "success": list(success), "failure": list(failure)}
        answer = self._call("kv/txn", body)
        read = [
            entry
            for response in answer.get("responses", ())
            for entry in _entries(response.get("response_range", {}))
        ]
        return TransactionOutcome(bool(answer.get("succeeded", False)), tuple(read))

    def known_members(self) -> list[EtcdMember]:
        return [
            EtcdMember(str(each["ID"]), each.get("name", ""), next(iter(each["peerURLs"]), ""))
            for each in self._call("cluster/member/list", {}).get("members", ())
        ]

    def remove_member(self, id: str) -> None:
        """For good: whatever it kept is of no use any more. Raises EtcdLost where too few others would be left."""
        self._call("cluster/member/remove", {"ID": id})

    def add_member(self, peer: str) -> None:
        """One that has nothing yet, and has not started."""
        self._call("cluster/member/add", {"peerURLs": [peer]})

    def has_no_leader(self) -> bool:
        """Whether most members say themselves that nobody leads, or have no process that would answer.
        Nothing can have ended then, as no quorum says what time it is. A member that is silent says
        nothing.
        """
        with ThreadPoolExecutor(len(self._members)) as threads:
            found = list(threads.map(self._is_without_leader, self._members))
        return 2 * sum(found) > len(found)

    def answering(self) -> dict[str, bool]:
        """The members that answer, and whether each says that somebody leads."""
        with ThreadPoolExecutor(len(self._members)) as threads:
            found = list(threads.map(self._has_leader, self._members))
        return {
            member: has for member, has in zip(self._members, found, strict=True) if has is not None
        }

    def _has_leader(self, member: str) -> bool | None:
        try:
            return self._status_has_leader(member)
        except (*_LOST, EtcdRefused):
            return None

    def _is_without_leader(self, member: str) -> bool:
        try:
            return self._status_has_leader(member) is False
        except ConnectionRefusedError:
            return True
        except (*_LOST, EtcdRefused):
            return False

    def _status_has_leader(self, member: str) -> bool:
        """What a member says itself. Raises as `_ask`."""
        return int(self._ask(member, "maintenance/status", {}).get("leader", 0)) != 0

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises EtcdLost, EtcdRefused."""
        lost: Exception | None = None
        for member in list(self._members):
            try:
                return self._ask(member, path, body)
            except _LOST as cause:
                lost = cause
                self._put_last(member)
        raise EtcdLost(f"ask etcd for {path}: no member answers") from lost

    def _ask(self, member: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises EtcdRefused, and what _LOST names."""
        answer = self._pool.post(member, f"/v3/{path}", json.dumps(body).encode())
        if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise EtcdRefused(f"ask etcd for {path}: it answered {answer.status}")
        if answer.status != HTTPStatus.OK:
            raise HTTPException(f"it answered {answer.status}")
        found: dict[str, Any] = json.loads(answer.content)
        return found

    def _put_last(self, member: str) -> None:
        with self._lock:
            if self._members[0] == member:
                self._members = [*self._members[1:], member]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def is_absent(key: str) -> Mapping[str, Any]:
    """A comparison of a transaction."""
    return {"key": encoded(key), "target": "VERSION", "result": "EQUAL", "version": "0"}


def has_lease(key: str, lease: int) -> Mapping[str, Any]:
    """Another: the key is there, and ends with that lease."""
    return {"key": encoded(key), "target": "LEASE", "result": "EQUAL", "lease": str(lease)}


def putting(key: str, value: str, lease: int = 0) -> Mapping[str, Any]:
    """A part of a transaction."""
    return {"request_put": {"key": encoded(key), "value": encoded(value), "lease": str(lease)}}


def reading(key: str) -> Mapping[str, Any]:
    return {"request_range": {"key": encoded(key)}}


def _range(prefix: str) -> dict[str, str]:
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return {"key": encoded(prefix), "range_end": encoded(end)}


def _entries(answer: Mapping[str, Any]) -> list[EtcdEntry]:
    return [
        EtcdEntry(
            key=base64.b64decode(item["key"]).decode(),
            value=base64.b64decode(item.get("value", "")).decode(errors="replace"),
            lease=int(item.get("lease", 0)),
            created=int(item.get("create_revision", 0)),
        )
        for item in answer.get("kvs", ())
    ]
