"""The wire form of a request for online features, in a body and in a query string."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec

from app.api.json_body import decode_json, struct_schema
from app.domain import OnStale
from app.durations import parse_duration
from app.errors import FieldError, InvalidRequestError


class Include(enum.StrEnum):
    """What may be added to an answer."""

    FRESHNESS = "freshness"
    """How fresh the data of each view that was read are as a whole."""


class OnlineQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which features of which entities; either a feature service or a list of `view:feature`."""

    entities: Annotated[dict[str, Any], msgspec.Meta(description="Join key -> one value per row.")]
    feature_service: str | None = None
    features: Annotated[list[str], msgspec.Meta(min_length=1, max_length=1000)] | None = None
    request_data: Annotated[
        dict[str, Any],
        msgspec.Meta(
            description="Request field of an on-demand view -> one value per row. request_timestamp defaults to now."
        ),
    ] = {}
    max_staleness: Annotated[
        str | int | float | None,
        msgspec.Meta(
            description="Serve nothing older: seconds, 15m, 26h or PT5M. A view's own ttl still holds.",
        ),
    ] = None
    on_stale: OnStale = OnStale.NULL
    include: Annotated[
        list[Include],
        msgspec.Meta(
            description="freshness: tell how fresh the data of each view that was read are as a whole.",
            extra_json_schema={"items": {"type": "string", "enum": [entry.value for entry in Include]}},
        ),
    ] = []


_LONG = 2**20
"""Bytes of a body at which a second look for what is wrong with it would hold everybody up."""
_DECODER = msgspec.json.Decoder(OnlineQuery)


def decode_query(body: bytes) -> OnlineQuery:
    """The request in a JSON body. Raises NotJsonError, and InvalidRequestError that names the faulty field."""
    return decode_json(_DECODER, body, second_look=len(body) <= _LONG)


def query_schema() -> dict[str, Any]:
    """The JSON schema of OnlineQuery, in one piece, for OpenAPI."""
    schema, parts = struct_schema(OnlineQuery)
    schema["properties"]["on_stale"] = {**parts["OnStale"], "default": OnStale.NULL.value}
    schema["examples"] = [{"feature_service": "assistant_v1", "entities": {"user_id": ["u1", "u2"]}}]
    return schema


class GetOptions(msgspec.Struct):
    """What a GET may ask for beside the join keys and request fields."""

    full_feature_names: bool = False
    max_staleness: timedelta | None = None
    on_stale: OnStale = OnStale.NULL
    include: Include | None = None


_CHOICES: dict[str, type[enum.StrEnum]] = {"on_stale": OnStale, "include": Include}


def asks_for_freshness(query: bytes) -> bool:
    """Whether the query string of a POST does, whose other options are in its body. Raises InvalidRequestError."""
    for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name == "include":
            if text != Include.FRESHNESS:
                raise InvalidRequestError("The request is not valid", [FieldError(name, _expected(Include))])
            return True
    return False


def _expected(choices: type[enum.StrEnum]) -> str:
    return f"must be one of {', '.join(choices)}"


_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def parse_query_string(query: bytes) -> tuple[Sequence[tuple[str, str]], GetOptions]:
    """The parameters that are no options, in order, and the options. Raises InvalidRequestError."""
    if b"%" in query or b"+" in query:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    else:
        # The same where nothing is escaped, at a quarter of the cost.
        parts = (part.partition("=") for part in query.decode("latin-1").split("&") if part)
        pairs = [(name, text) for name, _, text in parts]
    options = GetOptions()
    if _OPTIONS.isdisjoint([name for name, _ in pairs]):
        return pairs, options
    faults = []
    for name, text in pairs:
        try:
            if name == "full_feature_names":
                options.full_feature_names = _TRUTH[text.lower()]
            elif name == "on_stale":
                options.on_stale = OnStale(text)
            elif name == "include":
                options.include = Include(text)
            elif name == "max_staleness":
                options.max_staleness = parse_duration(text)
        except KeyError:
            faults.append(FieldError(name, "must be true or false"))
        except ValueError as error:
            choices = _CHOICES.get(name)
            faults.append(FieldError(name, _expected(choices) if choices else str(error)))
    if faults:
        raise InvalidRequestError("The request is not valid", faults)
    return [pair for pair in pairs if pair[0] not in _OPTIONS], options


_OPTIONS = frozenset(GetOptions.__struct_fields__)
INCLUDE: dict[str, Any] = {
    "name": "include",
    "in": "query",
    "schema": {"type": "string", "enum": [entry.value for entry in Include]},
    "description": "Tell how fresh the data of each view that was read are as a whole.",
}
"""The parameter of both calls, for OpenAPI."""
PARAMETERS: list[dict[str, Any]] = [
    {"name": "feature_service", "in": "path", "required": True, "schema": {"type": "string"}},
    {
        "name": "join_keys",
        "in": "query",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        "example": {"user_id": "u1"},
        "description": "The join keys and request fields, each a parameter of its own name: `user_id=u1`.",
    },
    {
        "name": "full_feature_names",
        "in": "query",
        "schema": {"type": "boolean", "default": False},
        "description": "Name features `view__feature`.",
    },
    {
        "name": "max_staleness",
        "in": "query",
        "schema": {"type": "string"},
        "description": "Serve nothing older: seconds, 15m, 26h or PT5M.",
    },
    {
        "name": "on_stale",
        "in": "query",
        "schema": {"type": "string", "enum": [entry.value for entry in OnStale], "default": OnStale.NULL.value},
        "description": "What to do with a value that is too old.",
    },
    INCLUDE,
]
"""The parameters of the GET, for OpenAPI."""
