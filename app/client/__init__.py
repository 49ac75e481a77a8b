"""The Python client: online features, pushes and the catalogue over HTTP, blocking or awaited.

    from app.client import Client

    with Client("http://127.0.0.1:8000") as client:
        frame = client.read_many({"user_id": ["u1", "u2"]}, feature_service="assistant_v1").to_pandas()
        client.push("user_realtime_events", [{"user_id": "u1", ...}])

It needs httpx2 and nothing else of the service: neither Feast nor a server framework is imported. pandas and pyarrow
are imported when a result is asked for in their form. docs/client.md shows it at work.
"""

from app.client.catalogue import FeatureService, FeatureView, PushSource, Readiness
from app.client.clients import AsyncClient, Client
from app.client.errors import (
    AccessDeniedError,
    ClientError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    Problem,
    ProblemError,
    RefusedError,
    ServerError,
    StaleFeaturesError,
    TooManyRequestsError,
    UnavailableError,
    UnexpectedAnswerError,
)
from app.client.features import EntityFeatures, OnlineFeatures
from app.client.methods import AUTO
from app.client.pushing import PushAnswer, RowOutcome
from app.client.retries import Retries
from app.domain import OnStale, PushOutcome, PushTarget, ValueStatus
from app.errors import FieldError

__all__ = [
    "AUTO",
    "AccessDeniedError",
    "AsyncClient",
    "Client",
    "ClientError",
    "EntityFeatures",
    "FeatureService",
    "FeatureView",
    "FieldError",
    "InvalidRequestError",
    "NoAnswerError",
    "NotFoundError",
    "OnStale",
    "OnlineFeatures",
    "Problem",
    "ProblemError",
    "PushAnswer",
    "PushOutcome",
    "PushSource",
    "PushTarget",
    "Readiness",
    "RefusedError",
    "Retries",
    "RowOutcome",
    "ServerError",
    "StaleFeaturesError",
    "TooManyRequestsError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "ValueStatus",
]
