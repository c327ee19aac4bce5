"""Every error of ours, in one tree. Who catches what:

    KumoiError            has a stable code, a message for people, and fields for machines
    ├── UserError         the caller can mend it; engine/http/errors.py alone gives it a status
    │   ├── Invalid           a value is wrong; `field` names it
    │   ├── Unauthenticated   who are you?
    │   ├── Forbidden         you may not
    │   ├── NotFound          nothing of that name that you may see
    │   ├── Conflict          the state of things does not allow it now
    │   ├── Stale             it is not the revision that the caller wanted to change
    │   ├── OverQuota         it would exceed a quota
    │   ├── Gone              the API had it once, and no version has it any more
    │   ├── Unsupported       the API has it, this cloud does not, and says why
    │   ├── TooLarge          the body is larger than allowed
    │   └── RateLimited       too many attempts; `retry_after_s` says when again
    ├── Transient         background work: try again after `retry_after_s`
    │   ├── StoreLost         the database has gone away; nothing was changed
    │   ├── StoreBehind       one server alone was read for too long: nobody knows what others acknowledged
    │   ├── StoreFull         its disk is full; nothing was changed
    │   └── OutcomeUnknown    it went away during a commit: look before you try again
    ├── Permanent         background work: trying again will not help; the text is shown to operators
    │   └── StoreDamaged      what is on its disk is no database any more; a backup helps
    └── Bug               cannot happen; it is logged with its chain and pages

Codes are dotted strings, documented in docs/reference/errors.md, never changed and never reused.
"""

from __future__ import annotations


class KumoiError(Exception):
    """Base of all. `code` is stable; `message` is for people and ends without a full stop."""

    code = "kumoi.error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class UserError(KumoiError):
    """An error that the caller can mend."""

    code = "request.failed"


class Invalid(UserError):
    """A value is wrong. `field` is the path of the value as the caller wrote it, or None. `kind` is
    the type word some envelopes carry, where it is not the usual one.
    """

    code = "request.invalid"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        kind: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.field = field
        self.kind = kind


class Unauthenticated(UserError):
    code = "request.unauthenticated"


class Forbidden(UserError):
    code = "request.forbidden"


class NotFound(UserError):
    """`noun` is the API's word in lower case with blanks ("security group"), `key` an id or a name.
    `kind` is the type word some envelopes carry, where it does not follow from the noun.
    """

    code = "request.not_found"

    def __init__(
        self, noun: str, key: str, *, kind: str | None = None, message: str | None = None
    ) -> None:
        super().__init__(message or f"{noun.capitalize()} {key} could not be found")
        self.noun = noun
        self.key = key
        self.kind = kind


class Conflict(UserError):
    """`kind` is the type word some envelopes carry, such as "NetworkInUse"."""

    code = "request.conflict"

    def __init__(self, message: str, *, kind: str = "Conflict", code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.kind = kind


class Stale(UserError):
    """The caller wanted to change a revision that is no longer the newest."""

    code = "request.stale"


class OverQuota(UserError):
    code = "request.over_quota"

    def __init__(self, message: str, *, resource: str) -> None:
        super().__init__(message)
        self.resource = resource


class Gone(UserError):
    code = "request.gone"


class Unsupported(UserError):
    code = "request.unsupported"


class TooLarge(UserError):
    code = "request.too_large"


class RateLimited(UserError):
    code = "request.rate_limited"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Transient(KumoiError):
    code = "work.transient"

    def __init__(
        self, message: str, *, retry_after_s: float = 1.0, code: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class StoreLost(Transient):
    code = "store.lost"


class StoreBehind(Transient):
    code = "store.behind"


class StoreFull(Transient):
    code = "store.full"


class OutcomeUnknown(Transient):
    code = "store.outcome_unknown"


class Permanent(KumoiError):
    code = "work.permanent"


class StoreDamaged(Permanent):
    code = "store.damaged"


class Bug(KumoiError):
    code = "kumoi.bug"


def chain(error: BaseException) -> list[str]:
    """The error and its causes, outermost first: ["Transient: start container", "OSError: ..."]."""
    lines: list[str] = []
    current: BaseException | None = error
    while current is not None and len(lines) < CHAIN_MAX:
        lines.append(f"{type(current).__name__}: {current}")
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return lines


CHAIN_MAX = 10
