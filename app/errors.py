"""Domain errors: what can go wrong, in words a caller can act on. No framework in here.

Each class has a slug (the last part of the RFC 9457 problem type), a title and an HTTP status. The api package turns
them into application/problem+json, the command line into one line on stderr.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


def one_line(error: BaseException) -> str:
    """What somebody else's exception says, in one line, with its type where the words alone would not do."""
    words = " ".join(str(error).split())
    return words if " " in words else f"{type(error).__name__}: {words}"


@dataclass(frozen=True)
class FieldError:
    """One fault in a request: where (a path such as `entities.user_id[3]`) and what."""

    field: str
    message: str


class FreshetError(Exception):
    """Base of every error that Freshet raises on purpose. Never carries a secret or a connection string."""

    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class NotFoundError(FreshetError):
    """A feature service, feature view, feature, entity or push source that the registry does not have."""

    slug = "not-found"
    title = "Not found"
    status = 404


class GoneError(FreshetError):
    """A feature view or feature service that has been retired; `successor` names what to read instead, if anything."""

    slug = "gone"
    title = "Retired"
    status = 410

    def __init__(self, detail: str, errors: Sequence[FieldError] = (), successor: str | None = None) -> None:
        super().__init__(detail, errors)
        self.successor = successor
        """The path below the server's root where the successor is described or read."""


class InvalidRequestError(FreshetError):
    """The request does not fit the registry's schema; `errors` names every faulty field."""

    slug = "invalid-request"
    title = "Invalid request"
    status = 422


class UnstorableRowsError(InvalidRequestError):
    """Rows with values that the offline store cannot keep. Nothing of their batch was written: the others can be
    written without them.

    `faults` has, by position in the batch, every column of such a row that cannot be kept, and why.
    """

    def __init__(self, faults: Mapping[int, Sequence[FieldError]]) -> None:
        self.faults = {position: tuple(faults[position]) for position in sorted(faults)}
        rows = [
            FieldError(f"rows[{position}].{fault.field}", fault.message)
            for position, found in self.faults.items()
            for fault in found
        ]
        super().__init__(f"{len(self.faults)} rows cannot be kept offline; push them with to=online", rows)


class NotJsonError(FreshetError):
    """The body of the request is not JSON."""

    slug = "not-json"
    title = "Not JSON"
    status = 400


class NotArrowError(FreshetError):
    """The body of the request is not the Arrow IPC stream that its content type says."""

    slug = "not-arrow"
    title = "Not an Arrow stream"
    status = 400


class NotAcceptableError(FreshetError):
    """None of the media types in Accept is one in which the answer can be written."""

    slug = "not-acceptable"
    title = "Not acceptable"
    status = 406


class UnsupportedMediaTypeError(FreshetError):
    """The body has a content type or a content encoding that the endpoint does not read."""

    slug = "unsupported-media-type"
    title = "Unsupported media type"
    status = 415


class BodyTooLargeError(FreshetError):
    """The body of the request is longer than FRESHET_MAX_BODY_BYTES."""

    slug = "body-too-large"
    title = "Body too large"
    status = 413


class NotServableError(FreshetError):
    """Asked for something that the rules of this service cannot serve; refused by name instead of served wrong."""

    slug = "not-servable"
    title = "Not servable"
    status = 422


class TransformError(NotServableError):
    """The function of an on-demand view fails on the values of these entities; it may compute others."""


class IdempotencyKeyReusedError(FreshetError):
    """The Idempotency-Key has come with another request before."""

    slug = "idempotency-key-reused"
    title = "Idempotency key reused"
    status = 422


class StaleFeaturesError(FreshetError):
    """on_stale=fail, and at least one value is older than its ttl or than max_staleness."""

    slug = "stale-features"
    title = "Features are stale"
    status = 409


class TooBusyError(FreshetError):
    """More is being asked for than can be done now. Worth a retry after `retry_after` seconds."""

    slug = "too-busy"
    title = "Too busy"
    status = 429
    retry_after: int = 1


class StoreUnavailableError(FreshetError):
    """A store did not answer in time or refused the connection. Worth a retry after `retry_after` seconds."""

    slug = "store-unavailable"
    title = "Store unavailable"
    status = 503
    retry_after: int = 1


class StillRunningError(StoreUnavailableError):
    """A store did not answer in time, and goes on with what was asked of it: that may still take effect. Raised in an
    event loop; `ended` is done there once it is over, one way or the other."""

    def __init__(self, detail: str, ended: asyncio.Future[Any]) -> None:
        super().__init__(detail)
        self.ended = ended

    def __copy__(self) -> StillRunningError:
        return StillRunningError(self.detail, self.ended)


class CommitUnknownError(StoreUnavailableError):
    """The connection was lost while the offline store committed, and it could not be asked since: the rows may be kept
    or not. Writing them again may keep them twice."""


class NotFinishedError(FreshetError):
    """Asked for the result of an export that has none, or none yet."""

    slug = "not-finished"
    title = "Not finished"
    status = 409


class RangeNotSatisfiableError(FreshetError):
    """Asked for bytes of a result that lie behind its end."""

    slug = "range-not-satisfiable"
    title = "Range not satisfiable"
    status = 416


class QuotaExceededError(FreshetError):
    """There is no room for a result: it is larger than it may be, or its disk is full. Nothing of it was kept."""

    slug = "quota-exceeded"
    title = "Quota exceeded"
    status = 507


class WorkerLostError(FreshetError):
    """One worker after another has died while it ran this job."""

    slug = "worker-lost"
    title = "Worker lost"
    status = 500


class ApplyRunningError(FreshetError):
    """Another `freshet apply` is at work on the same registry."""

    slug = "apply-running"
    title = "Another apply is at work"
    status = 409


class PlanRefusedError(FreshetError):
    """Changes that `freshet plan` refuses; `errors` names each and says why."""

    slug = "plan-refused"
    title = "The plan is refused"
    status = 409


class ConfigurationError(FreshetError):
    """A setting, a feature_store.yaml or a data folder that cannot work; the detail says what to change."""

    slug = "configuration"
    title = "Configuration error"
    status = 500
