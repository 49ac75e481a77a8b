"""What a client can be asked, once for both clients: each function makes the call, and the clients make it happen.

The docstrings are those of the clients' methods.
"""

from __future__ import annotations

import enum
import functools
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import quote

from app.client.call import JSON, Call, json_body
from app.client.catalogue import FeatureService, FeatureView, PushSource, Readiness
from app.client.features import EntityFeatures, OnlineFeatures
from app.client.pushing import Encoding, PushAnswer, Rows, push_body
from app.client.retries import Repeat
from app.client.tables import Columns, columns_of
from app.client.values import json_value, query_value
from app.domain import OnStale, PushTarget


class _Auto(enum.Enum):
    AUTO = "a new UUID"


AUTO: Final = _Auto.AUTO
"""The default `idempotency_key` of a push: a new UUID for every call, the same for all attempts of a call."""


_OPTIONS = {"max_staleness", "on_stale", "full_feature_names"}


def read_one(
    feature_service: str,
    entity: Mapping[str, Any],
    *,
    request_data: Mapping[str, Any] | None = None,
    max_staleness: str | float | timedelta | None = None,
    on_stale: OnStale | Literal["null", "serve", "fail"] = OnStale.NULL,
    full_feature_names: bool = False,
) -> Call[EntityFeatures]:
    """The online features of one entity: `client.read_one("assistant_v1", {"user_id": "u1"})`.

    `entity` gives a value for every join key, `request_data` for the request fields of on-demand views. Nothing older
    than `max_staleness` (seconds, a timedelta, or text such as "15m") counts; `on_stale` says what becomes of values
    that are too old. `full_feature_names` names features `view__feature`. Retried: reading twice does no harm.

    Raises ValueError for values that a query string cannot carry (lists, None), NotFoundError, InvalidRequestError,
    StaleFeaturesError for `on_stale="fail"`, UnavailableError, NoAnswerError.
    """
    given = [*entity.items(), *(request_data or {}).items()]
    query = [(_parameter(name), query_value(value, name)) for name, value in given]
    if max_staleness is not None:
        query.append(("max_staleness", str(_duration(max_staleness))))
    if OnStale(on_stale) is not OnStale.NULL:
        query.append(("on_stale", OnStale(on_stale).value))
    if full_feature_names:
        query.append(("full_feature_names", "true"))
    return Call("GET", f"/v1/online-features/{_segment(feature_service)}", EntityFeatures.read, query)


def read_many(
    entities: Columns,
    *,
    feature_service: str | None = None,
    features: Sequence[str] | None = None,
    request_data: Columns | None = None,
    max_staleness: str | float | timedelta | None = None,
    on_stale: OnStale | Literal["null", "serve", "fail"] = OnStale.NULL,
) -> Call[OnlineFeatures]:
    """The online features of many entities: those of a feature service, or a list of `view:feature`.

    `entities` has one column per join key: a mapping of name to values, a DataFrame or an Arrow Table; `request_data`
    has one per request field of on-demand views. Rows and features come back in this order, duplicates kept.
    `max_staleness` and `on_stale` are those of `read_one`. Retried: reading twice does no harm.

    Raises ValueError and TypeError for what cannot be sent, else what `read_one` raises.
    """
    if (feature_service is None) == (features is None):
        raise ValueError("give either feature_service or features")
    body: dict[str, Any] = {"entities": _json_columns("entities", entities)}
    body |= {"features": list(features)} if features is not None else {"feature_service": feature_service}
    if request_data is not None:
        body["request_data"] = _json_columns("request_data", request_data)
    if max_staleness is not None:
        body["max_staleness"] = _duration(max_staleness)
    if OnStale(on_stale) is not OnStale.NULL:
        body["on_stale"] = OnStale(on_stale).value
    return Call(
        "POST", "/v1/online-features", OnlineFeatures.read, content=json_body(body), headers={"Content-Type": JSON}
    )


def push(
    push_source: str,
    rows: Rows,
    *,
    to: PushTarget | Literal["online", "offline", "online_and_offline"] = PushTarget.ONLINE_AND_OFFLINE,
    watermark: datetime | str | None = None,
    atomic: bool = False,
    idempotency_key: str | Literal[_Auto.AUTO] | None = AUTO,
    encoding: Encoding | None = None,
) -> Call[PushAnswer]:
    """Write rows to every view that reads `push_source`; the answer says what became of each row.

    `rows` is a list of mappings, a DataFrame (its columns, not its index) or an Arrow Table, with all join keys and
    features, and `event_timestamp` where the time of the push is not meant. Datetimes may have any zone, naive ones are
    UTC; what pandas calls missing is null, NaN anywhere else is a ValueError. `encoding` is how rows travel: by default
    a Table as an Arrow stream, all else as JSON. `watermark`: the source is complete up to there, a datetime or RFC
    3339 text (`rows` may be empty). `atomic`: all rows or none, and InvalidRequestError where one is faulty.

    A push is retried because of its idempotency key: the server writes the rows of one key once. With
    `idempotency_key=None` it is retried only where the server certainly did nothing: no connection, or 429. To repeat a
    push in another call or process, give a key of your own, or the `idempotency_key` of the error.

    Raises ValueError and TypeError for what cannot be sent, NotFoundError, InvalidRequestError, TooManyRequestsError,
    UnavailableError, NoAnswerError.
    """
    body = push_body(rows, PushTarget(to), watermark, atomic, encoding)
    key = str(uuid.uuid4()) if idempotency_key is AUTO else idempotency_key
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable() and key == key.strip()):
        raise ValueError("an idempotency key is 1 to 255 printable ASCII characters")
    return Call(
        "POST",
        f"/v1/push/{_segment(push_source)}",
        functools.partial(PushAnswer.read, idempotency_key=key),
        query=body.query,
        content=body.content,
        headers={"Content-Type": body.content_type},
        repeat=Repeat.UNSENT if key is None else Repeat.SAFE,
        idempotency_key=key,
    )


def feature_views() -> Call[list[FeatureView]]:
    """All feature views of the registry, on-demand ones included, by name."""
    return Call("GET", "/v1/feature-views", lambda body: [FeatureView.read(view) for view in body["feature_views"]])


def feature_view(name: str) -> Call[FeatureView]:
    """One feature view. Raises NotFoundError."""
    return Call("GET", f"/v1/feature-views/{_segment(name)}", FeatureView.read)


def feature_services() -> Call[list[FeatureService]]:
    """All feature services of the registry, by name."""
    return Call(
        "GET", "/v1/feature-services", lambda body: [FeatureService.read(each) for each in body["feature_services"]]
    )


def feature_service(name: str) -> Call[FeatureService]:
    """One feature service. Raises NotFoundError."""
    return Call("GET", f"/v1/feature-services/{_segment(name)}", FeatureService.read)


def push_sources() -> Call[list[PushSource]]:
    """All push sources of the registry, by name, and up to where each is complete."""
    return Call("GET", "/v1/push-sources", lambda body: [PushSource.read(each) for each in body["push_sources"]])


def push_source(name: str) -> Call[PushSource]:
    """One push source. Raises NotFoundError."""
    return Call("GET", f"/v1/push-sources/{_segment(name)}", PushSource.read)


def ready() -> Call[Readiness]:
    """Whether the server may get traffic, asked once: `if client.ready(): ...`. Raises NoAnswerError where nobody
    answers."""
    return Call("GET", "/readyz", Readiness.read, repeat=Repeat.NEVER, statuses=frozenset({200, 503}))


def _parameter(name: str) -> str:
    if name in _OPTIONS:
        raise ValueError(f"{name} is an option in a query string; use read_many")
    return name


def _segment(name: str) -> str:
    return quote(name, safe="")


def _duration(given: str | float | timedelta) -> str | float:
    # Never in the form 1e-06, which is no duration.
    return f"{given.total_seconds():.6f}" if isinstance(given, timedelta) else given


def _json_columns(place: str, given: Columns) -> dict[str, Any]:
    return {name: json_value(values, f"{place}.{name}") for name, values in columns_of(given).items()}
